//go:build !tamago

package usbio

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"tamaccid/ccid/usb"
	"tamaccid/uefi"
)

// idle makes the reader's interface one that has its endpoints in alternate setting 1 only, and is
// in setting 0.
func (f *script) idle() {
	one := alternate{setting: slices.Clone(f.Interface), endpoints: f.Endpoints}
	one.setting[3], one.setting[8] = 1, 3 // its name is another string
	f.settings = map[uint8]alternate{1: one}
	f.Interface[4], f.Interface[8] = 0, 0 // bNumEndpoints, iInterface
	config := append([]byte(nil), f.Config...)
	config = append(append(config, f.Interface...), one.setting...)
	config = append(config, f.configs[0][len(config)-9:]...)
	config[2] = byte(len(config))
	f.configs[0], f.Endpoints, f.obeys = config, nil, true
	f.control = func(r uefi.USBRequest, _ []byte) answer { return answer{} }
}

func TestAlternateSetting(t *testing.T) {
	const request = "control 01 0b 0001 0000 0 in 500 ms"
	set := func(alt uint8, ok bool) func([]byte, uint8) (uint8, bool) {
		return func([]byte, uint8) (uint8, bool) { return alt, ok }
	}
	for _, c := range []struct {
		name   string
		choose func(config []byte, number uint8) (uint8, bool)
		change func(f *script)
		log    string
		alt    uint8
		pipes  int
		err    error
	}{
		{name: "the interface stays in its setting", choose: set(0, true)},
		{name: "no setting is chosen", choose: set(1, false)},
		{name: "nothing chooses a setting"},
		{name: "setting 1 is selected", choose: set(1, true), log: request, alt: 1, pipes: 3},
		{name: "the interface is in setting 1 already", choose: set(1, true), alt: 1, pipes: 3,
			change: func(f *script) {
				f.Interface, f.Endpoints = f.settings[1].setting, f.settings[1].endpoints
			}},
		{name: "the device refuses", choose: set(1, true), log: request, err: usb.ErrStall,
			change: func(f *script) {
				f.control = func(uefi.USBRequest, []byte) answer {
					return answer{Status: uefi.DeviceError, Result: uefi.USBStall}
				}
			}},
		{name: "firmware does not follow", choose: set(1, true), log: request,
			err:    uefi.Unsupported,
			change: func(f *script) { f.obeys = false }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := reader(t)
				f.idle()
				if c.change != nil {
					c.change(f)
				}
				f.choose = c.choose
				tr, err := f.try(bg)
				if !errors.Is(err, c.err) || c.err == nil && err != nil {
					t.Fatalf("error %v, want %v", err, c.err)
				}
				const configuration = "control 80 06 0200"
				log := slices.DeleteFunc(f.Log, func(request string) bool {
					return strings.HasPrefix(request, configuration)
				})
				if got := strings.Join(log, ", "); got != c.log {
					t.Errorf("requests %q, want %q", got, c.log)
				}
				if err != nil {
					return
				}
				d := tr.Device()
				name := map[uint8]string{1: "1"}[c.alt]
				if d.AltSetting != c.alt || len(tr.pipes) != c.pipes || d.InterfaceName != name {
					t.Errorf("setting %d, %q, %d pipes", d.AltSetting, d.InterfaceName,
						len(tr.pipes))
				}
				if c.pipes > 0 && d.Speed != usb.SpeedFull {
					t.Errorf("speed %v", d.Speed)
				}
			})
		})
	}
}

// TestTheLastIntervalIsThatOfTheSelectedSetting: the configuration's last byte is not read from the
// device, and firmware describes the endpoints of the current setting only.
func TestTheLastIntervalIsThatOfTheSelectedSetting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := reader(t)
		last := len(f.Endpoints) - 1
		// The interrupt endpoint comes last.
		f.Endpoints[0], f.Endpoints[last] = f.Endpoints[last], f.Endpoints[0]
		config := f.configs[0]
		copy(config[len(config)-7:], f.Endpoints[last])
		f.idle()
		f.choose = func([]byte, uint8) (uint8, bool) { return 1, true }
		d := f.open().Device()
		if got := d.Config[len(d.Config)-1]; got != 255 {
			t.Errorf("bInterval %d, want 255", got)
		}
		for _, n := range f.reads {
			if n == len(f.configs[0]) {
				t.Error("the whole configuration was read")
			}
		}
	})
}
