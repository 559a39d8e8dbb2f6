package usbhost_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tamaccid/baremetal/usbhost/usbtest"
	"tamaccid/ccid/usb"
)

// TestTheNextDeviceFindsTheBuffersClear: a device is unplugged during its transfers. The next
// device with the same address finds the buffers clear.
func TestTheNextDeviceFindsTheBuffersClear(t *testing.T) {
	f := &faults{port: "1.1", endpoint: 0x81, err: usbtest.ErrBlocked, times: 1}
	inBubble(t, usbtest.Model{USB2: 1, Step: f.step}, func(t *testing.T, r *rig) {
		h := aHub(usb.SpeedHigh, 2)
		h.Plug(1, aWillingOne(usb.SpeedFull))
		r.c.Plug(1, h)
		r.add()
		r.settle()
		first := r.claim(0, 0)
		ended := make(chan error, 1)
		go func() { ended <- move(t.Context(), first, 0x81, 0) }()
		time.Sleep(10 * time.Millisecond)
		h.Unplug(1)
		if err := <-ended; err == nil {
			t.Error("no error")
		}
		h.Plug(1, aWillingOne(usb.SpeedFull))
		r.settle()
		next := r.claim(0, 0)
		if next.Device().Address != first.Device().Address {
			t.Fatalf("addresses %d and %d", first.Device().Address, next.Device().Address)
		}
		if err := move(t.Context(), next, 0x81, time.Second); err != nil {
			t.Error(err)
		}
		r.wantClearings("1", [2]uint16{0x9021, 1})
	})
}

// TestADeviceIsRemovedWhenItsBuffersAreClear: a device, here behind a full-speed hub, is only
// removed when its buffers are clear, since another device may then get its address.
func TestADeviceIsRemovedWhenItsBuffersAreClear(t *testing.T) {
	const slow = 200 * time.Millisecond
	var failing atomic.Bool
	model := usbtest.Model{USB2: 1, Step: func(s *usbtest.Step) {
		switch {
		case s.Do == "transfer" && s.Port == "1.1.1" && failing.Load():
			s.Err = usbtest.ErrBlocked
		case s.Do == "control" && s.Port == "1.1" && s.Setup.RequestType == 0xA3 && failing.Load():
			s.Err = usb.ErrTimeout
		}
	}}
	inBubble(t, model, func(t *testing.T, r *rig) {
		var cleared atomic.Int64
		outer := usbtest.NewHub(usbtest.HubModel{Speed: usb.SpeedHigh, Ports: 2,
			Answer: func(s usb.Setup) ([]byte, error, bool) {
				if s.Request == 8 && s.Value == 0x9031 {
					time.Sleep(slow)
					cleared.Store(int64(time.Since(r.start)))
				}
				return nil, nil, false
			}})
		inner := aHub(usb.SpeedFull, 2)
		inner.Plug(1, aWillingOne(usb.SpeedFull))
		outer.Plug(1, inner)
		r.c.Plug(1, outer)
		r.add()
		r.settle()
		tr := r.claim(0, 0)
		failing.Store(true)
		go func() { _ = move(t.Context(), tr, 0x81, 0) }()
		time.Sleep(10 * time.Millisecond)
		// The hub does not respond to the request for the status.
		inner.Plug(2, aWillingOne(usb.SpeedFull))
		for r.happened("1.1.1: removed") == 0 {
			time.Sleep(time.Millisecond)
		}
		if now, then := time.Since(r.start), time.Duration(cleared.Load()); then == 0 ||
			now < then {
			t.Errorf("removed after %v, cleared after %v", now, then)
		}
		failing.Store(false)
		time.Sleep(time.Second)
		r.settle()
		r.wantPlaces("1 1.1 1.1.1 1.1.2")
	})
}

// TestAHubThatDoesNotClear: the transfer returns after a bounded time, and the hub is not removed.
func TestAHubThatDoesNotClear(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		most time.Duration // after the failure
	}{
		{name: "since it stalls the request", err: usb.ErrStall, most: 10 * time.Millisecond},
		{name: "since the request fails", err: usb.ErrTransfer, most: 20 * time.Millisecond},
		{name: "since it does not respond", err: usbtest.ErrBlocked, most: 510 * time.Millisecond},
	} {
		for _, endpoint := range []uint8{0x81, 0x00} {
			t.Run(c.name, func(t *testing.T) {
				f := &faults{port: "1.1", endpoint: endpoint, err: usbtest.ErrBlocked, times: 1}
				model := usbtest.Model{USB2: 1, Step: func(s *usbtest.Step) {
					f.step(s)
					if s.Setup.RequestType == 0x23 && s.Setup.Request == 8 {
						s.Err = c.err
					}
				}}
				inBubble(t, model, func(t *testing.T, r *rig) {
					h := aHub(usb.SpeedHigh, 2)
					h.Plug(1, aWillingOne(usb.SpeedFull))
					r.c.Plug(1, h)
					r.add()
					r.settle()
					tr := r.claim(0, 0)
					began := time.Now()
					if err := move(t.Context(), tr, endpoint, time.Second); !errors.Is(err,
						usb.ErrTimeout) {
						t.Error(err)
					}
					if took := time.Since(began); took > time.Second+c.most {
						t.Errorf("%v", took)
					}
					if err := move(t.Context(), tr, endpoint, time.Second); !errors.Is(err,
						usb.ErrTransfer) || r.c.Blocked() != 1 {
						t.Errorf("with a buffer that is busy: %v", err)
					}
					time.Sleep(time.Second)
					r.wantPlaces("1 1.1")
					if r.happened("removed") != 0 {
						t.Errorf("%q", r.log())
					}
				})
			})
		}
	}
}

