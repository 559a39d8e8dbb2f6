//go:build !tamago

package driver

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/usbtest"
	sim "tamaccid/ccid/sim/reader"
	"tamaccid/ccid/usb"
	"tamaccid/uefi"
	"tamaccid/uefi/gate"
	"tamaccid/uefi/smartcard"
	"tamaccid/uefi/uefitest"
)

// locked calls a function of the binding as firmware does, while goroutines go on.
//
//go:uintptrescapes
func (d *Driver) locked(f func(*gate.Args) uefi.Status, args ...uintptr) uefi.Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	return f(gate.NewArgs(args...))
}

func (d *Driver) stopHost(f *pciFunction) uefi.Status {
	return d.locked(d.stop, 0, uintptr(f.Handle), 0, 0)
}

// later is more than a device needs to come or go.
func later() {
	time.Sleep(5 * time.Second)
	synctest.Wait()
}

func TestSupportedHosts(t *testing.T) {
	usbNodeAt := func(n ...byte) func(t *testing.T) uintptr {
		return func(t *testing.T) uintptr {
			return uintptr(unsafe.Pointer(&place(t, [16]byte(append(n, make([]byte, 16)...)))[0]))
		}
	}
	for _, c := range []struct {
		name      string
		usb       usage
		change    func(fw *firmware, f *pciFunction)
		remaining func(t *testing.T) uintptr
		want      uefi.Status
	}{
		{name: "a controller without a driver", want: uefi.Success},
		{name: "a controller that firmware's driver has",
			change: func(fw *firmware, f *pciFunction) {
				f.ownedBy(fw, otherDriver, uefi.OpenByDriver)
			}, want: uefi.AccessDenied},
		{name: "the same, on request", usb: usbDirect,
			change: func(fw *firmware, f *pciFunction) {
				f.ownedBy(fw, otherDriver, uefi.OpenByDriver)
			}, want: uefi.Success},
		{name: "a controller without a driver, but it is forbidden", usb: usbFirmware,
			want: uefi.Unsupported},
		{name: "an EHCI controller",
			change: func(fw *firmware, f *pciFunction) { f.Class = 0x0c032000 },
			want:   uefi.Unsupported},
		{name: "an EHCI controller, on request", usb: usbDirect,
			change: func(fw *firmware, f *pciFunction) { f.Class = 0x0c032000 },
			want:   uefi.Unsupported},
		{name: "a path that ends here", remaining: usbNodeAt(0x7f, 0xff, 4, 0), want: uefi.Success},
		{name: "a USB device", remaining: usbNodeAt(3, 5, 6, 0, 1, 0, 0x7f, 0xff, 4, 0),
			want: uefi.Success},
		{name: "any USB keyboard", remaining: usbNodeAt(3, 15, 4, 0, 0x7f, 0xff, 4, 0),
			want: uefi.Success},
		{name: "something else on it", remaining: usbNodeAt(1, 1, 6, 0, 1, 0, 0x7f, 0xff, 4, 0),
			want: uefi.Unsupported},
		{name: "a path without an end", remaining: usbNodeAt(3, 5, 1, 0), want: uefi.Unsupported},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fw, d := newDriver(t)
				d.options.usb = c.usb
				f := fw.plugHost()
				if c.change != nil {
					c.change(fw, f)
				}
				remaining := uintptr(0)
				if c.remaining != nil {
					remaining = c.remaining(t)
				}
				before := fw.State()
				if st := d.locked(d.supported, 0, uintptr(f.Handle), remaining); st != c.want {
					t.Errorf("status %v, want %v", st, c.want)
				}
				if after := fw.State(); after != before || f.Has != 0x100 {
					t.Errorf("before %s, after %s", before, after)
				}
			})
		})
	}
}

func TestAHostIsTakenAndLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fw, d := newDirect(t)
		f := fw.plugHost()
		f.ownedBy(fw, otherDriver, uefi.OpenByDriver)
		hub := usbtest.NewHub(usbtest.HubModel{Speed: usb.SpeedHigh, Ports: 4})
		f.virtual.Plug(1, usbtest.Reader(withSlots(2)))
		f.virtual.Plug(3, hub)
		hub.Plug(2, usbtest.Reader(withSlots(1)))
		must(t, d.locked(d.start, 0, uintptr(f.Handle), 0))
		synctest.Wait()
		if st := d.locked(d.start, 0, uintptr(f.Handle), 0); st != uefi.AlreadyStarted {
			t.Errorf("a second Start: %v", st)
		}
		var paths []string
		for _, h := range fw.readerHandles() {
			check(t, d.use(t, fw, h))
			paths = append(paths, d.boot.DevicePathOf(h).String())
			want := opened(f.Handle, uefi.PCIIOGUID, ourImage, h, uefi.OpenByChildController)
			if !slices.Contains(fw.Opened, want) {
				t.Errorf("open: %v, want %v among it", fw.Opened, want)
			}
		}
		slices.Sort(paths)
		root := d.boot.DevicePathOf(f.Handle).String()
		if got, want := fmt.Sprint(paths), fmt.Sprint([]string{root + "/USB(0x0,0x0)",
			root + "/USB(0x0,0x0)/Path(1,5,01000000)",
			root + "/USB(0x2,0x0)/USB(0x1,0x0)"}); got != want {
			t.Errorf("device paths %s, want %s", got, want)
		}
		if f.Has != 0x8700 || len(fw.Events) != 2 {
			t.Errorf("attributes %#x, %d events", f.Has, len(fw.Events))
		}
		english := text(t, "en")
		out := place(t, uintptr(0))
		if st := call(d.controllerName, 0, uintptr(f.Handle), 0, english,
			addr(out)); st != uefi.Success || uefi.StringAt(*out, maxText) != "virtual xHCI" {
			t.Errorf("name %q, %v", uefi.StringAt(*out, maxText), st)
		}
		must(t, d.stopHost(f))
		later()
		if len(fw.readerHandles()) != 0 || len(fw.Opened) != 0 || len(d.bound) != 0 ||
			f.Has != 0x100 || fw.Armed() != 0 {
			t.Errorf("left: %s, attributes %#x, %d timers", fw.State(), f.Has, fw.Armed())
		}
		if len(fw.Connected) != 0 {
			t.Errorf("asked for drivers of %v: Stop leaves a controller unmanaged", fw.Connected)
		}
		if n := f.virtual.Slots(); n != 0 {
			t.Errorf("%d devices are left on the controller", n)
		}
		if v := f.virtual.Violations(); len(v) != 0 {
			t.Error(v)
		}
	})
}

func TestReadersComeAndGoOnAHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fw, d := newDirect(t)
		f := fw.plugHost()
		must(t, d.locked(d.start, 0, uintptr(f.Handle), 0))
		before := fw.State()
		for range 3 {
			f.virtual.Plug(2, usbtest.Reader(withSlots(3)))
			later()
			handles := fw.readerHandles()
			if len(handles) != 3 {
				t.Fatalf("%d slots", len(handles))
			}
			this := fw.Handles[handles[1]][smartcard.GUID]
			check(t, d.use(t, fw, handles[1]))
			f.virtual.Unplug(2)
			later()
			if after := fw.State(); after != before {
				t.Errorf("before %s, after %s", before, after)
			}
			if st := call(d.status, this, 0, 0, 0, 0, 0, 0); st != uefi.DeviceError {
				t.Errorf("a slot of a reader that has gone: %v", st)
			}
		}
		check(t, d.stopHost(f))
	})
}

func TestASlotInUseStaysInstalledWithoutItsReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fw, d := newDirect(t)
		f := fw.plugHost()
		f.virtual.Plug(2, usbtest.Reader(withSlots(1)))
		must(t, d.locked(d.start, 0, uintptr(f.Handle), 0))
		synctest.Wait()
		held := fw.readerHandles()[0]
		this := fw.Handles[held][smartcard.GUID]
		fw.hold(held)
		f.virtual.Unplug(2)
		later()
		if fw.Handles[held][smartcard.GUID] != this {
			t.Fatal("it is gone")
		}
		if st := call(d.status, this, 0, 0, 0, 0, 0, 0); st != uefi.DeviceError {
			t.Errorf("its status: %v", st)
		}
		if st := d.stopHost(f); st != uefi.DeviceError {
			t.Errorf("Stop: %v", st)
		}
		// The same place is taken again only when it is free.
		f.virtual.Plug(2, usbtest.Reader(withSlots(1)))
		later()
		if got := fw.readerHandles(); len(got) != 1 || got[0] != held {
			t.Errorf("handles %v", got)
		}
		f.virtual.Unplug(2)
		later()
		fw.Refuse = nil
		f.virtual.Plug(2, usbtest.Reader(withSlots(1)))
		later()
		if got := fw.readerHandles(); len(got) != 1 || got[0] == held {
			t.Fatalf("handles %v", got)
		}
		check(t, d.use(t, fw, fw.readerHandles()[0]))
		check(t, d.stopHost(f))
	})
}

