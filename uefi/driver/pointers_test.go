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
	"tamaccid/uefi/uefitest"
)

// Firmware keeps a pointer into the image: the image stays, and everything works or can be tried
// again.

func TestStopIsRefusedWhileFirmwarePollsTheReader(t *testing.T) {
	for _, st := range []uefi.Status{uefi.DeviceError, uefi.InvalidParameter, uefi.OutOfResources} {
		t.Run(st.Error(), func(t *testing.T) {
			fw, d, u := started(t, 2)
			if u.Polled == 0 {
				t.Fatal("the interrupt endpoint is not polled")
			}
			child := d.slots(u.Handle)[1]
			must(t, d.stopOn(u.Handle, child))
			u.PollStatus = st
			before := fw.State()
			for range 2 {
				if st := d.stopOn(u.Handle); st != uefi.DeviceError {
					t.Errorf("Stop: %v", st)
				}
				if st := call(d.unload, uintptr(ourImage)); st != uefi.AccessDenied {
					t.Errorf("Unload: %v", st)
				}
				if after := fw.State(); after != before || u.Polled == 0 {
					t.Errorf("before %s, after %s", before, after)
				}
				check(t, d.use(t, fw, u.Handle))
			}
			u.PollStatus = uefi.Success
			if st := d.stopOn(u.Handle); st != uefi.Success || u.Polled != 0 ||
				len(fw.Opened) != 0 || fw.Count(smartcard.GUID) != 0 {
				t.Errorf("Stop, another time: %v, left: %s", st, fw.State())
			}
			check(t, call(d.unload, uintptr(ourImage)))
		})
	}
}

func TestStopOfAReaderThatFirmwarePollsNoLonger(t *testing.T) {
	fw, d, u := started(t, 1)
	u.PollStatus = uefi.NotFound
	if st := d.stopOn(u.Handle); st != uefi.Success || len(fw.Opened) != 0 {
		t.Errorf("Stop: %v, left: %s", st, fw.State())
	}
	check(t, call(d.unload, uintptr(ourImage)))
}

// Stop of a reader that has gone must not fail for ever: edk2's UsbBusDxe keeps the record of a
// device until its drivers have stopped, and repeats that each time it looks at its ports.
func TestAReaderThatHasGoneAndThatFirmwarePollsOnKeepsTheImage(t *testing.T) {
	fw, d, u := started(t, 1)
	u.PollStatus = uefi.DeviceError
	u.device.Unplug()
	if st := d.stopOn(u.Handle); st != uefi.Success || len(fw.Opened) != 0 ||
		fw.Count(smartcard.GUID) != 0 {
		t.Errorf("Stop: %v, left: %s", st, fw.State())
	}
	before := fw.State()
	for range 2 {
		if st := call(d.unload, uintptr(ourImage)); st != uefi.AccessDenied {
			t.Errorf("Unload: %v", st)
		}
	}
	if len(d.polled) != 1 {
		t.Error("the memory that firmware writes to is not referenced")
	}
	if after := fw.State(); after != before {
		t.Errorf("before %s, after %s", before, after)
	}
	// The driver goes on.
	v := fw.plug(withSlots(1), 0)
	must(t, d.startOn(v.Handle))
	check(t, d.use(t, fw, v.Handle))
}

func TestAReaderIsPolledOnWhenStopFails(t *testing.T) {
	fw, d, u := started(t, 1)
	fw.hold(u.Handle)
	if st := d.stopOn(u.Handle); st != uefi.DeviceError || u.Polled == 0 {
		t.Errorf("Stop: %v, polled: %v", st, u.Polled != 0)
	}
	fw.Refuse = nil
	if st := d.stopOn(u.Handle); st != uefi.Success || u.Polled != 0 {
		t.Errorf("Stop: %v, polled: %v", st, u.Polled != 0)
	}
}

func TestAChildWhoseInterfacesFirmwareKeepsIsStoppedLater(t *testing.T) {
	fw, d := newDriver(t)
	u := fw.plug(withSlots(2), 0)
	before := fw.State()
	fw.Partial = true
	fw.Refuse = func(service string, on uefi.Handle, guid uefi.GUID) uefi.Status {
		switch {
		case service == "install" && guid == uefi.DevicePathGUID:
			return uefi.OutOfResources
		case service == "uninstall" && on != u.Handle:
			return uefi.AccessDenied
		}
		return uefi.Success
	}
	if st := d.startOn(u.Handle); st != uefi.OutOfResources {
		t.Fatal(st)
	}
	if n := fw.Count(smartcard.GUID); n == 0 {
		t.Fatal("firmware has kept nothing")
	}
	if st := call(d.unload, uintptr(ourImage)); st != uefi.AccessDenied {
		t.Errorf("Unload: %v", st)
	}
	fw.Refuse = nil
	for _, h := range d.slots(u.Handle) {
		if h != u.Handle {
			check(t, d.stopOn(u.Handle, h))
		}
	}
	check(t, d.stopOn(u.Handle))
	if after := fw.State(); after != before {
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
			fw.Handles[uefi.ImageHandle()] = map[uefi.GUID]uintptr{
				uefi.LoadedImageGUID: addr(loaded),
			}
			fw.Refuse = func(service string, _ uefi.Handle, guid uefi.GUID) uefi.Status {
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
		must(t, d.locked(d.start, 0, uintptr(f.Handle), 0))
		fw.Refuse = uefitest.Only("close event", uefi.InvalidParameter)
		for range 2 {
			if st := d.locked(d.unload, uintptr(ourImage)); st != uefi.AccessDenied {
				t.Fatalf("Unload: %v", st)
			}
			if fw.Handles[ourImage][uefi.DriverBindingGUID] == 0 {
				t.Error("the driver that stays has lost its protocols")
			}
			f.virtual = newVirtual()
			f.virtual.Plug(1, usbtest.Reader(withSlots(1)))
			must(t, d.locked(d.start, 0, uintptr(f.Handle), 0))
			synctest.Wait()
			check(t, d.use(t, fw, fw.readerHandles()[0]))
		}
		fw.Refuse = nil
		if st := d.locked(d.unload, uintptr(ourImage)); st != uefi.Success || len(fw.Events) != 0 {
			t.Errorf("Unload: %v, %d events", st, len(fw.Events))
		}
	})
}

