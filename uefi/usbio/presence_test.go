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
	"tamaccid/uefi/internal/abi"
	"tamaccid/uefi/uefitest"
)

func TestGoneIsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := reader(t)
		tr := f.open()
		time.Sleep(2 * silence)
		f.control = func(uefi.USBRequest, []byte) answer {
			return answer{Status: uefi.DeviceError, Result: uefi.USBSystem}
		}
		f.Log = nil
		// A message to a device that has been quiet is not sent before the device has been asked.
		if _, err := tr.Out(bg, 0x03, []byte{1}, time.Second); err != usb.ErrGone {
			t.Error(err)
		}
		if len(f.Log) != 1 {
			t.Errorf("firmware saw %q, want one request", f.Log)
		}
		f.control = func(uefi.USBRequest, []byte) answer { return answer{Data: []byte{0, 0}} }
		if _, err := tr.In(bg, 0x82, make([]byte, 64), time.Second); err != usb.ErrGone {
			t.Error(err)
		}
		if len(f.Log) != 1 {
			t.Errorf("firmware saw %q afterwards", f.Log)
		}
	})
}

// TestStopWasRefusedDuringAWait has firmware ask for that during a wait, as it does when it
// finds a device removed.
func TestStopWasRefusedDuringAWait(t *testing.T) {
	for _, c := range []struct {
		name    string
		control answer
		took    time.Duration
		err     error
	}{
		{name: "a device that is there goes on", control: answer{Data: []byte{0, 0}},
			took: firstWait + laterWait},
		{name: "firmware has removed the device",
			control: answer{Status: uefi.DeviceError, Result: uefi.USBSystem}, took: firstWait,
			err: usb.ErrGone},
		// QEMU's xHCI and EHCI controllers.
		{name: "transfers to a removed device time out", control: uefitest.Silent,
			took: firstWait + probeLimit, err: usb.ErrGone},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := reader(t)
				began := time.Now()
				asked := false
				f.pause = func() bool {
					stop := time.Since(began) >= firstWait && !asked
					asked = asked || stop
					return stop
				}
				f.control = func(uefi.USBRequest, []byte) answer { return c.control }
				tr := f.open()
				f.streams = []answer{uefitest.Silent, {Data: []byte{1}, Took: laterWait}}
				began = time.Now()
				if _, err := tr.In(bg, 0x82, make([]byte, 64), time.Minute); err != c.err {
					t.Errorf("error %v, want %v", err, c.err)
				}
				if took := time.Since(began); took != c.took || !asked {
					t.Errorf("took %v, want %v", took, c.took)
				}
				if c.took > 2*time.Second && c.err != nil {
					t.Errorf("%v is more than the documented 2 s", c.took)
				}
			})
		})
	}
}

func TestFirmwareRunsBetweenTransfers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := reader(t)
		pauses := 0
		f.pause = func() bool { pauses++; return false }
		f.control = func(uefi.USBRequest, []byte) answer { return answer{Data: []byte{0, 0}} }
		tr := f.open()
		f.streams = []answer{{}, uefitest.Silent, uefitest.Silent, {Data: []byte{1, 2}}}
		for _, c := range []struct {
			name string
			do   func() error
			want int // pauses at least
		}{
			{"Out", func() error { _, err := tr.Out(bg, 0x03, []byte{1}, time.Second); return err },
				1},
			{"In, three waits",
				func() error {
					_, err := tr.In(bg, 0x82, make([]byte, 64), time.Minute)
					return err
				}, 3},
			{"Control",
				func() error {
					_, err := tr.Control(bg, getStatus, make([]byte, 2), time.Second)
					return err
				}, 1},
		} {
			pauses = 0
			if err := c.do(); err != nil || pauses < c.want {
				t.Errorf("%s: %v, %d pauses, want %d", c.name, err, pauses, c.want)
			}
		}
	})
}

// TestOpeningHasAnEnd opens devices that are enumerated and then do not answer.
func TestOpeningHasAnEnd(t *testing.T) {
	const limit = time.Second
	mute := func(f *script) {
		f.Table.ControlTransfer = abi.Fake(func(a []uintptr) uintptr {
			time.Sleep(time.Duration(a[3]) * time.Millisecond)
			*abi.At[uefi.USBResult](a[6]) = uefi.USBTimeout
			return uintptr(uefi.Timeout)
		})
	}
	asked := 0
	speechless := func(f *script) {
		f.Table.GetStringDescriptor = abi.Fake(func(a []uintptr) uintptr {
			asked++
			time.Sleep(stringTime)
			return uintptr(uefi.Timeout)
		})
	}
	slow := func(f *script) {
		control := f.Table.ControlTransfer
		f.Table.ControlTransfer = abi.Fake(func(a []uintptr) uintptr {
			time.Sleep(limit / 3)
			return abi.Call(control, a...)
		})
	}
	for _, c := range []struct {
		name   string
		change func(f *script)
		err    error
		asked  int
	}{
		{name: "it answers no request", change: mute, err: context.DeadlineExceeded},
		{name: "it answers no request for strings", change: speechless, asked: 1},
		{name: "its descriptors leave no time for strings", change: slow,
			err: context.DeadlineExceeded},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := reader(t)
				c.change(f)
				asked = 0
				ctx, cancel := context.WithTimeout(bg, limit)
				defer cancel()
				began := time.Now()
				if _, err := f.try(ctx); !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
					t.Errorf("error %v, want %v", err, c.err)
				}
				if took := time.Since(began); took > limit || asked != c.asked {
					t.Errorf("took %v; %d requests for strings, want %d", took, asked, c.asked)
				}
			})
		})
	}
}

