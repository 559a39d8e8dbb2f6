package usbhost_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/usbtest"
	"tamaccid/ccid/usb"
)

// TestUnplugAtEachMillisecondOfEnumeration: a device that is unplugged during its enumeration, and
// plugged in again at once or later, is enumerated in the end. All resources of the first
// enumeration are released.
func TestUnplugAtEachMillisecondOfEnumeration(t *testing.T) {
	for _, c := range []struct {
		name  string
		model usbtest.Model
		hub   usb.Speed // unknown: the reader is on the root port
		speed usb.Speed
		span  int
	}{
		{name: "on a root port", model: usbtest.Model{USB2: 1}, hub: usb.SpeedUnknown,
			speed: usb.SpeedFull, span: 200},
		{name: "on a USB 3 root port", model: usbtest.Model{USB3: 1}, hub: usb.SpeedUnknown,
			speed: usb.SpeedSuper, span: 40},
		{name: "behind a hub", model: usbtest.Model{USB2: 1}, hub: usb.SpeedHigh,
			speed: usb.SpeedFull, span: 380},
		{name: "behind a USB 3 hub", model: usbtest.Model{USB3: 1}, hub: usb.SpeedSuper,
			speed: usb.SpeedSuper, span: 140},
	} {
		for _, which := range []string{"the reader", "the hub"} {
			if which == "the hub" && c.hub == usb.SpeedUnknown {
				continue
			}
			for _, away := range []time.Duration{0, 50 * time.Millisecond, time.Second} {
				t.Run(fmt.Sprintf("%s, %s, away for %v", c.name, which, away), func(t *testing.T) {
					for at := range c.span {
						inBubble(t, c.model, func(t *testing.T, r *rig) {
							plug := func() { r.c.Plug(1, aReader(c.speed)) }
							unplug := func() { r.c.Unplug(1) }
							want := 1
							if c.hub != usb.SpeedUnknown {
								h := aHub(c.hub, 2)
								h.Plug(2, aReader(c.speed))
								hub := func() { r.c.Plug(1, h) }
								hub()
								plug, want = hub, 2
								if which == "the reader" {
									plug = func() { h.Plug(2, aReader(c.speed)) }
									unplug = func() { h.Unplug(2) }
								}
							} else {
								plug()
							}
							r.add()
							time.Sleep(ms(at) + 300*time.Microsecond)
							unplug()
							time.Sleep(away)
							plug()
							time.Sleep(2 * time.Second)
							r.settle()
							if n := len(r.b.Devices()); n != want || r.happened("refused") != 0 {
								t.Errorf("after %d ms: %d devices: %q", at, n, r.log())
							}
						})
					}
				})
			}
		}
	}
}

// TestUnplugBeforeEachStepOfEnumeration: the device is unplugged just before each action of the
// bus.
func TestUnplugBeforeEachStepOfEnumeration(t *testing.T) {
	for _, back := range []bool{false, true} {
		for step := 0; ; step++ {
			n, done := 0, false
			var r *rig
			var h *usbtest.Hub
			model := usbtest.Model{USB2: 1, Step: func(s *usbtest.Step) {
				if n++; n == step+1 {
					h.Unplug(1)
					if back {
						h.Plug(1, aReader(usb.SpeedHigh))
					}
					done = true
				}
			}}
			inBubble(t, model, func(t *testing.T, rr *rig) {
				r = rr
				h = aHub(usb.SpeedHigh, 1)
				h.Plug(1, aReader(usb.SpeedFull))
				r.c.Plug(1, h)
				r.add()
				time.Sleep(5 * time.Second)
				r.settle()
				want := "1"
				if back || !done {
					want = "1 1.1"
				}
				if r.places() != want || r.happened("refused") != 0 {
					t.Errorf("step %d: %q, not %q; %q", step, r.places(), want, r.log())
				}
			})
			if !done {
				if step < 40 {
					t.Errorf("only %d steps", step)
				}
				break
			}
		}
	}
}

