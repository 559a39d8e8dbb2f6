package usbhost_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/usbtest"
	"tamaccid/ccid/usb"
)

func aHub(speed usb.Speed, ports int) *usbtest.Hub {
	return usbtest.NewHub(usbtest.HubModel{Speed: speed, Ports: ports})
}

// nest connects n hubs in a row by their ports 1, the first one to root port 1, and returns the
// last one.
func (r *rig) nest(n int, m usbtest.HubModel) (hubs []*usbtest.Hub) {
	for range n {
		h := usbtest.NewHub(m)
		if len(hubs) == 0 {
			r.c.Plug(1, h)
		} else {
			hubs[len(hubs)-1].Plug(1, h)
		}
		hubs = append(hubs, h)
	}
	return hubs
}

func TestHubsMayBeNested(t *testing.T) {
	for _, c := range []struct {
		name   string
		hub    usbtest.HubModel
		reader usb.Speed
		port   int
		model  usbtest.Model
	}{
		{name: "full-speed hubs", hub: usbtest.HubModel{Speed: usb.SpeedFull, Ports: 4},
			reader: usb.SpeedFull, port: 2, model: usbtest.Model{USB2: 1}},
		{name: "high-speed hubs with one translator each",
			hub:    usbtest.HubModel{Speed: usb.SpeedHigh, Ports: 4, ThinkTime: 2},
			reader: usb.SpeedFull, port: 2, model: usbtest.Model{USB2: 1}},
		{name: "high-speed hubs with a translator for each port",
			hub:    usbtest.HubModel{Speed: usb.SpeedHigh, Ports: 4, MultiTT: true},
			reader: usb.SpeedLow, port: 3, model: usbtest.Model{USB2: 1}},
		{name: "a high-speed reader behind high-speed hubs",
			hub: usbtest.HubModel{Speed: usb.SpeedHigh, Ports: 4}, reader: usb.SpeedHigh, port: 4,
			model: usbtest.Model{USB2: 1}},
		{name: "ganged power switching",
			hub: usbtest.HubModel{Speed: usb.SpeedHigh, Ports: 4, Ganged: true,
				PowerGood: 100 * time.Millisecond}, reader: usb.SpeedHigh, port: 4,
			model: usbtest.Model{USB2: 1}},
		{name: "USB 3 hubs", hub: usbtest.HubModel{Speed: usb.SpeedSuper, Ports: 4},
			reader: usb.SpeedSuper, port: 2, model: usbtest.Model{USB3: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, c.model, func(t *testing.T, r *rig) {
				hubs := r.nest(4, c.hub)
				hubs[3].Plug(c.port, aReader(c.reader))
				r.add()
				r.settle()
				last := r.last()
				if at := last.Location(); at.Tier != 4 || at.Route != uint32(c.port)<<12|0x111 ||
					at.Speed != c.reader || at.RootPort != 1 {
					t.Errorf("%+v", at)
				}
				if len(r.b.Devices()) != 5 {
					t.Errorf("%q", r.log())
				}
				for depth, h := range hubs {
					if c.hub.Speed == usb.SpeedSuper && h.Depth() != depth {
						t.Errorf("hub %d has received depth %d", depth, h.Depth())
					}
					if c.hub.MultiTT && h.Setting() != 1 {
						t.Errorf("hub %d is not in the setting with a translator for each port",
							depth)
					}
				}
				for _, s := range r.c.Log() {
					if s.Do == "hub" &&
						s.Hub != (usbhost.HubInfo{Ports: 4, MultiTT: c.hub.MultiTT,
							ThinkTime: c.hub.ThinkTime}) {
						t.Errorf("%+v", s.Hub)
					}
				}
				if n := r.c.Collisions(); n != 0 {
					t.Errorf("%d collisions at the default address", n)
				}
			})
		})
	}
}

