//go:build !tamago

package driver

import (
	"errors"
	"slices"
	"testing"

	"tamaccid/uefi"
	"tamaccid/uefi/smartcard"
	"tamaccid/uefi/uefitest"
)

func TestStop(t *testing.T) {
	const never = 0xBAD // a handle that does not exist
	for _, c := range []struct {
		name  string
		slots int
		// stop gets the handles of the slots.
		stop func(d *Driver, h []uefi.Handle) uefi.Status
		want uefi.Status
		left []int // slots that are left
	}{
		{name: "the only slot", slots: 1,
			stop: func(d *Driver, h []uefi.Handle) uefi.Status { return d.stopOn(h[0]) }},
		{name: "all children", slots: 3, left: []int{0},
			stop: func(d *Driver, h []uefi.Handle) uefi.Status {
				return d.stopOn(h[0], h[1], h[2])
			}},
		{name: "all children, the last first", slots: 3, left: []int{0},
			stop: func(d *Driver, h []uefi.Handle) uefi.Status {
				return d.stopOn(h[0], h[2], h[1])
			}},
		{name: "one child", slots: 3, left: []int{0, 2},
			stop: func(d *Driver, h []uefi.Handle) uefi.Status { return d.stopOn(h[0], h[1]) }},
		{name: "children, then the controller", slots: 3,
			stop: func(d *Driver, h []uefi.Handle) uefi.Status {
				if st := d.stopOn(h[0], h[1], h[2]); st != uefi.Success {
					return st
				}
				return d.stopOn(h[0])
			}},
		{name: "the controller before its children", slots: 3, want: uefi.DeviceError,
			left: []int{0, 1, 2},
			stop: func(d *Driver, h []uefi.Handle) uefi.Status { return d.stopOn(h[0]) }},
		{name: "another controller", slots: 1, want: uefi.DeviceError, left: []int{0},
			stop: func(d *Driver, h []uefi.Handle) uefi.Status { return d.stopOn(never) }},
		{name: "no controller", slots: 1, want: uefi.DeviceError, left: []int{0},
			stop: func(d *Driver, h []uefi.Handle) uefi.Status { return d.stopOn(0) }},
		{name: "a child as the controller", slots: 2, want: uefi.DeviceError, left: []int{0, 1},
			stop: func(d *Driver, h []uefi.Handle) uefi.Status { return d.stopOn(h[1]) }},
		{name: "not a child", slots: 2, want: uefi.DeviceError, left: []int{0, 1},
			stop: func(d *Driver, h []uefi.Handle) uefi.Status { return d.stopOn(h[0], never) }},
		{name: "the controller as its own child", slots: 2, want: uefi.DeviceError,
			left: []int{0, 1},
			stop: func(d *Driver, h []uefi.Handle) uefi.Status { return d.stopOn(h[0], h[0]) }},
		{name: "one child twice", slots: 3, want: uefi.DeviceError, left: []int{0, 2},
			stop: func(d *Driver, h []uefi.Handle) uefi.Status {
				return d.stopOn(h[0], h[1], h[1])
			}},
		{name: "more children than there are slots", slots: 2, want: uefi.DeviceError,
			left: []int{0, 1},
			stop: func(d *Driver, h []uefi.Handle) uefi.Status {
				return d.stopOn(h[0], h[1], h[1], h[1])
			}},
		{name: "children without a list", slots: 2, want: uefi.DeviceError, left: []int{0, 1},
			stop: func(d *Driver, h []uefi.Handle) uefi.Status {
				return call(d.stop, 0, uintptr(h[0]), 1, 0)
			}},
		{name: "half the address space of children", slots: 2, want: uefi.DeviceError,
			left: []int{0, 1},
			stop: func(d *Driver, h []uefi.Handle) uefi.Status {
				return call(d.stop, 0, uintptr(h[0]), half, addr(&h[1]))
			}},
		{name: "the whole address space of children", slots: 2, want: uefi.DeviceError,
			left: []int{0, 1},
			stop: func(d *Driver, h []uefi.Handle) uefi.Status {
				return call(d.stop, 0, uintptr(h[0]), whole, addr(&h[1]))
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			fw, d, u := started(t, c.slots)
			handles := d.slots(u.Handle)
			var interfaces []uintptr
			for _, h := range handles {
				interfaces = append(interfaces, fw.Handles[h][smartcard.GUID])
			}
			if st := c.stop(d, slices.Clone(handles)); st != c.want {
				t.Errorf("status %v, want %v", st, c.want)
			}
			for i, h := range handles {
				if slices.Contains(c.left, i) {
					if err := d.use(t, fw, h); err != nil {
						t.Errorf("slot %d: %v", i, err)
					}
					continue
				}
				if fw.Handles[h][smartcard.GUID] != 0 || i > 0 && fw.Handles[h] != nil {
					t.Errorf("slot %d is still installed", i)
				}
				if st := call(d.disconnect, interfaces[i], 0); st != uefi.DeviceError {
					t.Errorf("slot %d, by its former interface: %v", i, st)
				}
			}
			if len(fw.Opened) != len(c.left) {
				t.Errorf("open: %v", fw.Opened)
			}
		})
	}
}

