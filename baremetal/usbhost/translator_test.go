package usbhost_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"tamaccid/baremetal/usbhost/usbtest"
	"tamaccid/ccid/usb"
)

// willing is a device with two bulk endpoints and an interrupt endpoint whose transfers all
// succeed.
type willing struct{ *usbtest.Gadget }

func aWillingOne(speed usb.Speed) willing {
	g := gadget()
	packet := byte(64)
	if speed == usb.SpeedLow {
		packet, g.Descriptor[7] = 8, 8
	}
	g.At = speed
	g.Configs = [][]byte{configuration(1,
		[]byte{9, 4, 0, 0, 3, 0xFF, 0, 0, 0, 7, 5, 0x81, 2, packet, 0, 0, 7, 5, 0x02, 2, packet, 0,
			0, 7, 5, 0x83, 3, 8, 0, 10})}
	g.Answer = func(s usb.Setup) ([]byte, error, bool) {
		return nil, nil,
			s.RequestType == usb.TypeVendor
	}
	return willing{g}
}

func (willing) In(_ context.Context, _ uint8, buf []byte) (int, error) { return len(buf), nil }
func (willing) Out(context.Context, uint8, []byte) error               { return nil }

// move performs a transfer on an endpoint.
func move(ctx context.Context, tr usb.Transport, endpoint uint8,
	timeout time.Duration) (err error) {
	switch buf := make([]byte, 64); {
	case endpoint == 0:
		_, err = tr.Control(ctx, usb.Setup{RequestType: usb.TypeVendor}, nil, timeout)
	case endpoint&usb.DirIn != 0:
		_, err = tr.In(ctx, endpoint, buf, timeout)
	default:
		_, err = tr.Out(ctx, endpoint, buf, timeout)
	}
	return err
}

// faults makes a number of transfers on one endpoint of the device at a place fail.
type faults struct {
	port     string
	endpoint uint8
	err      error
	times    int
}

func (f *faults) step(s *usbtest.Step) {
	mine := s.Do == "transfer" && s.Endpoint == f.endpoint || f.endpoint == 0 &&
		s.Do == "control" && s.Setup.RequestType == usb.TypeVendor
	if mine && s.Port == f.port && f.times > 0 {
		f.times--
		s.Err = f.err
	}
}

// clearings are wValue and wIndex of the CLEAR_TT_BUFFER requests to the hub at a place.
func (r *rig) clearings(hub string) (all [][2]uint16) {
	r.t.Helper()
	for _, s := range r.c.Log() {
		if s.Do != "control" || s.Setup.RequestType&0x7F != 0x23 || s.Setup.Request != 8 {
			continue
		}
		if s.Setup.RequestType != 0x23 || s.Setup.Length != 0 || s.Port != hub {
			r.t.Errorf("%+v to %s", s.Setup, s.Port)
		}
		all = append(all, [2]uint16{s.Setup.Value, s.Setup.Index})
	}
	slices.SortFunc(all, func(a, b [2]uint16) int { return int(a[0]) - int(b[0]) })
	return all
}

// wantClearings compares clearings, and checks that no transfer failed because of a busy buffer.
func (r *rig) wantClearings(hub string, want ...[2]uint16) {
	r.t.Helper()
	if got := r.clearings(hub); !slices.Equal(got, want) {
		r.t.Errorf("cleared %#x, not %#x", got, want)
	}
	if n := r.c.Blocked(); n != 0 {
		r.t.Errorf("%d transfers met a busy buffer", n)
	}
}