// TestAHubThatRefusesItsTranslators: the hub has one translator for all ports then, and the
// controller and the devices behind the hub use that.
func TestAHubThatRefusesItsTranslators(t *testing.T) {
	f := &faults{port: "1.3", endpoint: 0x81, err: usb.ErrTransfer, times: 1}
	model := usbtest.Model{USB2: 1, Step: func(s *usbtest.Step) {
		f.step(s)
		if s.Setup.RequestType == usb.ToInterface && s.Setup.Request == usb.RequestSetInterface &&
			s.Port == "1" {
			s.Err = usb.ErrStall
		}
	}}
	inBubble(t, model, func(t *testing.T, r *rig) {
		h := usbtest.NewHub(usbtest.HubModel{Speed: usb.SpeedHigh, Ports: 4, MultiTT: true,
			ThinkTime: 3})
		h.Plug(3, aWillingOne(usb.SpeedFull))
		r.c.Plug(1, h)
		r.add()
		r.settle()
		r.wantPlaces("1 1.3")
		if at := r.last().Location(); at.MultiTT || at.TTPort != 3 {
			t.Errorf("%+v", at)
		}
		for _, s := range r.c.Log() {
			if s.Do == "hub" && s.Hub != (usbhost.HubInfo{Ports: 4, ThinkTime: 3}) {
				t.Errorf("%+v", s.Hub)
			}
		}
		if err := move(t.Context(), r.claim(0, 0), 0x81, time.Second); !errors.Is(err,
			usb.ErrTransfer) {
			t.Error(err)
		}
		r.wantClearings("1", [2]uint16{0x9021, 1})
		h.Unplug(3)
		time.Sleep(time.Second)
		h.Plug(3, aWillingOne(usb.SpeedFull)) // the status change endpoint works
		time.Sleep(time.Second)
		r.settle()
		r.wantPlaces("1 1.3")
		if r.happened("1.3: found") != 2 || r.happened("1: found") != 1 {
			t.Errorf("%q", r.log())
		}
	})
}

func TestAReaderBehindAHubIsOfferedAfterTheSpecifiedMinimum(t *testing.T) {
	const good = 20
	inBubble(t, usbtest.Model{USB2: 1}, func(t *testing.T, r *rig) {
		h := usbtest.NewHub(usbtest.HubModel{Speed: usb.SpeedHigh, Ports: 1, PowerGood: ms(good)})
		h.Plug(1, aReader(usb.SpeedFull))
		r.c.Plug(1, h)
		r.add()
		r.settle()
		// The hub: three descriptors, SET_CONFIGURATION, hub descriptor; then status and power,
		// status again, and for its port status and acknowledgement of the connection.
		const hub = debounce + rootReset + resetRecovery + address + addressRecovery + (3+1+
			1)*control + 2*control + good + 3*control
		// The last status ends the debouncing. Before and after the reset the status is read, the
		// reset is set, and its end is acknowledged.
		const port = debounce + control + control + control + hubReset + 2*control
		const reader = resetRecovery + address + addressRecovery + (questions+1)*control
		if at := r.offers()[0].at; at < ms(hub+port+reader-4) || at > ms(hub+port+reader) {
			t.Errorf("%v, not about %v\n%s", at, ms(hub+port+reader), describe(r.c.Log()))
		}
	})
}

func TestEightReadersBehindOneHub(t *testing.T) {
	// The hub may take 20 ms for a reset, during which no other device may be at the default
	// address.
	const one = 500 * time.Millisecond
	const window = resetRecovery + address + addressRecovery + 3 + 10
	inBubble(t, usbtest.Model{USB2: 1}, func(t *testing.T, r *rig) {
		h := aHub(usb.SpeedHigh, 8)
		for n := range 8 {
			h.Plug(n+1, aReader(usb.SpeedFull))
		}
		r.c.Plug(1, h)
		r.add()
		r.settle()
		all := r.offers()
		if len(all) != 8 || r.c.Collisions() != 0 {
			t.Fatalf("%d offers, %d collisions: %q", len(all), r.c.Collisions(), r.log())
		}
		if last := all[7].at; last > one+7*ms(window) {
			t.Errorf("the last one after %v", last)
		}
		r.wantPlaces("1 1.1 1.2 1.3 1.4 1.5 1.6 1.7 1.8")
	})
}

