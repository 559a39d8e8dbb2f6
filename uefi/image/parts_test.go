package image

import (
	"bytes"
	"strings"
	"testing"
)

func TestSBATIsCommaSeparatedLines(t *testing.T) {
	b, err := testOptions.SBAT.encode()
	if err != nil {
		t.Fatal(err)
	}
	want := "sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md\n" +
		"test,1,vendor,package,1.0,https://example.org\n"
	if string(b) != want {
		t.Errorf("got %q, want %q", b, want)
	}
}

func TestSBATThatShimWouldRefuseIsRefused(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*SBAT)
	}{
		{"generation zero", func(s *SBAT) { s.Generation = 0 }},
		{"empty component", func(s *SBAT) { s.Component = "" }},
		{"empty URL", func(s *SBAT) { s.URL = "" }},
		{"comma in the vendor", func(s *SBAT) { s.Vendor = "a,b" }},
		{"line feed in the version", func(s *SBAT) { s.Version = "1\nsbat,9" }},
		{"letter outside of ASCII in the package", func(s *SBAT) { s.Package = "é" }},
		{"zero byte in the version", func(s *SBAT) { s.Version = "1\x00" }},
	} {
		t.Run(row.name, func(t *testing.T) {
			options := testOptions
			row.change(&options.SBAT)
			if _, err := Convert(newSynthetic().bytes(), options); err == nil ||
				!strings.Contains(err.Error(), "SBAT") {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestBaseRelocationTable(t *testing.T) {
	for _, row := range []struct {
		name   string
		fixups []uint32
		want   []byte
	}{
		{"no pointer: one block of padding", nil, []byte{0, 0x10, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0}},
		{"one pointer: padded to four bytes", []uint32{0x2008},
			[]byte{0, 0x20, 0, 0, 12, 0, 0, 0, 0x08, 0xa0, 0, 0}},
		{"two pointers on one page: no padding", []uint32{0x2000, 0x2ff8},
			[]byte{0, 0x20, 0, 0, 12, 0, 0, 0, 0x00, 0xa0, 0xf8, 0xaf}},
		{"two pages far apart: two blocks", []uint32{0x2ffc, 0x123_4010}, []byte{
			0, 0x20, 0, 0, 12, 0, 0, 0, 0xfc, 0xaf, 0, 0,
			0, 0x40, 0x23, 0x01, 12, 0, 0, 0, 0x10, 0xa0, 0, 0,
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := encodeRelocations(row.fixups); !bytes.Equal(got, row.want) {
				t.Errorf("got % x, want % x", got, row.want)
			}
		})
	}
}

func TestChecksumFoldsCarriesAndAddsTheLength(t *testing.T) {
	// Words 0xffff, 0x0002 and, left out, the field: the sum 0x10001 folds to 2; 8 bytes.
	if got := checksum([]byte{0xff, 0xff, 0x02, 0x00, 0x55, 0xaa, 0x55, 0xaa}, 4); got != 2+8 {
		t.Errorf("got %#x", got)
	}
}

func TestMeasureReturnsFileMemoryAndSections(t *testing.T) {
	img, err := Convert(newSynthetic().bytes(), testOptions)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Measure(img)
	if err != nil {
		t.Fatal(err)
	}
	want := `section         rva       file     memory
.text        0x1000        512         16  r-x
.rodata      0x2000        512        304  r--
.relro       0x3000        512        352  r--
.data        0x4000        512       2112  rw-
.reloc       0x5000        512         24  r--
.sbat        0x6000        512        122  r--
total                     4096      28672
`
	if got := s.String(); got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
	if _, err := Measure(img[:100]); err == nil {
		t.Error("a truncated image was measured")
	}
	if _, err := Measure([]byte("MZ")); err == nil {
		t.Error("two bytes were measured")
	}
}
