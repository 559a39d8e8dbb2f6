//go:build !tamago

package driver

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"tamaccid/baremetal/usbhost/usbtest"
	"tamaccid/uefi"
	"tamaccid/uefi/smartcard"
)

// Firmware that keeps a pointer into the image: the image stays, and everything works or can be
// tried again.

func TestStopIsRefusedWhileFirmwarePollsTheReader(t *testing.T) {
	for _, st := range []uefi.Status{uefi.DeviceError, uefi.InvalidParameter, uefi.OutOfResources} {
		t.Run(st.Error(), func(t *testing.T) {
			fw, d, u := started(t, 2)
			if u.polled == 0 {
				t.Fatal("the interrupt endpoint is not polled")
			}
			child := d.slots(u.handle)[1]
			if st := d.stopOn(u.handle, child); st != uefi.Success {
				t.Fatal(st)
			}
			u.endless = st
			before := fw.state()
			for range 2 {
				if st := d.stopOn(u.handle); st != uefi.DeviceError {
					t.Errorf("Stop: %v", st)
				}
				if st := call(d.unload, uintptr(ourImage)); st != uefi.AccessDenied {
					t.Errorf("Unload: %v", st)
				}
				if after := fw.state(); after != before || u.polled == 0 {
					t.Errorf("before %s, after %s", before, after)
				}
				if err := d.use(t, fw, u.handle); err != nil {
					t.Error(err)
				}
			}
			u.endless = uefi.Success
			if st := d.stopOn(u.handle); st != uefi.Success || u.polled != 0 || len(fw.opened) != 0 || fw.count(smartcard.GUID) != 0 {
				t.Errorf("Stop, another time: %v, left: %s", st, fw.state())
			}
			if st := call(d.unload, uintptr(ourImage)); st != uefi.Success {
				t.Errorf("Unload, another time: %v", st)
			}
		})
	}
}

func TestStopOfAReaderThatFirmwarePollsNoLonger(t *testing.T) {
	fw, d, u := started(t, 1)
	u.endless = uefi.NotFound
	if st := d.stopOn(u.handle); st != uefi.Success || len(fw.opened) != 0 {
		t.Errorf("Stop: %v, left: %s", st, fw.state())
	}
	if st := call(d.unload, uintptr(ourImage)); st != uefi.Success {
		t.Errorf("Unload: %v", st)
	}
}

// Stop of a reader that has gone must not fail for ever: edk2's UsbBusDxe keeps the record of a
// device until its drivers have stopped, and repeats that each time it looks at its ports.
func TestAReaderThatHasGoneAndThatFirmwarePollsOnKeepsTheImage(t *testing.T) {
	fw, d, u := started(t, 1)
	u.endless = uefi.DeviceError
	u.device.Unplug()
	if st := d.stopOn(u.handle); st != uefi.Success || len(fw.opened) != 0 || fw.count(smartcard.GUID) != 0 {
		t.Errorf("Stop: %v, left: %s", st, fw.state())
	}
	before := fw.state()
	for range 2 {
		if st := call(d.unload, uintptr(ourImage)); st != uefi.AccessDenied {
			t.Errorf("Unload: %v", st)
		}
	}
	if len(d.polled) != 1 {
		t.Error("the memory that firmware writes to is kept by nobody")
	}
	if after := fw.state(); after != before {
		t.Errorf("before %s, after %s", before, after)
	}
	// The driver goes on.
	v := fw.plug(withSlots(1), 0)
	if st := d.startOn(v.handle); st != uefi.Success {
		t.Fatal(st)
	}
	if err := d.use(t, fw, v.handle); err != nil {
		t.Error(err)
	}
}

func TestAReaderIsPolledOnWhenStopFails(t *testing.T) {
	fw, d, u := started(t, 1)
	fw.hold(u.handle)
	if st := d.stopOn(u.handle); st != uefi.DeviceError || u.polled == 0 {
		t.Errorf("Stop: %v, polled: %v", st, u.polled != 0)
	}
	fw.refuse = nil
	if st := d.stopOn(u.handle); st != uefi.Success || u.polled != 0 {
		t.Errorf("Stop: %v, polled: %v", st, u.polled != 0)
	}
}