func TestTheSixthHubInARowIsRefused(t *testing.T) {
	inBubble(t, usbtest.Model{USB2: 1}, func(t *testing.T, r *rig) {
		hubs := r.nest(6, usbtest.HubModel{Speed: usb.SpeedHigh, Ports: 2})
		hubs[4].Plug(2, aReader(usb.SpeedFull))
		r.add()
		r.settle()
		r.wantPlaces("1 1.1 1.1.1 1.1.1.1 1.1.1.1.1 1.1.1.1.1.2")
		if r.happened("1.1.1.1.1.1: refused") != 1 {
			t.Errorf("%q", r.log())
		}
	})
}

func TestAHubIsUnpluggedWithATreeBehindIt(t *testing.T) {
	inBubble(t, usbtest.Model{USB2: 2}, func(t *testing.T, r *rig) {
		hubs := r.nest(3, usbtest.HubModel{Speed: usb.SpeedHigh, Ports: 3})
		for _, h := range hubs {
			h.Plug(2, aReader(usb.SpeedFull))
			h.Plug(3, aReader(usb.SpeedLow))
		}
		r.c.Plug(2, aReader(usb.SpeedFull))
		r.add()
		r.settle()
		if n := len(r.b.Devices()); n != 3+6+1 {
			t.Fatalf("%d devices: %q", n, r.log())
		}
		transport, err := r.last().Claim()
		if err != nil {
			t.Fatal(err)
		}
		r.c.Unplug(1)
		r.settle()
		r.wantPlaces("2")
		if n := r.happened("removed"); n != 9 {
			t.Errorf("%d of 9 were removed: %q", n, r.log())
		}
		if _, err := transport.Control(t.Context(), usb.Setup{RequestType: usb.DirIn, Length: 2},
			make([]byte, 2), 0); !errors.Is(err, usb.ErrGone) {
			t.Error(err)
		}
		if n := r.c.Slots(); n != 1 {
			t.Errorf("%d places are taken", n)
		}
		r.c.Plug(1, hubs[0]) // again, with all devices behind it
		r.settle()
		if n := len(r.b.Devices()); n != 3+6+1 {
			t.Errorf("%d devices: %q", n, r.log())
		}
	})
}

func TestAHubThatFailsIsEnumeratedAgain(t *testing.T) {
	for _, c := range []struct {
		name    string
		err     error
		times   int
		removed int
	}{
		{name: "a port's status cannot be read", err: usb.ErrTransfer, times: 3, removed: 1},
		{name: "a port's status cannot be read at first", err: usb.ErrTransfer, times: 2},
		{name: "a port's status comes too late", err: usb.ErrTimeout, times: 1, removed: 1},
		{name: "a port's status is stalled, which is no failure of the hub", err: usb.ErrStall,
			times: 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			failing := 0
			model := usbtest.Model{USB2: 1, Step: func(s *usbtest.Step) {
				if s.Do == "control" && s.Setup.RequestType == 0xA3 && failing > 0 {
					failing--
					s.Err = c.err
				}
			}}
			inBubble(t, model, func(t *testing.T, r *rig) {
				h := aHub(usb.SpeedHigh, 2)
				r.c.Plug(1, h)
				r.add()
				r.settle()
				failing = c.times
				h.Plug(1, aReader(usb.SpeedFull))
				time.Sleep(time.Second)
				r.settle()
				r.wantPlaces("1 1.1")
				if n := r.happened("removed"); n != c.removed || failing != 0 {
					t.Errorf("%d times removed, not %d: %q", n, c.removed, r.log())
				}
			})
		})
	}
}

func TestAHubWhoseStatusPipeStalls(t *testing.T) {
	inBubble(t, usbtest.Model{USB2: 1}, func(t *testing.T, r *rig) {
		h := aHub(usb.SpeedHigh, 2)
		r.c.Plug(1, h)
		r.add()
		r.settle()
		h.HaltPipe()
		time.Sleep(time.Second)
		h.Plug(1, aReader(usb.SpeedFull))
		time.Sleep(time.Second)
		r.settle()
		r.wantPlaces("1 1.1")
		if r.steps("reset endpoint") != 1 || r.happened("removed") != 0 {
			t.Errorf("%d resets of the pipe; %q", r.steps("reset endpoint"), r.log())
		}
	})
}