func TestEventsAreMadeAgainAfterAnUnloadThatWasRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fw, d := newDirect(t)
		f := fw.plugHost()
		must(t, d.locked(d.start, 0, uintptr(f.Handle), 0))
		fw.Refuse = uefitest.Only("uninstall", uefi.AccessDenied, ourImage)
		if st := d.locked(d.unload, uintptr(ourImage)); st != uefi.AccessDenied {
			t.Fatalf("Unload: %v", st)
		}
		if got, want := fmt.Sprint(fw.Connected), fmt.Sprint([]uefi.Handle{f.Handle}); got != want {
			t.Errorf("asked for drivers of %v, want %v: no driver manages the controller", got,
				want)
		}
		fw.Refuse = nil
		f.virtual = newVirtual()
		if st := d.locked(d.start, 0, uintptr(f.Handle), 0); st != uefi.Success || fw.Armed() != 1 {
			t.Fatalf("Start: %v, %d timers", st, fw.Armed())
		}
		d.silence()
		if f.halted != 1 {
			t.Error("the end of boot services does not stop the controller")
		}
		if st := d.locked(d.unload, uintptr(ourImage)); st != uefi.Success || len(fw.Events) != 0 {
			t.Errorf("Unload: %v, %d events", st, len(fw.Events))
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
		must(t, d.locked(d.start, 0, uintptr(f.Handle), 0))
		fw.Refuse = uefitest.Only("uninstall", uefi.AccessDenied, ourImage)
		r := refusals{supported: []uefi.Handle{came}}
		r.install(t, d)
		fw.Connect = func(h uefi.Handle, _ []uefi.Handle, _ bool) {
			r.supported = append(r.supported, h)
		}
		var connected []uefi.Handle
		replace(t, &connectDrivers,
			func(h uintptr) bool { connected = append(connected, uefi.Handle(h)); return true })
		if st := d.locked(d.unload, uintptr(ourImage)); st != uefi.AccessDenied {
			t.Fatalf("Unload: %v", st)
		}
		d.afterCall()
		if got, want := fmt.Sprint(fw.Connected, connected), fmt.Sprint([]uefi.Handle{f.Handle},
			[]uefi.Handle{came}); got != want {
			t.Errorf("drivers are looked for in the call, and connected after it: %v, want %v", got,
				want)
		}
	})
}

func TestTheEndOfBootServicesIsWatchedAfterARefusedUnload(t *testing.T) {
	fw, d := newDriver(t)
	must(t, d.atExit())
	r := refusals{supported: []uefi.Handle{0x77}}
	r.install(t, d)
	replace(t, &connectDrivers, func(uintptr) bool { return true })
	d.afterCall()
	closed := 0
	fw.Refuse = func(service string, _ uefi.Handle, _ uefi.GUID) uefi.Status {
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
	fw.Refuse = nil
	if st := call(d.unload, uintptr(ourImage)); st != uefi.Success || len(fw.Events) != 0 {
		t.Errorf("Unload: %v, %d events", st, len(fw.Events))
	}
}

func TestAControllerThatDoesNotStopKeepsItsMemory(t *testing.T) {
	for _, c := range []struct {
		name  string
		stuck error
		pages int
	}{
		{name: "it stops"},
		{name: "it does not stop", stuck: errors.New("injected"), pages: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fw, d := newDirect(t)
				f := fw.plugHost()
				f.Has |= uefi.PCIBusMaster // as firmware's driver left it
				f.stuck = c.stuck
				must(t, d.locked(d.start, 0, uintptr(f.Handle), 0))
				if len(f.Pages) != 1 {
					t.Fatalf("%d buffers", len(f.Pages))
				}
				check(t, d.stopHost(f))
				if len(f.Pages) != c.pages {
					t.Errorf("%d buffers are left, want %d", len(f.Pages), c.pages)
				}
				if master := f.Has&uefi.PCIBusMaster != 0; master != (c.stuck == nil) {
					t.Errorf("bus master: %v", master)
				}
			})
		})
	}
}