// TestManyTransfersFailAtOnce: transfers of several devices fail at the same time as another event.
func TestManyTransfersFailAtOnce(t *testing.T) {
	for _, c := range []struct {
		name  string
		event func(r *rig, h *usbtest.Hub)
		most  time.Duration // until all have ended; 0: by their timeout
		works bool
	}{
		{name: "and nothing else", event: func(*rig, *usbtest.Hub) {}, works: true},
		{name: "when the devices are unplugged", event: func(_ *rig, h *usbtest.Hub) {
			for n := range 4 {
				h.Unplug(n + 1)
			}
		}, most: 100 * time.Millisecond},
		{name: "when the hub is unplugged", event: func(r *rig, _ *usbtest.Hub) { r.c.Unplug(1) },
			most: 100 * time.Millisecond},
		{name: "when the hub is reset", event: func(r *rig, _ *usbtest.Hub) { r.c.Fault(1) },
			most: 100 * time.Millisecond},
		{name: "when the bus is closed", event: func(r *rig, _ *usbtest.Hub) { _ = r.b.Close() },
			most: 100 * time.Millisecond},
		{name: "when the controller fails",
			event: func(r *rig, _ *usbtest.Hub) { r.c.Kill(errors.New("x")) },
			most:  100 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			var blocked atomic.Bool
			model := usbtest.Model{USB2: 1, Step: func(s *usbtest.Step) {
				if blocked.Load() &&
					(s.Do == "transfer" && s.Endpoint != 0x83 && len(s.Port) > 1 ||
						s.Setup.RequestType == usb.TypeVendor) {
					s.Err = usbtest.ErrBlocked
				}
			}}
			inBubble(t, model, func(t *testing.T, r *rig) {
				h := usbtest.NewHub(usbtest.HubModel{Speed: usb.SpeedHigh, Ports: 4, MultiTT: true})
				for n := range 4 {
					h.Plug(n+1, aWillingOne(usb.SpeedFull))
				}
				r.c.Plug(1, h)
				r.add()
				r.settle()
				var transports []usb.Transport
				for _, o := range r.offers() {
					tr, err := o.i.Claim()
					if err != nil {
						t.Fatal(err)
					}
					transports = append(transports, tr)
				}
				blocked.Store(true)
				var all sync.WaitGroup
				for _, tr := range transports {
					for _, e := range []uint8{0x81, 0x02, 0x00} {
						all.Go(func() {
							if move(t.Context(), tr, e, time.Second) == nil {
								t.Error("no error")
							}
						})
					}
				}
				time.Sleep(time.Millisecond)
				began := time.Now()
				c.event(r, h)
				all.Wait()
				blocked.Store(false)
				if took := time.Since(began); c.most > 0 && took > c.most {
					t.Errorf("%v", took)
				}
				if !c.works {
					return
				}
				if n := len(r.clearings("1")); n != len(transports)*4 {
					t.Errorf("%d buffers were cleared", n)
				}
				for _, tr := range transports {
					for _, e := range []uint8{0x81, 0x02, 0x00} {
						if err := move(t.Context(), tr, e, time.Second); err != nil {
							t.Error(err)
						}
					}
				}
				if r.c.Blocked() != 0 {
					t.Error("a buffer was busy")
				}
			})
		})
	}
}

// TestTheBusEndsWhileABufferIsCleared: the bus is closed while the hub does not respond.
func TestTheBusEndsWhileABufferIsCleared(t *testing.T) {
	f := &faults{port: "1.1", endpoint: 0x81, err: usb.ErrTransfer, times: 1}
	for name, end := range map[string]func(r *rig){
		"by Close":            func(r *rig) { _ = r.b.Close() },
		"for the hub":         func(r *rig) { r.c.Unplug(1) },
		"with the controller": func(r *rig) { r.c.Kill(errors.New("x")) },
		"for this controller": func(r *rig) { _ = r.b.Remove(r.c) },
	} {
		t.Run(name, func(t *testing.T) {
			f.times = 1
			asked := false
			model := usbtest.Model{USB2: 1, Step: func(s *usbtest.Step) {
				f.step(s)
				if s.Setup.RequestType == 0x23 && s.Setup.Request == 8 {
					s.Err, asked = usbtest.ErrBlocked, true
				}
			}}
			inBubble(t, model, func(t *testing.T, r *rig) {
				h := aHub(usb.SpeedHigh, 2)
				h.Plug(1, aWillingOne(usb.SpeedFull))
				r.c.Plug(1, h)
				r.add()
				r.settle()
				tr := r.claim(0, 0)
				ended := make(chan error, 1)
				go func() { ended <- move(t.Context(), tr, 0x81, 0) }()
				time.Sleep(100 * time.Millisecond)
				began := time.Now()
				end(r)
				if err := <-ended; err == nil || !asked {
					t.Errorf("%v", err)
				}
				if took := time.Since(began); took > 50*time.Millisecond {
					t.Errorf("%v", took)
				}
			})
		})
	}
}