func TestAHubThatFailsRepeatedlyIsRefused(t *testing.T) {
	model := usbtest.Model{USB2: 2, Step: func(s *usbtest.Step) {
		if s.Do == "transfer" && s.Endpoint == 0x81 && s.Port == "1" {
			s.Err = usb.ErrTransfer
		}
	}}
	inBubble(t, model, func(t *testing.T, r *rig) {
		r.c.Plug(1, aHub(usb.SpeedHigh, 2))
		r.c.Plug(2, aHub(usb.SpeedHigh, 2))
		r.add()
		r.settle()
		time.Sleep(longEnough)
		r.wantPlaces("2")
		if r.happened("1: found") != 4 || r.happened("1: refused") != 1 {
			t.Errorf("%q", r.log())
		}
	})
}

func TestOverCurrent(t *testing.T) {
	for _, ganged := range []bool{false, true} {
		name := map[bool]string{false: "at a hub's port", true: "at a whole hub"}[ganged]
		t.Run(name, func(t *testing.T) {
			inBubble(t, usbtest.Model{USB2: 1}, func(t *testing.T, r *rig) {
				h := usbtest.NewHub(usbtest.HubModel{Speed: usb.SpeedHigh, Ports: 2,
					Ganged: ganged})
				h.Plug(1, aReader(usb.SpeedFull))
				h.Plug(2, aReader(usb.SpeedFull))
				r.c.Plug(1, h)
				r.add()
				r.settle()
				h.OverCurrent(1, true)
				time.Sleep(5 * time.Second)
				if want := map[bool]string{false: "1 1.2", true: "1"}[ganged]; r.places() != want {
					t.Errorf("devices at %q during over-current", r.places())
				}
				h.OverCurrent(1, false)
				time.Sleep(time.Second)
				r.settle()
				r.wantPlaces("1 1.1 1.2")
				if r.happened("over-current") != 1 {
					t.Errorf("%q", r.log())
				}
			})
		})
	}
	t.Run("at a root port", func(t *testing.T) {
		inBubble(t, usbtest.Model{USB2: 2}, func(t *testing.T, r *rig) {
			r.c.Plug(1, aReader(usb.SpeedFull))
			r.add()
			r.settle()
			r.c.OverCurrent(1, true)
			time.Sleep(time.Second)
			r.wantPlaces("")
			r.c.OverCurrent(1, false)
			time.Sleep(time.Second)
			r.settle()
			r.wantPlaces("1")
		})
	})
	t.Run("repeatedly, until the port stays off", func(t *testing.T) {
		inBubble(t, usbtest.Model{USB2: 2}, func(t *testing.T, r *rig) {
			r.c.Plug(1, aReader(usb.SpeedFull))
			r.add()
			r.settle()
			for range 20 {
				r.c.OverCurrent(1, true)
				time.Sleep(20 * time.Millisecond)
				r.c.OverCurrent(1, false)
				time.Sleep(530 * time.Millisecond)
			}
			time.Sleep(longEnough)
			r.wantPlaces("")
			if r.happened("over-current") != 1 ||
				r.happened("refused: usb: too much current") != 1 {
				t.Errorf("%q", r.log())
			}
		})
	})
}

func TestAChangeOnEachPortOfALargeHub(t *testing.T) {
	inBubble(t, usbtest.Model{USB2: 1}, func(t *testing.T, r *rig) {
		h := aHub(usb.SpeedHigh, 31)
		r.c.Plug(1, h)
		r.add()
		r.settle()
		for _, n := range []int{1, 7, 8, 15, 16, 31} {
			h.Plug(n, aReader(usb.SpeedHigh))
			time.Sleep(time.Second)
			r.settle()
			if last := r.last().Location(); last.Route != uint32(min(n, 15)) || last.Tier != 1 {
				t.Errorf("port %d: %+v", n, last)
			}
		}
	})
}

func TestARequestToAHubThatHangsEndsWithTheBus(t *testing.T) {
	model := usbtest.Model{USB2: 1, Step: func(s *usbtest.Step) {
		if s.Do == "control" && s.Setup.RequestType == 0xA3 {
			s.Err = usbtest.ErrBlocked
		}
	}}
	inBubble(t, model, func(t *testing.T, r *rig) {
		r.c.Plug(1, aHub(usb.SpeedFull, 2))
		r.add()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.b.Settle(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}