// TestTheBufferOfATranslatorIsCleared: each failure of a transfer, on each kind of endpoint, and
// the requests to the hub. The device is on port 3 and has address 2.
func TestTheBufferOfATranslatorIsCleared(t *testing.T) {
	const place, address = "1.3", 2
	for _, hub := range []struct {
		name       string
		multi      bool
		translator uint16
	}{{name: "one translator", translator: 1}, {name: "a translator for each port", multi: true,
		translator: 3}} {
		for _, pipe := range []struct {
			name     string
			endpoint uint8
			want     []uint16 // USB 2.0, table 11-18
		}{
			{name: "bulk in", endpoint: 0x81, want: []uint16{0x9021}},
			{name: "bulk out", endpoint: 0x02, want: []uint16{0x1022}},
			{name: "control", endpoint: 0x00, want: []uint16{0x0020, 0x8020}},
			{name: "interrupt", endpoint: 0x83},
		} {
			for _, end := range []struct {
				name  string
				fault error
				by    func(tr usb.Transport, cancel context.CancelFunc) // nil: by itself
				want  error
			}{
				{name: "its timeout", fault: usbtest.ErrBlocked, want: usb.ErrTimeout},
				{name: "its context", fault: usbtest.ErrBlocked,
					by:   func(_ usb.Transport, cancel context.CancelFunc) { cancel() },
					want: context.Canceled},
				{name: "Close", fault: usbtest.ErrBlocked,
					by: func(tr usb.Transport, _ context.CancelFunc) {
						_ = tr.Close()
					}, want: usb.ErrGone},
				{name: "a stall", fault: usb.ErrStall, want: usb.ErrStall},
				{name: "a transaction error", fault: usb.ErrTransfer, want: usb.ErrTransfer},
				{name: "babble", fault: usb.ErrBabble, want: usb.ErrBabble},
			} {
				t.Run(hub.name+", "+pipe.name+", "+end.name, func(t *testing.T) {
					f := &faults{port: place, endpoint: pipe.endpoint, err: end.fault, times: 1}
					inBubble(t, usbtest.Model{USB2: 1, Step: f.step}, func(t *testing.T, r *rig) {
						h := usbtest.NewHub(usbtest.HubModel{Speed: usb.SpeedHigh, Ports: 4,
							MultiTT: hub.multi})
						h.Plug(3, aWillingOne(usb.SpeedFull))
						r.c.Plug(1, h)
						r.add()
						r.settle()
						tr := r.claim(0, 0)
						if a := tr.Device().Address; a != address {
							t.Fatalf("address %d", a)
						}
						// None during enumeration, though it has requests that stall.
						r.wantClearings("1")
						ctx, cancel := context.WithCancel(t.Context())
						defer cancel()
						result := make(chan error, 1)
						go func() { result <- move(ctx, tr, pipe.endpoint, time.Second) }()
						if end.by != nil {
							time.Sleep(10 * time.Millisecond)
							end.by(tr, cancel)
						}
						if err := <-result; !errors.Is(err, end.want) {
							t.Errorf("%v", err)
						}
						// The request precedes the return of the transfer, and so any other
						// transfer.
						var want [][2]uint16
						for _, v := range pipe.want {
							if end.fault != usb.ErrStall || pipe.endpoint != 0 {
								want = append(want, [2]uint16{v, hub.translator})
							}
						}
						r.wantClearings("1", want...)
						if tr.Close() != nil {
							t.Error("not closed")
						}
						tr = r.claim(0, 0)
						for _, e := range []uint8{0x81, 0x02, 0x83, 0x00} {
							if err := move(t.Context(), tr, e, time.Second); err != nil {
								t.Errorf("then endpoint %#02x: %v", e, err)
							}
						}
						r.wantClearings("1", want...)
					})
				})
			}
		}
	}
}