func TestEnumerate(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(f *script)
		check  func(d *usb.Device) bool
		err    error
	}{
		{name: "a reader", change: func(f *script) {}, check: func(d *usb.Device) bool {
			return d.Manufacturer == "QEMU" && d.Product == "Reader" && d.Serial == "1" &&
				d.InterfaceName == "CCID" &&
				d.Speed == usb.SpeedFull && len(d.Config) == 93 &&
				d.Path == "Acpi(0x00000000,0x0)/Pci(0x4,0x0)/USB(0x1,0x0)"
		}},
		{name: "strings in the second language only",
			change: func(f *script) { f.Languages = []uint16{0x0407, 0x0409} },
			check:  func(d *usb.Device) bool { return d.Product == "Reader" }},
		{name: "no languages", change: func(f *script) { f.Languages = nil },
			check: func(d *usb.Device) bool { return d.Product == "" }},
		{name: "no device path", change: func(f *script) { f.SetPath() },
			check: func(d *usb.Device) bool { return d.Path == "" && d.Product == "Reader" }},
		{name: "the second configuration is active", change: func(f *script) {
			other := bytes.Clone(f.configs[0])
			other[5] = 7
			f.configs = [][]byte{other, f.configs[0]}
			f.Device[17] = 2
		}, check: func(d *usb.Device) bool { return d.Config[5] == 1 }},
		{name: "an alternate setting of another interface",
			change: func(f *script) { f.Interface[2], f.Interface[3] = 3, 2 },
			check:  func(d *usb.Device) bool { return d.Interface == 3 && d.AltSetting == 2 }},
		// edk2 pull request 12982: wTotalLength and what comes differ.
		{name: "a configuration that is shorter than it claims",
			change: func(f *script) { f.configs[0][2] = 200 },
			check:  func(d *usb.Device) bool { return len(d.Config) == 93 }},
		{name: "a configuration that claims 64 KiB",
			change: func(f *script) { f.configs[0][2], f.configs[0][3] = 0xff, 0xff },
			check:  func(d *usb.Device) bool { return len(d.Config) == 93 }},
		{name: "a configuration that claims to be shorter than its head",
			change: func(f *script) { f.configs[0][2] = 8 }, err: usb.ErrDescriptor},
		{name: "no configuration has the active value",
			change: func(f *script) { f.configs[0][5] = 7 }, err: usb.ErrDescriptor},
		{name: "255 configurations",
			change: func(f *script) { f.Device[17] = 255; f.configs[0][5] = 7 }, err: usb.ErrStall},
		{name: "a configuration of two bytes",
			change: func(f *script) { f.configs[0] = f.configs[0][:2] }, err: usb.ErrDescriptor},
		{name: "more endpoints than there can be", change: func(f *script) {
			for range 300 {
				f.Endpoints = append(f.Endpoints, f.Endpoints[0])
			}
		}, check: func(d *usb.Device) bool { return true }},
		{name: "an endpoint with packets of no bytes",
			change: func(f *script) { f.Endpoints[1][4] = 0 },
			check:  func(d *usb.Device) bool { return true }},
		{name: "high speed, by its packets", change: func(f *script) {
			f.Endpoints[1][4], f.Endpoints[1][5], f.Endpoints[2][4], f.Endpoints[2][5] = 0, 2, 0, 2
		},
			check: func(d *usb.Device) bool { return d.Speed == usb.SpeedHigh }},
		{name: "a reader without bulk endpoints", change: func(f *script) { f.Endpoints = nil },
			check: func(d *usb.Device) bool { return d.Speed == usb.SpeedUnknown }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := reader(t)
				c.change(f)
				tr, err := f.try(bg)
				if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
					t.Fatalf("error %v, want %v", err, c.err)
				}
				if err == nil && !c.check(tr.Device()) {
					t.Errorf("%+v", tr.Device())
				}
			})
		})
	}
}

func TestTheWholeConfigurationIsReadOnlyWhereItMustBe(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(f *script)
		reads  int  // of the whole
		last   byte // of the configuration
	}{
		{name: "it ends with an endpoint of the interface",
			change: func(f *script) { f.Endpoints[2][6] = 9; f.configs[0][92] = 9 }, last: 9},
		{name: "it ends with an endpoint of another interface",
			change: func(f *script) { f.configs[0][88] = 0x07; f.configs[0][92] = 9 }},
		{name: "it ends with a class descriptor",
			change: func(f *script) { f.configs[0][87] = 0x21; f.configs[0][92] = 9 }, reads: 1,
			last: 9},
		{name: "its descriptors do not add up",
			change: func(f *script) { f.configs[0][86] = 0; f.configs[0][92] = 9 }, reads: 1,
			last: 9},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := reader(t)
				c.change(f)
				tr, err := f.try(bg)
				if err != nil {
					t.Fatal(err)
				}
				reads := 0
				for _, n := range f.reads {
					if n == len(f.configs[0]) {
						reads++
					}
				}
				if got := tr.Device().Config; reads != c.reads || len(got) != 93 ||
					got[92] != c.last {
					t.Errorf("%d reads of the whole, want %d; %d bytes, the last %d, want %d; "+
						"reads %d",
						reads, c.reads, len(got), got[92], c.last, f.reads)
				}
			})
		})
	}
}