func TestAChildWhoseInterfacesFirmwareKeepsIsStoppedLater(t *testing.T) {
	fw, d := newDriver(t)
	u := fw.plug(withSlots(2), 0)
	before := fw.state()
	fw.partial = true
	fw.refuse = func(service string, on uefi.Handle, guid uefi.GUID) uefi.Status {
		switch {
		case service == "install" && guid == uefi.DevicePathGUID:
			return uefi.OutOfResources
		case service == "uninstall" && on != u.handle:
			return uefi.AccessDenied
		}
		return uefi.Success
	}
	if st := d.startOn(u.handle); st != uefi.OutOfResources {
		t.Fatal(st)
	}
	if n := fw.count(smartcard.GUID); n == 0 {
		t.Fatal("firmware has kept nothing")
	}
	if st := call(d.unload, uintptr(ourImage)); st != uefi.AccessDenied {
		t.Errorf("Unload: %v", st)
	}
	fw.refuse = nil
	for _, h := range d.slots(u.handle) {
		if h != u.handle {
			if st := d.stopOn(u.handle, h); st != uefi.Success {
				t.Errorf("Stop of the child: %v", st)
			}
		}
	}
	if st := d.stopOn(u.handle); st != uefi.Success {
		t.Errorf("Stop: %v", st)
	}
	if after := fw.state(); after != before {
		t.Errorf("before %s, after %s", before, after)
	}
}

func TestAnImageWhoseProtocolsFirmwareKeepsStays(t *testing.T) {
	for _, c := range []struct {
		name string
		kept uefi.Status // of the removal of the protocol that was installed
		want error
	}{
		{name: "nothing is kept", want: uefi.OutOfResources},
		{name: "a protocol is kept", kept: uefi.AccessDenied},
	} {
		t.Run(c.name, func(t *testing.T) {
			fw := newFirmware(t)
			loaded := place(t, uefi.LoadedImage{})
			fw.handles[uefi.ImageHandle()] = map[uefi.GUID]uintptr{uefi.LoadedImageGUID: addr(loaded)}
			fw.refuse = func(service string, _ uefi.Handle, guid uefi.GUID) uefi.Status {
				switch {
				case service == "install" && guid == uefi.ComponentName2GUID:
					return uefi.OutOfResources
				case service == "uninstall":
					return c.kept
				}
				return uefi.Success
			}
			if err := Run(); !errors.Is(err, c.want) { // it returns from gate.Serve at once
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}

func TestUnloadIsRefusedWhileAnEventCannotBeClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fw, d := newDirect(t)
		f := fw.plugHost()
		if st := d.locked(d.start, 0, uintptr(f.handle), 0); st != uefi.Success {
			t.Fatal(st)
		}
		fw.refuse = func(service string, _ uefi.Handle, _ uefi.GUID) uefi.Status {
			if service == "close event" {
				return uefi.InvalidParameter
			}
			return uefi.Success
		}
		for range 2 {
			if st := d.locked(d.unload, uintptr(ourImage)); st != uefi.AccessDenied {
				t.Fatalf("Unload: %v", st)
			}
			if fw.handles[ourImage][uefi.DriverBindingGUID] == 0 {
				t.Error("the driver that stays has lost its protocols")
			}
			f.virtual = newVirtual()
			f.virtual.Plug(1, usbtest.Reader(withSlots(1)))
			if st := d.locked(d.start, 0, uintptr(f.handle), 0); st != uefi.Success {
				t.Fatalf("Start: %v", st)
			}
			synctest.Wait()
			if err := d.use(t, fw, fw.readerHandles()[0]); err != nil {
				t.Error(err)
			}
		}
		fw.refuse = nil
		if st := d.locked(d.unload, uintptr(ourImage)); st != uefi.Success || fw.events != 0 {
			t.Errorf("Unload: %v, %d events", st, fw.events)
		}
	})
}

func TestEventsAreMadeAgainAfterAnUnloadThatWasRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fw, d := newDirect(t)
		f := fw.plugHost()
		if st := d.locked(d.start, 0, uintptr(f.handle), 0); st != uefi.Success {
			t.Fatal(st)
		}
		fw.refuse = func(service string, h uefi.Handle, _ uefi.GUID) uefi.Status {
			if service == "uninstall" && h == ourImage {
				return uefi.AccessDenied
			}
			return uefi.Success
		}
		if st := d.locked(d.unload, uintptr(ourImage)); st != uefi.AccessDenied {
			t.Fatalf("Unload: %v", st)
		}
		if got, want := fmt.Sprint(fw.asked), fmt.Sprint([]uefi.Handle{f.handle}); got != want {
			t.Errorf("asked for drivers of %v, want %v: nobody manages the controller", got, want)
		}
		fw.refuse = nil
		f.virtual = newVirtual()
		if st := d.locked(d.start, 0, uintptr(f.handle), 0); st != uefi.Success || fw.armed() != 1 {
			t.Fatalf("Start: %v, %d timers", st, fw.armed())
		}
		d.silence()
		if f.halted != 1 {
			t.Error("the end of boot services does not stop the controller")
		}
		if st := d.locked(d.unload, uintptr(ourImage)); st != uefi.Success || fw.events != 0 {
			t.Errorf("Unload: %v, %d events", st, fw.events)
		}
	})
}