func TestStopLeavesNothingBehind(t *testing.T) {
	fw, d := newDriver(t)
	u := fw.plug(withSlots(2), 0)
	before := fw.State()
	for i := range 3 {
		must(t, d.startOn(u.Handle))
		handles := d.slots(u.Handle)
		for _, h := range handles {
			must(t, d.use(t, fw, h))
		}
		if !u.device.Reader(0).Powered(0) || !u.device.Reader(0).Powered(1) {
			t.Fatal("the cards are not powered")
		}
		must(t, d.stopOn(u.Handle, handles[1:]...))
		must(t, d.stopOn(u.Handle))
		if after := fw.State(); after != before {
			t.Fatalf("round %d: before %s, after %s", i, before, after)
		}
		if u.device.Reader(0).Powered(0) || u.device.Reader(0).Powered(1) {
			t.Fatal("a card was left powered")
		}
		if st := d.stopOn(u.Handle); st != uefi.DeviceError {
			t.Errorf("a second Stop: %v", st)
		}
	}
}

func TestANewReaderHasAnotherInterfaceThanAnOldOne(t *testing.T) {
	fw, d := newDriver(t)
	u := fw.plug(withSlots(1), 0)
	at := map[uintptr]bool{}
	for range 5 {
		must(t, d.startOn(u.Handle))
		this := fw.Handles[u.Handle][smartcard.GUID]
		if at[this] {
			t.Errorf("%#x was there before", this)
		}
		at[this] = true
		must(t, d.stopOn(u.Handle))
	}
}

func TestSlotInUseGoesOnWorkingWhenStopFails(t *testing.T) {
	for _, c := range []struct {
		name  string
		slots int
		held  int
	}{
		{name: "the only slot", slots: 1, held: 0},
		{name: "slot 0 of two", slots: 2, held: 0},
		{name: "a child", slots: 3, held: 1},
		{name: "the last child", slots: 3, held: 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			fw, d, u := started(t, c.slots)
			handles := d.slots(u.Handle)
			this := fw.Handles[handles[c.held]][smartcard.GUID]
			fw.hold(handles[c.held])
			failed := uefi.Success
			for range 2 { // Stop is repeated by firmware
				for _, h := range d.slots(u.Handle)[1:] {
					if st := d.stopOn(u.Handle, h); st != uefi.Success {
						failed = st
					}
				}
				if st := d.stopOn(u.Handle); st != uefi.Success {
					failed = st
				}
				if failed != uefi.DeviceError {
					t.Errorf("Stop: %v", failed)
				}
				if fw.Handles[handles[c.held]][smartcard.GUID] != this {
					t.Fatal("the interface in use has changed")
				}
				check(t, d.use(t, fw, handles[c.held]))
			}
			if c.held > 0 && d.boot.DevicePathOf(handles[c.held]) == nil {
				t.Error("the slot in use has lost its device path")
			}
			fw.Refuse = nil
			if children := d.slots(u.Handle)[1:]; len(children) > 0 {
				check(t, d.stopOn(u.Handle, children...))
			}
			if st := d.stopOn(u.Handle); st != uefi.Success || len(fw.Opened) != 0 ||
				fw.Count(smartcard.GUID) != 0 {
				t.Errorf("after it was released: %v, open: %v", st, fw.Opened)
			}
		})
	}
}

func TestSlotInUseGoesOnWorkingWhenStartFails(t *testing.T) {
	fw, d := newDriver(t)
	u := fw.plug(withSlots(2), 0)
	fw.Refuse = func(service string, on uefi.Handle, guid uefi.GUID) uefi.Status {
		switch {
		case service == "install" && guid == uefi.DevicePathGUID:
			return uefi.OutOfResources
		case service == "uninstall" && on == u.Handle:
			return uefi.AccessDenied
		}
		return uefi.Success
	}
	if st := d.startOn(u.Handle); st != uefi.OutOfResources {
		t.Fatal(st)
	}
	check(t, d.use(t, fw, u.Handle))
	if st := call(d.unload, uintptr(ourImage)); st != uefi.AccessDenied {
		t.Errorf("Unload while it is in use: %v", st)
	}
	fw.Refuse = nil
	if st := d.stopOn(u.Handle); st != uefi.Success || fw.Count(smartcard.GUID) != 0 ||
		len(fw.Opened) != 0 {
		t.Errorf("after it was released: %v, open: %v", st, fw.Opened)
	}
}