func TestEachStepFailsOnce(t *testing.T) {
	for _, fault := range []error{usb.ErrTransfer, usb.ErrTimeout, usb.ErrStall, usb.ErrBabble,
		usbtest.ErrBlocked} {
		for step := 0; ; step++ {
			n, done := 0, false
			model := usbtest.Model{USB2: 1, Step: func(s *usbtest.Step) {
				switch {
				case s.Do == "reset", s.Do == "transfer":
					// A reset cannot fail this way, and the status change endpoint has its own
					// test.
					return
				case s.Do != "control" && s.Do != "address" && fault == usbtest.ErrBlocked:
					return // an action of the controller alone, which does not wait for a device
				case s.Setup.RequestType == 0x23 && fault == usb.ErrStall:
					return // a hub that cannot switch on a port cannot be used
				}
				if n++; n == step+1 {
					s.Err, done = fault, true
				}
			}}
			inBubble(t, model, func(t *testing.T, r *rig) {
				h := aHub(usb.SpeedHigh, 1)
				h.Plug(1, aReader(usb.SpeedFull))
				r.c.Plug(1, h)
				r.add()
				time.Sleep(30 * time.Second)
				r.settle()
				r.wantPlaces("1 1.1")
				if t.Failed() {
					t.Fatalf("%v at step %d", fault, step)
				}
			})
			if !done {
				if step < 30 {
					t.Errorf("only %d steps", step)
				}
				break
			}
			if t.Failed() {
				return
			}
		}
	}
}

func TestCloseAtEachMillisecondOfEnumeration(t *testing.T) {
	for at := range 420 {
		inBubble(t, usbtest.Model{USB2: 2}, func(t *testing.T, r *rig) {
			h := aHub(usb.SpeedHigh, 2)
			h.Plug(1, aReader(usb.SpeedFull))
			h.Plug(2, aReader(usb.SpeedLow))
			r.c.Plug(1, h)
			r.c.Plug(2, aReader(usb.SpeedHigh))
			r.add()
			time.Sleep(ms(at))
			began := time.Now()
			if err := r.b.Close(); err != nil || time.Since(began) > 0 {
				t.Errorf("after %d ms: %v, %v", at, err, time.Since(began))
			}
			if err := r.b.Add(r.c); !errors.Is(err, usbhost.ErrClosed) {
				t.Error(err)
			}
			r.settle()
		})
	}
}

