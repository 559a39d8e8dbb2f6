//go:build !tamago

package driver

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/baremetal/usbhost/usbtest"
	sim "tamaccid/ccid/sim/reader"
	"tamaccid/uefi"
	"tamaccid/uefi/smartcard"
)

const xfrBlock = 0x6F // PC_to_RDR_XfrBlock (CCID 1.1, 6.1.4)

// replace gives a variable another value until the test ends.
func replace[T any](t *testing.T, variable *T, value T) {
	before := *variable
	*variable = value
	t.Cleanup(func() { *variable = before })
}

// statusOn is the status of SCardStatus for the slot behind a handle.
func (d *Driver) statusOn(fw *firmware, h uefi.Handle) uefi.Status {
	return call(d.status, fw.Handles[h][smartcard.GUID], 0, 0, 0, 0, 0, 0)
}

// controllerNameOn is GetControllerName of slot 0.
func (d *Driver) controllerNameOn(t *testing.T, h uefi.Handle) string {
	out := place(t, uintptr(0))
	if st := call(d.controllerName, 0, uintptr(h), 0, text(t, "en"),
		addr(out)); st != uefi.Success {
		t.Errorf("GetControllerName: %v", st)
		return ""
	}
	return uefi.StringAt(*out, maxText)
}

func TestStartWhileTimersStandStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fw, d := newDriver(t)
		u := fw.plug(withSlots(3), 0)
		before := fw.State()
		tpl := uefi.TPLCallback
		replace(t, &callerTPL, func() uefi.TPL { return tpl })
		fw.Frozen = true
		began := time.Now()
		must(t, d.startOn(u.Handle))
		if took := time.Since(began); took > startLimit {
			t.Errorf("Start took %v", took)
		}
		if st := d.statusOn(fw, u.Handle); st != uefi.DeviceError {
			t.Errorf("SCardStatus: %v", st)
		}
		if u.Requests != 0 || u.Streams != 0 {
			t.Errorf("%d control transfers and %d others while they could not end", u.Requests,
				u.Streams)
		}
		provisional := d.controllerNameOn(t, u.Handle)
		if fw.Count(smartcard.GUID) != 1 || strings.Contains(provisional, "Virtual") ||
			!strings.HasSuffix(provisional, " 0") {
			t.Errorf("%d slots, the first one %q", fw.Count(smartcard.GUID), provisional)
		}

		tpl = uefi.TPLApplication // a program calls
		for i := range 3 {
			handles := d.slots(u.Handle)
			if len(handles) <= i {
				t.Fatalf("%d slots", len(handles))
			}
			if err := d.use(t, fw, handles[i]); err != nil {
				t.Errorf("slot %d: %v", i, err)
			}
		}
		if name := d.controllerNameOn(t, u.Handle); name == provisional ||
			!strings.HasSuffix(name, " 0") {
			t.Errorf("name %q", name)
		}
		children := d.slots(u.Handle)[1:]
		check(t, d.stopOn(u.Handle, children...))
		check(t, d.stopOn(u.Handle))
		if d.afterCall(); fw.State() != before {
			t.Errorf("before %s, after %s", before, fw.State())
		}
	})
}

func TestAPostponedReaderIsStoppedBeforeItIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fw, d := newDriver(t)
		u := fw.plug(withSlots(2), 0)
		before := fw.State()
		replace(t, &callerTPL, func() uefi.TPL { return uefi.TPLCallback })
		fw.Frozen = true
		for range 3 {
			must(t, d.startOn(u.Handle))
			this := fw.Handles[u.Handle][smartcard.GUID]
			check(t, d.stopOn(u.Handle))
			if st := call(d.status, this, 0, 0, 0, 0, 0, 0); st != uefi.DeviceError {
				t.Errorf("SCardStatus after Stop: %v", st)
			}
		}
		if d.afterCall(); fw.State() != before || u.Requests+u.Streams != 0 {
			t.Errorf("before %s, after %s; %d transfers", before, fw.State(), u.Requests+u.Streams)
		}
	})
}

