package sclib_test

import (
	"errors"
	"maps"
	"testing"

	"tamaccid/sclib"
	"tamaccid/sclib/sclibtest"
)

func TestParseFeatures(t *testing.T) {
	tests := []struct {
		name string
		list []byte
		want sclib.Features
		bad  bool
	}{
		{name: "none", want: sclib.Features{}},
		{name: "big-endian (PC/SC part 10, 2.2)",
			list: []byte{0x06, 4, 0x42, 0x33, 0x00, 0x06, 0x12, 4, 0x42, 0x33, 0x00, 0x12},
			want: sclib.Features{sclib.FeatureVerifyPINDirect: 0x42330006,
				sclib.FeatureTLVProperties: 0x42330012}},
		{name: "little-endian (EFI drivers)", list: []byte{0x06, 4, 0x06, 0x00, 0x33, 0x42},
			want: sclib.Features{sclib.FeatureVerifyPINDirect: 0x42330006}},
		{name: "as Windows numbers them",
			list: []byte{0x06, 4, 0x00, 0x31, 0x35, 0x20, 0x07, 4, 0x24, 0x35, 0x31, 0x00},
			want: sclib.Features{sclib.FeatureVerifyPINDirect: 0x00313520,
				sclib.FeatureModifyPINDirect: 0x00313524}},
		{name: "a code of neither form is big-endian", list: []byte{0x0A, 4, 1, 2, 3, 4},
			want: sclib.Features{sclib.FeatureIFDPINProperties: 0x01020304}},
		{name: "a code of both forms is big-endian", list: []byte{0x0A, 4, 0x42, 0, 1, 0x42},
			want: sclib.Features{sclib.FeatureIFDPINProperties: 0x42000142}},
		{name: "a record that ends early", list: []byte{0x06, 4, 0x42, 0x33, 0x00}, bad: true},
		{name: "a tag alone", list: []byte{0x06}, bad: true},
		{name: "a length that is no control code's", list: []byte{0x06, 3, 0x42, 0x33, 0x00, 0x06},
			bad: true},
		{name: "a length beyond the list", list: []byte{0x06, 0xFF, 0x42, 0x33, 0x00, 0x06},
			bad: true},
	}
	for _, test := range tests {
		got, err := sclib.ParseFeatures(test.list)
		if errors.Is(err, sclib.ErrFeatures) != test.bad || !test.bad &&
			!maps.Equal(got, test.want) {
			t.Errorf("%s: %v, %v", test.name, got, err)
		}
	}
}

func TestFeatures(t *testing.T) {
	r := sclibtest.NewReader("Test reader")
	sc := over(t, sclibtest.NewBackend(r))
	card := connect(t, sc, sclib.ShareDirect)
	if features, err := card.Features(t.Context()); err != nil || len(features) != 0 {
		t.Errorf("a reader without features: %v, %v", features, err)
	}
	r.HandleControl(sclib.CMIoctlGetFeatureRequest,
		func([]byte) []byte { return []byte{0x06, 4, 0x42, 0x33, 0x00, 0x06} })
	if features, err := card.Features(t.Context()); err != nil ||
		features[sclib.FeatureVerifyPINDirect] != 0x42330006 {
		t.Errorf("%v, %v", features, err)
	}
	r.HandleControl(sclib.CMIoctlGetFeatureRequest, func([]byte) []byte { return []byte{0x06} })
	_, err := card.Features(t.Context())
	want(t, err, sclib.ErrFeatures)
	want(t, err, sclib.ErrInvalidValue)
}