func TestTheControllerFailsAtEachMillisecondOfEnumeration(t *testing.T) {
	for at := range 420 {
		inBubble(t, usbtest.Model{USB2: 2, USB3: 1}, func(t *testing.T, r *rig) {
			h := aHub(usb.SpeedHigh, 2)
			h.Plug(1, aReader(usb.SpeedFull))
			r.c.Plug(1, h)
			r.c.Plug(2, aReader(usb.SpeedHigh))
			r.c.Plug(3, aReader(usb.SpeedSuper))
			r.add()
			time.Sleep(ms(at))
			r.c.Kill(errors.New("master abort"))
			r.settle()
			r.wantPlaces("")
			if r.happened("controller died: usb: host controller dead: master abort") != 1 ||
				r.happened("refused") != 0 {
				t.Errorf("after %d ms: %q", at, r.log())
			}
			if found, removed := r.happened(": found"), r.happened(": removed"); found != removed {
				t.Errorf("%d found, %d removed", found, removed)
			}
			if err := r.b.Remove(r.c); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestBounces(t *testing.T) {
	for _, c := range []struct {
		name    string
		bounces []int // ms after the connection
		want    int   // when the reset begins
	}{
		{name: "none", want: debounce},
		{name: "one at once", bounces: []int{3}, want: 103},
		{name: "one in the middle", bounces: []int{50}, want: 150},
		{name: "some, and one late", bounces: []int{10, 20, 99, 150}, want: 250},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, usbtest.Model{USB2: 1}, func(t *testing.T, r *rig) {
				r.add()
				r.settle()
				r.c.Plug(1, aReader(usb.SpeedFull))
				start := time.Now()
				for _, at := range c.bounces {
					time.Sleep(time.Until(start.Add(ms(at))))
					r.c.Bounce(1)
				}
				r.settle()
				r.wantPlaces("1")
				var first time.Duration
				for _, s := range r.c.Log() {
					if s.Do == "reset" {
						first = s.At - start.Sub(r.start)
						break
					}
				}
				if first != ms(c.want) {
					t.Errorf("reset after %v, not %v", first, ms(c.want))
				}
			})
		})
	}
	t.Run("without end, and then no more", func(t *testing.T) {
		inBubble(t, usbtest.Model{USB2: 1}, func(t *testing.T, r *rig) {
			r.c.Plug(1, aReader(usb.SpeedFull))
			r.add()
			for range 100 {
				time.Sleep(70 * time.Millisecond)
				r.c.Bounce(1)
			}
			if r.happened("unstable") != 1 || r.steps("reset") != 0 {
				t.Errorf("%d resets, %q", r.steps("reset"), r.log())
			}
			time.Sleep(5 * time.Second)
			r.settle()
			r.wantPlaces("1")
			r.c.Unplug(1)
			r.c.Plug(1, aReader(usb.SpeedFull))
			for range 100 {
				time.Sleep(70 * time.Millisecond)
				r.c.Bounce(1)
			}
			if r.happened("unstable") != 2 {
				t.Errorf("another time: %q", r.log())
			}
		})
	})
}

func TestADeviceThatDoesNotRespondToItsAddress(t *testing.T) {
	for _, fault := range []error{usb.ErrTransfer, usbtest.ErrBlocked} {
		t.Run(fault.Error(), func(t *testing.T) {
			model := usbtest.Model{USB2: 3, Step: func(s *usbtest.Step) {
				if s.Do == "address" && s.Port == "2" {
					s.Err = fault
				}
			}}
			inBubble(t, model, func(t *testing.T, r *rig) {
				for n := range 3 {
					r.c.Plug(n+1, aReader(usb.SpeedFull))
				}
				r.add()
				r.settle()
				r.wantPlaces("1 3")
				if r.happened("2: refused") != 1 || r.steps("address") != 2+3 {
					t.Errorf("%d times address; %q", r.steps("address"), r.log())
				}
				if st, err := r.c.Port(2); err != nil || st.Enabled {
					t.Errorf("%+v, %v", st, err)
				}
				r.c.Unplug(2) // another one on the same port is enumerated
				time.Sleep(time.Second)
				r.c.Plug(2, aReader(usb.SpeedFull))
				time.Sleep(5 * time.Second)
				r.settle()
				if r.happened("2: refused") != 2 {
					t.Errorf("%q", r.log())
				}
			})
		})
	}
}

func TestPortsThatFail(t *testing.T) {
	t.Run("a reset does not end", func(t *testing.T) {
		inBubble(t, usbtest.Model{USB2: 2}, func(t *testing.T, r *rig) {
			r.c.JamReset(1)
			r.c.Plug(1, aReader(usb.SpeedFull))
			r.c.Plug(2, aReader(usb.SpeedFull))
			r.add()
			r.settle()
			r.wantPlaces("2")
			if r.happened("1: refused: usb: the port's reset does not end") != 1 {
				t.Errorf("%q", r.log())
			}
		})
	})
	t.Run("a SuperSpeed link is stuck until a warm reset", func(t *testing.T) {
		inBubble(t, usbtest.Model{USB3: 1}, func(t *testing.T, r *rig) {
			r.c.Stick(1)
			r.c.Plug(1, aReader(usb.SpeedSuper))
			r.add()
			time.Sleep(ms(training))
			r.settle()
			r.wantPlaces("1")
			if r.steps("reset") != 1 {
				t.Errorf("%d resets", r.steps("reset"))
			}
		})
	})
	t.Run("an error disables the port now and then", func(t *testing.T) {
		inBubble(t, usbtest.Model{USB2: 1}, func(t *testing.T, r *rig) {
			r.c.Plug(1, aReader(usb.SpeedFull))
			r.add()
			for range 10 {
				r.settle()
				r.wantPlaces("1")
				time.Sleep(2 * time.Minute)
				r.c.Fault(1)
			}
			r.settle()
			r.wantPlaces("1")
		})
	})
	t.Run("errors disable the port repeatedly", func(t *testing.T) {
		inBubble(t, usbtest.Model{USB2: 1}, func(t *testing.T, r *rig) {
			r.c.Plug(1, aReader(usb.SpeedFull))
			r.add()
			for range 10 {
				time.Sleep(time.Second)
				r.c.Fault(1)
			}
			r.settle()
			r.wantPlaces("")
			if r.happened("found") != 4 || r.happened("refused: usb: the port was disabled") != 1 {
				t.Errorf("%q", r.log())
			}
			r.c.Unplug(1)
			time.Sleep(time.Second)
			r.c.Plug(1, aReader(usb.SpeedFull))
			time.Sleep(time.Second)
			r.settle()
			r.wantPlaces("1")
		})
	})
	t.Run("the controller has no slots left", func(t *testing.T) {
		inBubble(t, usbtest.Model{USB2: 3, Slots: 2}, func(t *testing.T, r *rig) {
			for n := range 3 {
				r.c.Plug(n+1, aReader(usb.SpeedFull))
			}
			r.add()
			r.settle()
			if len(r.b.Devices()) != 2 || r.happened("refused: address: usb: no resources") != 1 ||
				r.steps("reset") != 3 {
				t.Errorf("%q", r.log())
			}
		})
	})
}

func TestSettle(t *testing.T) {
	t.Run("waits for devices that signal their connection late", func(t *testing.T) {
		inBubble(t, usbtest.Model{USB2: 1}, func(t *testing.T, r *rig) {
			r.add()
			time.AfterFunc(99*time.Millisecond, func() { r.c.Plug(1, aReader(usb.SpeedFull)) })
			r.settle()
			r.wantPlaces("1")
		})
	})
	t.Run("waits for class drivers to be ready", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ready := false
			r := newRig(t, usbtest.Model{USB2: 2},
				usbhost.Options{Attach: func(ctx context.Context, i *usbhost.Interface) {
					if i.Location().RootPort == 1 {
						return // of another class
					}
					time.Sleep(3 * time.Second)
					ready = true
					i.Ready()
					i.Ready() // a second call has no effect
					<-ctx.Done()
				}})
			r.c.Plug(1, aReader(usb.SpeedFull))
			r.c.Plug(2, aReader(usb.SpeedFull))
			r.add()
			r.settle()
			if !ready {
				t.Error("the class driver was not ready")
			}
			r.close()
		})
	})
	t.Run("ends with its context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, usbtest.Model{USB2: 1},
				usbhost.Options{Attach: func(ctx context.Context,
					i *usbhost.Interface) {
					<-ctx.Done()
				}})
			r.c.Plug(1, aReader(usb.SpeedFull))
			r.add()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := r.b.Settle(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			r.close()
		})
	})
}