// TestStopWhileTimersStandStill: firmware stops the driver for a removed device in the same events
// in which it starts it.
func TestStopWhileTimersStandStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fw, d, u := started(t, 1)
		must(t, d.use(t, fw, u.Handle))
		replace(t, &callerTPL, func() uefi.TPL { return uefi.TPLCallback })
		fw.Frozen = true
		before := u.Requests + u.Streams
		check(t, d.stopOn(u.Handle))
		if n := u.Requests + u.Streams - before; n != 0 {
			t.Errorf("%d transfers while they could not end", n)
		}
		if fw.Count(smartcard.GUID) != 0 || len(fw.Opened) != 0 {
			t.Errorf("left behind: %s", fw.State())
		}
	})
}

func TestFirmwareThatIdlesOpensReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fw, d := newDriver(t)
		good, bad := fw.plug(withSlots(3), 0), fw.plug(withSlots(1), 0)
		bad.device.Inject(sim.Fault{At: sim.AtAnswer, Times: sim.Forever,
			Do: []sim.Action{sim.Lose()}})
		replace(t, &callerTPL, func() uefi.TPL { return uefi.TPLCallback })
		fw.Frozen = true
		for _, u := range []*usbInterface{good, bad} {
			must(t, d.startOn(u.Handle))
		}
		d.idle()
		if good.Requests != 0 {
			t.Error("transfers while they could not end")
		}
		fw.Frozen = false
		began := time.Now()
		for range 5 {
			d.idle()
		}
		if took := time.Since(began); took > startLimit+late {
			t.Errorf("it took %v", took)
		}
		if n := len(d.slots(good.Handle)); n != 3 {
			t.Errorf("%d slots of the good reader", n)
		}
		if d.deferred.idle != 0 {
			t.Error("the idle event is left")
		}
		check(t, d.use(t, fw, good.Handle))
	})
}

func TestFirmwareThatIdlesWithTimersThatNeverRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fw, d := newDriver(t)
		u := fw.plug(withSlots(1), 0)
		replace(t, &callerTPL, func() uefi.TPL { return uefi.TPLCallback })
		fw.Frozen = true
		must(t, d.startOn(u.Handle))
		for range 2 * idleLooks {
			d.idle()
		}
		if d.deferred.idle != 0 || u.Requests != 0 {
			t.Errorf("%d transfers, idle event %v", u.Requests, d.deferred.idle)
		}
	})
}

// TestASlowReaderHasItsTime: a member that could not ask the reader at all leaves the time to the
// next one.
func TestASlowReaderHasItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fw, d := newDriver(t)
		u := fw.plug(withSlots(1), 0)
		u.device.Inject(sim.Fault{At: sim.AtAnswer, Times: sim.Forever,
			Do: []sim.Action{sim.Delay(2 * time.Second)}})
		tpl := uefi.TPLCallback
		replace(t, &callerTPL, func() uefi.TPL { return tpl })
		fw.Frozen = true
		must(t, d.startOn(u.Handle))
		for range 2 { // a program's timer event
			if st := d.statusOn(fw, u.Handle); st != uefi.DeviceError {
				t.Errorf("SCardStatus while timers stand still: %v", st)
			}
		}
		tpl = uefi.TPLApplication
		check(t, d.statusOn(fw, u.Handle))
	})
}