func TestStopOfAnUnpluggedReader(t *testing.T) {
	fw, d, u := started(t, 2)
	handles := d.slots(u.Handle)
	var interfaces []uintptr
	for _, h := range handles {
		interfaces = append(interfaces, fw.Handles[h][smartcard.GUID])
		must(t, d.use(t, fw, h))
	}
	u.device.Unplug()
	for _, this := range interfaces {
		if st := call(d.status, this, 0, 0, 0, 0, 0, 0); st != uefi.DeviceError {
			t.Errorf("SCardStatus: %v", st)
		}
	}
	check(t, d.stopOn(u.Handle, handles[1]))
	if st := d.stopOn(u.Handle); st != uefi.Success || fw.Count(smartcard.GUID) != 0 ||
		len(fw.Opened) != 0 {
		t.Errorf("%v, open: %v", st, fw.Opened)
	}
	for _, this := range interfaces {
		if st := call(d.status, this, 0, 0, 0, 0, 0, 0); st != uefi.DeviceError {
			t.Errorf("SCardStatus after Stop: %v", st)
		}
	}
}

func TestUnload(t *testing.T) {
	fw, d, u := started(t, 2)
	v := fw.plug(withSlots(1), 0)
	must(t, d.startOn(v.Handle))
	must(t, d.use(t, fw, v.Handle))
	for _, image := range []uefi.Handle{0, otherDriver, u.Handle} {
		if st := call(d.unload, uintptr(image)); st != uefi.InvalidParameter {
			t.Errorf("another image %#x: %v", image, st)
		}
	}
	if len(d.bound) != 2 {
		t.Fatalf("%d readers are left", len(d.bound))
	}

	fw.hold(v.Handle)
	for range 2 {
		if st := call(d.unload, uintptr(ourImage)); st != uefi.AccessDenied {
			t.Errorf("with a reader in use: %v", st)
		}
		check(t, d.use(t, fw, v.Handle))
	}
	if fw.Handles[ourImage][uefi.DriverBindingGUID] == 0 ||
		fw.Handles[ourImage][uefi.ComponentName2GUID] == 0 {
		t.Error("the driver that stays has lost its own protocols")
	}

	fw.Refuse = nil
	check(t, call(d.unload, uintptr(ourImage)))
	if fw.Count(smartcard.GUID) != 0 || fw.Handles[ourImage] != nil || len(fw.Opened) != 0 ||
		v.device.Reader(0).Powered(0) {
		t.Errorf("left behind: %s", fw.State())
	}
}

func TestUnloadThatFirmwareRefusesLeavesTheDriverWhole(t *testing.T) {
	for _, guid := range []uefi.GUID{uefi.DriverBindingGUID, uefi.ComponentName2GUID} {
		fw, d := newDriver(t)
		before := fw.State()
		fw.Refuse = uefitest.Only("uninstall", uefi.AccessDenied, guid)
		if st := call(d.unload, uintptr(ourImage)); st != uefi.AccessDenied {
			t.Error(st)
		}
		if after := fw.State(); after != before {
			t.Errorf("before %s, after %s", before, after)
		}
	}
}

func TestUnloadIsRefusedWhenTheEventOfTheEndOfBootServicesStays(t *testing.T) {
	fw, d := newDriver(t)
	before := fw.State()
	fw.Refuse = uefitest.Only("close event", uefi.InvalidParameter)
	if st := call(d.unload, uintptr(ourImage)); st != uefi.AccessDenied {
		t.Error(st)
	}
	if after := fw.State(); after != before {
		t.Errorf("before %s, after %s", before, after)
	}
	fw.Refuse = nil
	if st := call(d.unload, uintptr(ourImage)); st != uefi.Success || len(fw.Events) != 0 {
		t.Errorf("%v, %s", st, fw.State())
	}
}

func TestRunReportsWhyTheDriverCannotBeInstalled(t *testing.T) {
	newFirmware(t) // in which our image is not loaded
	if err := Run(); !errors.Is(err, uefi.Unsupported) {
		t.Error(err)
	}
}