func TestSeveralControllers(t *testing.T) {
	inBubble(t, usbtest.Model{USB2: 1, Name: "first"}, func(t *testing.T, r *rig) {
		second := usbtest.New(usbtest.Model{USB2: 1, USB3: 1, Name: "second"})
		r.c.Plug(1, aReader(usb.SpeedFull))
		second.Plug(1, aReader(usb.SpeedHigh))
		r.add()
		if err := r.b.Add(r.c); !errors.Is(err, usbhost.ErrController) {
			t.Error(err)
		}
		if err := r.b.Add(second); err != nil {
			t.Fatal(err)
		}
		r.settle()
		all := r.b.Devices()
		if len(all) != 2 || all[0].Device.Path != "first, port 1" ||
			all[1].Device.Path != "second, port 1" || all[0].Device.Bus == all[1].Device.Bus {
			t.Errorf("%+v", all)
		}
		if first, last := r.offers()[0].at, r.offers()[1].at; last-first > ms(control) {
			t.Errorf("%v after each other", last-first) // each has its own default address
		}
		if err := r.b.Remove(second); err != nil {
			t.Error(err)
		}
		r.wantPlaces("1")
		if err := r.b.Remove(second); !errors.Is(err, usbhost.ErrController) {
			t.Error(err)
		}
		for _, v := range second.Violations() {
			t.Error(v)
		}
	})
}