// TestStartIsBounded starts readers that do not behave. Start has its time, and so has each member;
// when the fault is gone, the reader works.
func TestStartIsBounded(t *testing.T) {
	const startLimit, openLimit = time.Second, 10 * time.Second // as documented
	always := func(at sim.Moment, do ...sim.Action) sim.Fault {
		return sim.Fault{At: at, Times: sim.Forever, Do: do}
	}
	for _, c := range []struct {
		name  string
		fault sim.Fault
	}{
		{"it is silent", always(sim.AtAnswer, sim.Lose())},
		{"it takes no command", always(sim.AtOut, sim.Block())},
		{"it asks for time without end", always(sim.AtAnswer,
			sim.Extend(sim.Endless, 1, 100*time.Millisecond))},
		{"its answers have another sequence number", always(sim.AtAnswer, sim.WrongSeq(1))},
		{"its answers are another slot's", always(sim.AtAnswer, sim.WrongSlot(1))},
		{"its answers come late", always(sim.AtAnswer, sim.Delay(20*time.Second))},
		{"it answers no class request, and no message", always(sim.AtControl, sim.Block())},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fw, d := newDriver(t)
				u := fw.plug(withSlots(2), 0)
				before := fw.State()
				u.device.Inject(c.fault, always(sim.AtAnswer, sim.Lose()))
				timed := func(what string, limit time.Duration, want uefi.Status,
					f func() uefi.Status) {
					t.Helper()
					began := time.Now()
					if st := f(); st != want {
						t.Errorf("%s: %v, want %v", what, st, want)
					}
					if took := time.Since(began); took > limit+late {
						t.Errorf("%s took %v, %v at most", what, took, limit)
					}
				}
				timed("Start", startLimit, uefi.Success,
					func() uefi.Status { return d.startOn(u.Handle) })
				timed("the first member", openLimit, uefi.DeviceError,
					func() uefi.Status { return d.statusOn(fw, u.Handle) })
				timed("the second member", startLimit, uefi.DeviceError,
					func() uefi.Status { return d.statusOn(fw, u.Handle) })
				u.device.Heal()
				time.Sleep(30 * time.Second)
				check(t, d.statusOn(fw, u.Handle))
				for _, h := range d.slots(u.Handle) {
					check(t, d.use(t, fw, h))
				}
				check(t, d.stopOn(u.Handle, d.slots(u.Handle)[1:]...))
				timed("Stop", shutdownLimit, uefi.Success,
					func() uefi.Status { return d.stopOn(u.Handle) })
				if d.afterCall(); fw.State() != before {
					t.Errorf("before %s, after %s", before, fw.State())
				}
			})
		})
	}
}

func TestAPostponedReaderThatIsNoneIsNotAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fw, d := newDriver(t)
		u := fw.plug(withSlots(1), 0)
		tpl := uefi.TPLCallback
		replace(t, &callerTPL, func() uefi.TPL { return tpl })
		fw.Frozen = true
		must(t, d.startOn(u.Handle))
		tpl = uefi.TPLApplication
		u.device.Unplug()
		for range 3 {
			if st := d.statusOn(fw, u.Handle); st != uefi.DeviceError {
				t.Error(st)
			}
		}
		if u.Requests > 1 {
			t.Errorf("it was asked %d times", u.Requests)
		}
		check(t, d.stopOn(u.Handle))
	})
}

// refusals stands for calls that the gate has refused.
type refusals struct{ supported, stop []uefi.Handle }

// install makes the driver see them.
func (r *refusals) install(t *testing.T, d *Driver) {
	d.binding.Supported, d.binding.Stop = 1, 2
	replace(t, &refused, func(fn uintptr) (uintptr, bool) {
		from := &r.supported
		if fn == d.binding.Stop {
			from = &r.stop
		}
		if len(*from) == 0 {
			return 0, false
		}
		h := (*from)[0]
		*from = (*from)[1:]
		return uintptr(h), true
	})
}

func TestAVendorSpecificInterfaceWaitsForTimers(t *testing.T) {
	for _, c := range []struct {
		name string
		// until has drivers connected.
		until func(d *Driver, fw *firmware, tpl *uefi.TPL)
	}{
		{"firmware idles",
			func(d *Driver, fw *firmware, tpl *uefi.TPL) { fw.Frozen = false; d.idle() }},
		{"a program calls",
			func(d *Driver, fw *firmware, tpl *uefi.TPL) {
				*tpl = uefi.TPLApplication
				d.afterCall()
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fw, d := newDriver(t)
				u := fw.plug(hostileReader(t, "vendor-class"), 0)
				var connected []uefi.Handle
				replace(t, &connectDrivers,
					func(h uintptr) bool {
						connected = append(connected, uefi.Handle(h))
						return true
					})
				new(refusals).install(t, d)
				tpl := uefi.TPLCallback
				replace(t, &callerTPL, func() uefi.TPL { return tpl })
				fw.Frozen = true
				for range 2 {
					if st := call(d.supported, 0, uintptr(u.Handle), 0); st != uefi.Unsupported ||
						u.Requests != 0 {
						t.Fatalf("%v after %d transfers", st, u.Requests)
					}
					d.afterCall()
				}
				if len(connected) != 0 {
					t.Fatalf("connected %v", connected)
				}
				c.until(d, fw, &tpl)
				if !slices.Equal(connected, []uefi.Handle{u.Handle}) || fw.Signals != 1 {
					t.Errorf("drivers are connected to %v, %d signals", connected, fw.Signals)
				}
				tpl = uefi.TPLApplication
				check(t, call(d.supported, 0, uintptr(u.Handle), 0))
				if err := d.closeEvents(); err != nil || len(fw.Events) != 0 {
					t.Errorf("%v, %d events", err, len(fw.Events))
				}
			})
		})
	}
}