func TestStopOfAHostsChildren(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fw, d := newDirect(t)
		f := fw.plugHost()
		f.virtual.Plug(1, usbtest.Reader(withSlots(3)))
		must(t, d.locked(d.start, 0, uintptr(f.Handle), 0))
		synctest.Wait()
		handles := fw.readerHandles()
		must(t, d.locked(d.stop, 0, uintptr(f.Handle), 2,
			uintptr(unsafe.Pointer(&handles[1]))))
		if left := fw.readerHandles(); len(left) != 1 || left[0] != handles[0] {
			t.Errorf("left: %v of %v", left, handles)
		}
		check(t, d.use(t, fw, handles[0]))
		check(t, d.stopHost(f))
	})
}

func TestStartOfAHostThatFailsLeavesNothingBehind(t *testing.T) {
	noEvents := func(fw *firmware, f *pciFunction) {
		fw.Refuse = uefitest.Only("event", uefi.OutOfResources)
	}
	for _, c := range []struct {
		name   string
		change func(fw *firmware, f *pciFunction)
		want   uefi.Status
	}{
		{name: "firmware's driver does not leave", want: uefi.AccessDenied,
			change: func(fw *firmware, f *pciFunction) { fw.Stays = true }},
		{name: "another driver has it exclusively", want: uefi.AccessDenied,
			change: func(fw *firmware, f *pciFunction) { fw.Opened[0].How |= uefi.OpenExclusive }},
		{name: "it is no controller of a known kind", want: uefi.Unsupported,
			change: func(fw *firmware, f *pciFunction) { f.Class = 0 }},
		{name: "it does not start", want: uefi.DeviceError,
			change: func(fw *firmware, f *pciFunction) { f.broken = errors.New("injected") }},
		{name: "it has no device path", want: uefi.DeviceError,
			change: func(fw *firmware, f *pciFunction) {
				delete(fw.Handles[f.Handle], uefi.DevicePathGUID)
			}},
		{name: "there is no timer", want: uefi.OutOfResources, change: noEvents},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fw, d := newDirect(t)
				f := fw.plugHost()
				f.ownedBy(fw, otherDriver, uefi.OpenByDriver)
				c.change(fw, f)
				if st := d.locked(d.start, 0, uintptr(f.Handle), 0); st != c.want {
					t.Errorf("status %v, want %v", st, c.want)
				}
				ours := slices.ContainsFunc(fw.Opened,
					func(o uefitest.Opening) bool { return o.Agent == ourImage })
				if ours || len(d.bound) != 0 || len(d.allHosts()) != 0 || f.Has != 0x100 {
					t.Errorf("left: %s, attributes %#x", fw.State(), f.Has)
				}
			})
		})
	}
}

func TestReadersOfFirmwaresStackLeaveBeforeTheirHostIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fw, d := newDirect(t)
		f := fw.plugHost()
		on, off := fw.plug(withSlots(2), 0), fw.plug(withSlots(1), 0)
		path, err := f.Path.Append(uefi.Node{Type: uefi.MessagingNode, SubType: usbNode,
			Data: []byte{0, 0}})
		if err != nil {
			t.Fatal(err)
		}
		on.Path = path
		fw.Handles[on.Handle][uefi.DevicePathGUID] = uintptr(unsafe.Pointer(&on.Path[0]))
		for _, u := range []*usbInterface{on, off} {
			must(t, d.locked(d.start, 0, uintptr(u.Handle), 0))
		}
		must(t, d.locked(d.start, 0, uintptr(f.Handle), 0))
		if d.bound[on.Handle] != nil || d.bound[off.Handle] == nil {
			t.Error("the wrong readers have left")
		}
		check(t, d.use(t, fw, off.Handle))
		check(t, d.stopHost(f))
	})
}

func TestTheEndOfBootServicesStopsAllHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fw, d := newDirect(t)
		d.silence() // without a host
		f := fw.plugHost()
		must(t, d.locked(d.start, 0, uintptr(f.Handle), 0))
		in := &fakeSlot{t: t, name: "with a command in progress"}
		d.readers.new(in.name, in, d.functions)
		d.readers.retire(d.readers.new("gone", &fakeSlot{t: t}, d.functions))
		d.mu.Lock() // by a goroutine that will never run again
		d.silence()
		d.mu.Unlock()
		if in.wiped == 0 {
			t.Error("commands in progress are not wiped")
		}
		if f.halted != 1 || f.Command != 0x0402 {
			t.Errorf("halted %d times, command %#x", f.halted, f.Command)
		}
		check(t, d.stopHost(f))
		d.silence()
		if f.halted != 1 {
			t.Error("a controller that was given back is stopped")
		}
	})
}

func TestUnloadGivesHostsBackAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fw, d := newDirect(t)
		f := fw.plugHost()
		f.virtual.Plug(1, usbtest.Reader(withSlots(2)))
		must(t, d.locked(d.start, 0, uintptr(f.Handle), 0))
		must(t, d.locked(d.unload, uintptr(ourImage)))
		if len(fw.Events) != 0 || len(fw.Opened) != 0 || fw.Count(smartcard.GUID) != 0 ||
			fmt.Sprint(fw.Connected) != fmt.Sprint([]uefi.Handle{f.Handle}) {
			t.Errorf("left: %s; asked for drivers of %v", fw.State(), fw.Connected)
		}
	})
}

func TestInterfacePath(t *testing.T) {
	root, err := uefi.NewDevicePath(uefi.Node{Type: uefi.HardwareNode, SubType: 1,
		Data: []byte{0, 4}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		at     usbhost.Location
		number uint8
		want   string
	}{
		{usbhost.Location{RootPort: 1}, 0, "USB(0x0,0x0)"},
		{usbhost.Location{RootPort: 8}, 2, "USB(0x7,0x2)"},
		{usbhost.Location{RootPort: 2, Route: 3, Tier: 1}, 1, "USB(0x1,0x0)/USB(0x2,0x1)"},
		{usbhost.Location{RootPort: 1, Route: 0x5432f, Tier: 5}, 0,
			"USB(0x0,0x0)/USB(0xE,0x0)/USB(0x1,0x0)/USB(0x2,0x0)/USB(0x3,0x0)/USB(0x4,0x0)"},
	} {
		p, err := interfacePath(root, c.at, c.number)
		if want := "Pci(0x4,0x0)/" + c.want; err != nil || p.String() != want {
			t.Errorf("%+v: %v, %v, want %s", c.at, p, err, want)
		}
	}
}

func TestKindsOfDevices(t *testing.T) {
	for _, c := range []struct {
		i    usb.Interface
		want string
	}{
		{usb.Interface{Class: 3, SubClass: 1, Protocol: 1}, "keyboard"},
		{usb.Interface{Class: 3, SubClass: 1, Protocol: 2}, "mouse"},
		{usb.Interface{Class: 3}, "input device"},
		{usb.Interface{Class: 8, SubClass: 6, Protocol: 0x50}, "storage device"},
		{usb.Interface{Class: 0xff, SubClass: 1, Protocol: 1}, "device"},
	} {
		if got := kind(c.i); got != c.want {
			t.Errorf("%+v: %s", c.i, got)
		}
	}
}

func TestWhatIsNoReaderOnAHostIsLeftAlone(t *testing.T) {
	vendor := func(change func(f *sim.Function)) *sim.Device {
		m := sim.New(sim.ShortAPDU)
		change(&m.Functions[0])
		return sim.NewDevice(m)
	}
	for _, c := range []struct {
		name   string
		device func() *sim.Device
		want   int // slots
	}{
		{"a reader of the vendor's own class",
			func() *sim.Device {
				return vendor(func(f *sim.Function) { f.Class = sim.ClassVendor })
			}, 1},
		{"a device of the vendor's own class", func() *sim.Device {
			return vendor(func(f *sim.Function) { f.Class, f.CCID = sim.ClassVendor, nil })
		}, 0},
		{"a keyboard with a reader's descriptor",
			func() *sim.Device { return vendor(func(f *sim.Function) { f.Class = 3 }) }, 0},
		{"a reader without a reader's descriptor",
			func() *sim.Device { return vendor(func(f *sim.Function) { f.CCID = nil }) }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fw, d := newDirect(t)
				f := fw.plugHost()
				f.virtual.Plug(1, usbtest.Reader(c.device()))
				f.virtual.Plug(2, usbtest.Reader(withSlots(1)))
				must(t, d.locked(d.start, 0, uintptr(f.Handle), 0))
				synctest.Wait()
				if n := len(fw.readerHandles()); n != c.want+1 {
					t.Errorf("%d slots are installedSlot", n)
				}
				check(t, d.stopHost(f))
			})
		})
	}
}