// TestAHostThatARefusedUnloadGaveBackIsNotTakenAgain: while firmware looks for drivers of a host
// controller that was given back, it asks this one too, which refuses.
func TestAHostThatARefusedUnloadGaveBackIsNotTakenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const came = uefi.Handle(0x77) // during the call, before
		fw, d := newDirect(t)
		f := fw.plugHost()
		if st := d.locked(d.start, 0, uintptr(f.handle), 0); st != uefi.Success {
			t.Fatal(st)
		}
		fw.refuse = func(service string, h uefi.Handle, _ uefi.GUID) uefi.Status {
			if service == "uninstall" && h == ourImage {
				return uefi.AccessDenied
			}
			return uefi.Success
		}
		r := refusals{supported: []uefi.Handle{came}}
		r.install(t, d)
		fw.asks = func(h uefi.Handle) { r.supported = append(r.supported, h) }
		var connected []uefi.Handle
		replace(t, &connectDrivers, func(h uintptr) bool { connected = append(connected, uefi.Handle(h)); return true })
		if st := d.locked(d.unload, uintptr(ourImage)); st != uefi.AccessDenied {
			t.Fatalf("Unload: %v", st)
		}
		d.afterCall()
		if got, want := fmt.Sprint(fw.asked, connected), fmt.Sprint([]uefi.Handle{f.handle}, []uefi.Handle{came}); got != want {
			t.Errorf("drivers are looked for in the call, and connected after it: %v, want %v", got, want)
		}
	})
}

func TestTheEndOfBootServicesIsWatchedAfterARefusedUnload(t *testing.T) {
	fw, d := newDriver(t)
	if err := d.atExit(); err != nil {
		t.Fatal(err)
	}
	r := refusals{supported: []uefi.Handle{0x77}}
	r.install(t, d)
	replace(t, &connectDrivers, func(uintptr) bool { return true })
	d.afterCall()
	closed := 0
	fw.refuse = func(service string, _ uefi.Handle, _ uefi.GUID) uefi.Status {
		if service == "close event" {
			if closed++; closed > 1 {
				return uefi.InvalidParameter
			}
		}
		return uefi.Success
	}
	if st := call(d.unload, uintptr(ourImage)); st != uefi.AccessDenied || closed != 2 {
		t.Fatalf("Unload: %v, %d events", st, closed)
	}
	if d.direct.exit == 0 {
		t.Error("the driver stays, and nothing is called at the end of boot services")
	}
	fw.refuse = nil
	if st := call(d.unload, uintptr(ourImage)); st != uefi.Success || fw.events != 0 {
		t.Errorf("Unload: %v, %d events", st, fw.events)
	}
}

func TestAControllerThatDoesNotStopKeepsItsMemory(t *testing.T) {
	for _, c := range []struct {
		name  string
		stuck error
		pages int
	}{
		{name: "it stops"},
		{name: "it does not stop", stuck: errors.New("induced"), pages: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fw, d := newDirect(t)
				f := fw.plugHost()
				f.attributes |= uefi.PCIBusMaster // as firmware's driver left it
				f.stuck = c.stuck
				if st := d.locked(d.start, 0, uintptr(f.handle), 0); st != uefi.Success {
					t.Fatal(st)
				}
				if len(f.pages) != 1 {
					t.Fatalf("%d buffers", len(f.pages))
				}
				if st := d.stopHost(f); st != uefi.Success {
					t.Error(st)
				}
				if len(f.pages) != c.pages {
					t.Errorf("%d buffers are left, want %d", len(f.pages), c.pages)
				}
				if master := f.attributes&uefi.PCIBusMaster != 0; master != (c.stuck == nil) {
					t.Errorf("bus master: %v", master)
				}
			})
		})
	}
}