func TestControllersThatCameDuringACallAreConnectedAfterIt(t *testing.T) {
	fw, d, u := started(t, 1)
	var connected []uefi.Handle
	replace(t, &connectDrivers,
		func(h uintptr) bool {
			connected = append(connected, uefi.Handle(h))
			return len(connected) < 3
		})
	r := refusals{supported: []uefi.Handle{0x77, u.Handle, 0x77, 0x78, 0x79}}
	r.install(t, d)
	d.afterCall()
	if want := []uefi.Handle{0x77, 0x78, 0x79}; !slices.Equal(connected, want) || fw.Signals != 1 {
		t.Errorf("connected %v, want %v; %d signals", connected, want, fw.Signals)
	}
	d.afterCall() // there was no room for the last one
	if len(connected) != 4 || connected[3] != 0x79 || fw.Signals != 2 {
		t.Errorf("connected %v; %d signals", connected, fw.Signals)
	}
	d.ending = true
	r.supported = []uefi.Handle{0x80}
	if d.afterCall(); fw.Signals != 2 {
		t.Error("an event is left of an image that is unloaded")
	}
}

// TestACallInProgressEndsAfterARefusedStop makes firmware call Stop during a command, which is
// refused.
func TestACallInProgressEndsAfterARefusedStop(t *testing.T) {
	for _, c := range []struct {
		name   string
		unplug bool
		want   uefi.Status
	}{
		{"a reader that was unplugged", true, uefi.DeviceError},
		{"a reader that is there", false, uefi.Success},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fw, d, u := started(t, 1)
				fw.Lingers = true
				must(t, d.use(t, fw, u.Handle))
				this, active := fw.Handles[u.Handle][smartcard.GUID], place(t,
					smartcard.Protocol(0))
				must(t, call(d.connect, this, uintptr(smartcard.AccessCard),
					uintptr(smartcard.NoReset), uintptr(smartcard.T1),
					addr(active)))
				u.device.Inject(sim.Fault{At: sim.AtAnswer, Command: xfrBlock,
					Do: []sim.Action{sim.Extend(10, 1, 500*time.Millisecond)}})
				var r refusals
				r.install(t, d)
				gone := time.Time{}
				began := time.Now()
				replace(t, &yield, func() {
					if gone.IsZero() && time.Since(began) > time.Second {
						gone = time.Now()
						r.stop = append(r.stop, u.Handle)
						if c.unplug {
							u.device.Unplug()
						}
					}
				})
				in, out, length := newBuffer(t, 4), newBuffer(t, 258), place(t, uintptr(258))
				clear(in.bytes())
				if st := call(d.transmit, this, in.at(), 4, out.at(), addr(length)); st != c.want {
					t.Errorf("SCardTransmit: %v, want %v", st, c.want)
				}
				if took := time.Since(gone); c.unplug && took > 2*time.Second || gone.IsZero() {
					t.Errorf("it ended after %v", took)
				}
				d.afterCall()
				if st := d.stopOn(u.Handle); st != uefi.Success { // firmware tries again
					t.Error(st)
				}
			})
		})
	}
}

func TestAHostStartsWithinItsTime(t *testing.T) {
	const startLimit = time.Second // as documented
	synctest.Test(t, func(t *testing.T) {
		fw, d := newDirect(t)
		f := fw.plugHost()
		silent := withSlots(1)
		silent.Inject(sim.Fault{At: sim.AtAnswer, Times: sim.Forever, Do: []sim.Action{sim.Lose()}})
		f.virtual.Plug(1, usbtest.Reader(silent))
		f.virtual.Plug(2, usbtest.Reader(withSlots(1)))
		began := time.Now()
		must(t, d.locked(d.start, 0, uintptr(f.Handle), 0))
		if took := time.Since(began); took > startLimit+late {
			t.Errorf("Start took %v", took)
		}
		if n := len(fw.readerHandles()); n != 1 {
			t.Errorf("%d readers", n)
		}
		silent.Heal()
		later()
		if n := len(fw.readerHandles()); n != 2 {
			t.Errorf("%d readers in the end", n)
		}
		check(t, d.stopHost(f))
		later()
	})
}
