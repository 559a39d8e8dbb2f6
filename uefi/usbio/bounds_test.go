//go:build !tamago

package usbio

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/ccid/usb"
	"tamaccid/uefi"
	"tamaccid/uefi/uefitest"
)

func TestEnumerationOfASlowDeviceIsBounded(t *testing.T) {
	others := func(f *script, n int) { // configurations before the active one
		for range n {
			other := bytes.Clone(f.configs[0])
			other[5] = 7
			f.configs = append([][]byte{other}, f.configs...)
		}
		f.Device[17] = byte(len(f.configs))
	}
	for _, c := range []struct {
		name   string
		change func(f *script)
		bound  time.Duration
		want   error
		named  bool
	}{
		{name: "each string takes 20 ms",
			change: func(f *script) { f.stringTime = 20 * time.Millisecond },
			bound:  80 * time.Millisecond, named: true},
		{name: "each string takes 90 ms, and is there in none of four languages",
			change: func(f *script) {
				f.Languages, f.strings, f.stringTime = []uint16{1, 2, 3,
					4}, nil, 90*time.Millisecond
			}, bound: stringsLimit + 90*time.Millisecond},
		{name: "no string comes", change: func(f *script) {
			f.Languages, f.strings, f.stringTime = []uint16{1, 2, 3, 4}, nil, 500*time.Millisecond
		}, bound: 500 * time.Millisecond},
		{name: "eight configurations, 400 ms each",
			change: func(f *script) { others(f, 7); f.configTime = 400 * time.Millisecond },
			bound:  descriptorLimit, want: usb.ErrTimeout},
		{name: "two configurations, 400 ms each",
			change: func(f *script) { others(f, 1); f.configTime = 400 * time.Millisecond },
			bound:  descriptorLimit, named: true},
		{name: "no configuration comes", change: func(f *script) { f.configTime = time.Hour },
			bound: descriptorLimit, want: usb.ErrTimeout},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := reader(t)
				c.change(f)
				f.control = func(uefi.USBRequest, []byte) answer {
					return answer{Data: []byte{0, 0}}
				}
				began := time.Now()
				tr, err := f.try(bg)
				if took := time.Since(began); took > c.bound {
					t.Errorf("took %v, %v at most", took, c.bound)
				}
				if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
					t.Fatalf("%v, want %v", err, c.want)
				}
				if err == nil && (tr.Device().Product == "Reader") != c.named {
					t.Errorf("product %q", tr.Device().Product)
				}
			})
		})
	}
}

func TestConfigurationReadsNoStrings(t *testing.T) {
	f := reader(t)
	f.Table.GetStringDescriptor, f.Table.GetSupportedLanguages = 0, 0
	f.Table.GetInterfaceDescriptor = 0
	b, err := Configuration(bg, f.at())
	if err != nil || len(b) != 93 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

func TestTheQuestionWhetherADeviceIsThereEndsWithTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := reader(t)
		tr := f.open()
		f.control = func(uefi.USBRequest, []byte) answer { return uefitest.Silent }
		time.Sleep(2 * silence)
		ctx, cancel := context.WithTimeout(bg, 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		if _, err := tr.Out(ctx, 0x03, []byte{1}, time.Minute); !errors.Is(err,
			context.DeadlineExceeded) {
			t.Error(err)
		}
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}