// TestWhichHubIsAsked: the requests go to the hub of the translator, however far it is from the
// device.
func TestWhichHubIsAsked(t *testing.T) {
	high := usbtest.HubModel{Speed: usb.SpeedHigh, Ports: 4, MultiTT: true}
	full := usbtest.HubModel{Speed: usb.SpeedFull, Ports: 4}
	for _, c := range []struct {
		name string
		// A device on port 2 of the last, a hub on port 1 of the one before.
		hubs  []usbtest.HubModel
		speed usb.Speed
		place string
		asked string
		want  [][2]uint16
	}{
		{name: "a full-speed device on a root port", speed: usb.SpeedFull, place: "1"},
		{name: "a high-speed device behind a hub", hubs: []usbtest.HubModel{high},
			speed: usb.SpeedHigh, place: "1.2"},
		{name: "a low-speed device behind full-speed hubs", hubs: []usbtest.HubModel{full, full},
			speed: usb.SpeedLow, place: "1.1.2"},
		{name: "a low-speed device behind a high-speed hub", hubs: []usbtest.HubModel{high},
			speed: usb.SpeedLow, place: "1.2", asked: "1", want: [][2]uint16{{0x9021, 2}}},
		{name: "the nearest high-speed hub", hubs: []usbtest.HubModel{high, high},
			speed: usb.SpeedFull, place: "1.1.2", asked: "1.1", want: [][2]uint16{{0x9031, 2}}},
		{name: "a full-speed hub in between", hubs: []usbtest.HubModel{high, high, full, full},
			speed: usb.SpeedLow, place: "1.1.1.1.2", asked: "1.1", want: [][2]uint16{{0x9051, 1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &faults{port: c.place, endpoint: 0x81, err: usb.ErrTransfer, times: 1}
			inBubble(t, usbtest.Model{USB2: 1, Step: f.step}, func(t *testing.T, r *rig) {
				plug := r.c.Plug
				port := 1
				for _, m := range c.hubs {
					h := usbtest.NewHub(m)
					plug(1, h)
					plug, port = h.Plug, 2
				}
				plug(port, aWillingOne(c.speed))
				r.add()
				r.settle()
				tr := r.claim(0, 0)
				if err := move(t.Context(), tr, 0x81, time.Second); !errors.Is(err,
					usb.ErrTransfer) {
					t.Error(err)
				}
				r.wantClearings(c.asked, c.want...)
				if err := move(t.Context(), tr, 0x81, time.Second); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestTheRequestsOfAFullSpeedHubPassATranslator: a full-speed hub is a device as any other for the
// translator that serves it.
func TestTheRequestsOfAFullSpeedHubPassATranslator(t *testing.T) {
	failing := 0
	model := usbtest.Model{USB2: 1, Step: func(s *usbtest.Step) {
		if failing > 0 && s.Do == "control" && s.Port == "1.1" && s.Setup.RequestType == 0xA3 {
			failing--
			s.Err = usb.ErrTransfer
		}
	}}
	inBubble(t, model, func(t *testing.T, r *rig) {
		outer, inner := aHub(usb.SpeedHigh, 2), aHub(usb.SpeedFull, 2)
		outer.Plug(1, inner)
		r.c.Plug(1, outer)
		r.add()
		r.settle()
		failing = 1
		inner.Plug(1, aWillingOne(usb.SpeedFull))
		time.Sleep(time.Second)
		r.settle()
		r.wantPlaces("1 1.1 1.1.1")
		r.wantClearings("1", [2]uint16{0x0020, 1}, [2]uint16{0x8020, 1})
		if r.happened("removed") != 0 || failing != 0 {
			t.Errorf("%q", r.log())
		}
	})
}

func TestTheBufferIsClearedDuringEnumeration(t *testing.T) {
	for _, c := range []struct {
		name  string
		first func(s *usbtest.Step) bool
		err   error
		want  [][2]uint16
	}{
		{name: "the address", first: func(s *usbtest.Step) bool { return s.Do == "address" },
			err: usb.ErrTransfer, want: [][2]uint16{{0x0000, 1}, {0x8000, 1}}},
		{name: "the address, without a response",
			first: func(s *usbtest.Step) bool { return s.Do == "address" }, err: usbtest.ErrBlocked,
			want: [][2]uint16{{0x0000, 1}, {0x8000, 1}}},
		{name: "the address, which is stalled",
			first: func(s *usbtest.Step) bool { return s.Do == "address" }, err: usb.ErrStall},
		{name: "a descriptor", first: func(s *usbtest.Step) bool { return s.Do == "control" },
			err: usb.ErrTransfer, want: [][2]uint16{{0x0020, 1}, {0x8020, 1}}},
		{name: "a descriptor, without a response",
			first: func(s *usbtest.Step) bool { return s.Do == "control" }, err: usbtest.ErrBlocked,
			want: [][2]uint16{{0x0020, 1}, {0x8020, 1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			times := 1
			model := usbtest.Model{USB2: 1, Step: func(s *usbtest.Step) {
				if times > 0 && s.Port == "1.1" && c.first(s) {
					times--
					s.Err = c.err
				}
			}}
			inBubble(t, model, func(t *testing.T, r *rig) {
				h := aHub(usb.SpeedHigh, 1)
				h.Plug(1, aReader(usb.SpeedFull))
				r.c.Plug(1, h)
				r.add()
				r.settle()
				r.wantPlaces("1 1.1")
				r.wantClearings("1", c.want...)
				if times != 0 {
					t.Error("nothing failed")
				}
			})
		})
	}
}
