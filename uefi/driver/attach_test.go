//go:build !tamago

package driver

import (
	"slices"
	"testing"
	"testing/synctest"

	"tamaccid/baremetal/usbhost/usbtest"
	"tamaccid/ccid/sim/card"
	sim "tamaccid/ccid/sim/reader"
	"tamaccid/ccid/usb"
	"tamaccid/uefi"
	"tamaccid/uefi/smartcard"
)

// alternate is a virtual reader in alternate setting 1, with a T=1 card.
func alternate(class uint8) *sim.Device {
	m := sim.New(sim.ShortAPDU)
	m.Functions[0].Class, m.Functions[0].Setting = class, 1
	d := sim.NewDevice(m)
	d.Reader(0).Insert(0, card.T1())
	return d
}

func TestAReaderInAnAlternateSetting(t *testing.T) {
	for _, c := range []struct {
		name  string
		class uint8
	}{
		{name: "class 0x0B", class: sim.ClassCCID},
		{name: "vendor-specific", class: sim.ClassVendor},
	} {
		t.Run(c.name+", through firmware", func(t *testing.T) {
			fw, d := newDriver(t)
			u := fw.plug(alternate(c.class), 0)
			for range 2 { // firmware leaves the interface in setting 1 after Stop
				if st := call(d.supported, 0, uintptr(u.Handle), 0); st != uefi.Success {
					t.Fatalf("Supported: %v", st)
				}
				if st := d.startOn(u.Handle); st != uefi.Success {
					t.Fatalf("Start: %v", st)
				}
				if err := d.use(t, fw, u.Handle); err != nil {
					t.Error(err)
				}
				if u.Polled == 0 {
					t.Error("firmware does not poll the interrupt endpoint")
				}
				if st := d.stopOn(u.Handle); st != uefi.Success {
					t.Fatalf("Stop: %v", st)
				}
			}
		})
		t.Run(c.name+", directly", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fw, d := newDirect(t)
				f := fw.plugHost()
				f.virtual.Plug(1, usbtest.Reader(alternate(c.class)))
				if st := d.locked(d.start, 0, uintptr(f.Handle), 0); st != uefi.Success {
					t.Fatal(st)
				}
				handles := fw.readerHandles()
				if len(handles) != 1 {
					t.Fatalf("%d readers", len(handles))
				}
				if err := d.use(t, fw, handles[0]); err != nil {
					t.Error(err)
				}
				if st := d.stopHost(f); st != uefi.Success {
					t.Error(st)
				}
			})
		})
	}
}

// TestTheConfigurationWithTheReaderIsSelected has a device with storage in its first configuration
// and a reader in the second one. The device does not answer as a reader.
func TestTheConfigurationWithTheReaderIsSelected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := sim.New(sim.TPDU)
		second := m.ConfigDescriptor()
		second[5] = 2
		var selected []uint16
		fw, d := newDirect(t)
		f := fw.plugHost()
		f.virtual.Plug(1, &usbtest.Gadget{
			At:         usb.SpeedFull,
			Descriptor: []byte{18, 1, 0, 2, 0, 0, 0, 64, 0x09, 0x12, 1, 0, 0, 1, 0, 0, 0, 2},
			Configs: [][]byte{
				{9, 2, 18, 0, 1, 1, 0, 0x80, 50, 9, 4, 0, 0, 0, 8, 6, 80, 0}, second,
			},
			Answer: func(s usb.Setup) ([]byte, error, bool) {
				if s.Request == usb.RequestSetConfiguration {
					selected = append(selected, s.Value)
				}
				return nil, nil, false
			},
		})
		if st := d.locked(d.start, 0, uintptr(f.Handle), 0); st != uefi.Success {
			t.Fatal(st)
		}
		later()
		if st := d.stopHost(f); st != uefi.Success {
			t.Error(st)
		}
		if !slices.Equal(selected, []uint16{2}) {
			t.Errorf("selected: %d, want 2", selected)
		}
	})
}

// nameOn is the name of the reader on a handle.
func (d *Driver) nameOn(t *testing.T, fw *firmware, h uefi.Handle) string {
	t.Helper()
	this := fw.Handles[h][smartcard.GUID]
	if this == 0 {
		t.Fatalf("no reader on handle %#x", h)
	}
	return d.readerName(t, this)
}

func TestAReaderThatIsPluggedInAgainHasItsName(t *testing.T) {
	const first, second = "tamaccid Virtual Reader 0", "tamaccid Virtual Reader 1"
	t.Run("through firmware", func(t *testing.T) {
		fw, d := newDriver(t)
		a, b := fw.plug(withSlots(1), 0), fw.plug(withSlots(1), 0)
		for _, u := range []*usbInterface{a, b} {
			if st := d.startOn(u.Handle); st != uefi.Success {
				t.Fatal(st)
			}
		}
		for range 3 {
			if st := d.stopOn(a.Handle); st != uefi.Success {
				t.Fatal(st)
			}
			a = fw.plug(withSlots(1), 0)
			broken := fw.plug(withSlots(1), 0)
			broken.device.Unplug()
			if st := d.startOn(broken.Handle); st != uefi.DeviceError {
				t.Fatal(st)
			}
			if st := d.startOn(a.Handle); st != uefi.Success {
				t.Fatal(st)
			}
			if x, y := d.nameOn(t, fw, a.Handle), d.nameOn(t, fw, b.Handle); x != first ||
				y != second {
				t.Errorf("%q, %q", x, y)
			}
		}
	})
	t.Run("through firmware, not opened in Start", func(t *testing.T) {
		replace(t, &callerTPL, func() uefi.TPL { return uefi.TPLCallback })
		fw, d := newDriver(t)
		for range 3 {
			u := fw.plug(withSlots(1), 0)
			fw.Frozen = true
			if st := d.startOn(u.Handle); st != uefi.Success {
				t.Fatal(st)
			}
			fw.Frozen = false
			if name := d.nameOn(t, fw, u.Handle); name != first {
				t.Errorf("%q", name)
			}
			if st := d.stopOn(u.Handle); st != uefi.Success {
				t.Fatal(st)
			}
		}
	})
	t.Run("directly", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			fw, d := newDirect(t)
			f := fw.plugHost()
			if st := d.locked(d.start, 0, uintptr(f.Handle), 0); st != uefi.Success {
				t.Fatal(st)
			}
			f.virtual.Plug(1, usbtest.Reader(withSlots(1)))
			later()
			f.virtual.Plug(2, usbtest.Reader(withSlots(1)))
			later()
			stays := fw.readerHandles()[1]
			for range 3 {
				f.virtual.Unplug(1)
				later()
				f.virtual.Plug(1, usbtest.Reader(withSlots(1)))
				later()
				handles := fw.readerHandles()
				if len(handles) != 2 || handles[0] != stays {
					t.Fatalf("handles %v", handles)
				}
				if x, y := d.nameOn(t, fw, handles[1]), d.nameOn(t, fw, stays); x != first ||
					y != second {
					t.Errorf("%q, %q", x, y)
				}
			}
			if st := d.stopHost(f); st != uefi.Success {
				t.Error(st)
			}
		})
	})
}
