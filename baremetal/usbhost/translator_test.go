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

// willing is a gadget whose transfers all succeed, with two bulk endpoints and an interrupt endpoint.
type willing struct{ *usbtest.Gadget }

func aWillingOne(speed usb.Speed) willing {
	g := gadget()
	packet := byte(64)
	if speed == usb.SpeedLow {
		packet, g.Descriptor[7] = 8, 8
	}
	g.At = speed
	g.Configs = [][]byte{configuration(1, []byte{9, 4, 0, 0, 3, 0xFF, 0, 0, 0, 7, 5, 0x81, 2, packet, 0, 0, 7, 5, 0x02, 2, packet, 0, 0, 7, 5, 0x83, 3, 8, 0, 10})}
	g.Answer = func(s usb.Setup) ([]byte, error, bool) { return nil, nil, s.RequestType == usb.TypeVendor }
	return willing{g}
}

func (willing) In(_ context.Context, _ uint8, buf []byte) (int, error) { return len(buf), nil }
func (willing) Out(context.Context, uint8, []byte) error               { return nil }

// move does a transfer on an endpoint.
func move(ctx context.Context, tr usb.Transport, endpoint uint8, timeout time.Duration) (err error) {
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

// faults has transfers of the device at a place fail, on one endpoint, as often as it says.
type faults struct {
	port     string
	endpoint uint8
	err      error
	times    int
}

func (f *faults) step(s *usbtest.Step) {
	mine := s.Do == "transfer" && s.Endpoint == f.endpoint || f.endpoint == 0 && s.Do == "control" && s.Setup.RequestType == usb.TypeVendor
	if mine && s.Port == f.port && f.times > 0 {
		f.times--
		s.Err = f.err
	}
}

// clearings are wValue and wIndex of the requests CLEAR_TT_BUFFER, to the hub at a place.
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

// wantClearings compares them, and says whether a transfer met a busy buffer.
func (r *rig) wantClearings(hub string, want ...[2]uint16) {
	r.t.Helper()
	if got := r.clearings(hub); !slices.Equal(got, want) {
		r.t.Errorf("cleared %#x, not %#x", got, want)
	}
	if n := r.c.Blocked(); n != 0 {
		r.t.Errorf("%d transfers met a busy buffer", n)
	}
}

// Each way in which a transfer fails, on each kind of pipe, and what the hub is asked for. The device is on port 3 and has address 2.
func TestTheBufferOfATranslatorIsCleared(t *testing.T) {
	const place, address = "1.3", 2
	for _, hub := range []struct {
		name       string
		multi      bool
		translator uint16
	}{{"one translator", false, 1}, {"a translator for each port", true, 3}} {
		for _, pipe := range []struct {
			name     string
			endpoint uint8
			want     []uint16 // USB 2.0, table 11-18
		}{
			{"bulk in", 0x81, []uint16{0x9021}},
			{"bulk out", 0x02, []uint16{0x1022}},
			{"control", 0x00, []uint16{0x0020, 0x8020}},
			{"interrupt", 0x83, nil},
		} {
			for _, end := range []struct {
				name  string
				fault error
				by    func(tr usb.Transport, cancel context.CancelFunc) // nil: by itself
				want  error
			}{
				{"its timeout", usbtest.ErrBlocked, nil, usb.ErrTimeout},
				{"its context", usbtest.ErrBlocked, func(_ usb.Transport, cancel context.CancelFunc) { cancel() }, context.Canceled},
				{"Close", usbtest.ErrBlocked, func(tr usb.Transport, _ context.CancelFunc) { _ = tr.Close() }, usb.ErrGone},
				{"a stall", usb.ErrStall, nil, usb.ErrStall},
				{"a transaction error", usb.ErrTransfer, nil, usb.ErrTransfer},
				{"babble", usb.ErrBabble, nil, usb.ErrBabble},
			} {
				t.Run(hub.name+", "+pipe.name+", "+end.name, func(t *testing.T) {
					f := &faults{port: place, endpoint: pipe.endpoint, err: end.fault, times: 1}
					inBubble(t, usbtest.Model{USB2: 1, Step: f.step}, func(t *testing.T, r *rig) {
						h := usbtest.NewHub(usbtest.HubModel{Speed: usb.SpeedHigh, Ports: 4, MultiTT: hub.multi})
						h.Plug(3, aWillingOne(usb.SpeedFull))
						r.c.Plug(1, h)
						r.add()
						r.settle()
						tr := r.claim(0, 0)
						if a := tr.Device().Address; a != address {
							t.Fatalf("address %d", a)
						}
						r.wantClearings("1") // none during enumeration, though it has requests that stall
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
						// The hub was asked before the transfer returned: no other can come before.
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

// Where devices have no translator none is cleared; where one is further up it is that one's hub that is asked.
func TestWhichHubIsAsked(t *testing.T) {
	high := usbtest.HubModel{Speed: usb.SpeedHigh, Ports: 4, MultiTT: true}
	full := usbtest.HubModel{Speed: usb.SpeedFull, Ports: 4}
	for _, c := range []struct {
		name  string
		hubs  []usbtest.HubModel // a device on port 2 of the last, a hub on port 1 of the one before
		speed usb.Speed
		place string
		asked string
		want  [][2]uint16
	}{
		{"a full-speed device on a root port", nil, usb.SpeedFull, "1", "", nil},
		{"a high-speed device behind a hub", []usbtest.HubModel{high}, usb.SpeedHigh, "1.2", "", nil},
		{"a low-speed device behind full-speed hubs", []usbtest.HubModel{full, full}, usb.SpeedLow, "1.1.2", "", nil},
		{"a low-speed device behind a high-speed hub", []usbtest.HubModel{high}, usb.SpeedLow, "1.2", "1", [][2]uint16{{0x9021, 2}}},
		{"the nearest high-speed hub", []usbtest.HubModel{high, high}, usb.SpeedFull, "1.1.2", "1.1", [][2]uint16{{0x9031, 2}}},
		{"a full-speed hub in between", []usbtest.HubModel{high, high, full, full}, usb.SpeedLow, "1.1.1.1.2", "1.1", [][2]uint16{{0x9051, 1}}},
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
				if err := move(t.Context(), tr, 0x81, time.Second); !errors.Is(err, usb.ErrTransfer) {
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

// A full-speed hub is a device like any other to the translator that it is behind.
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
		{"the address", func(s *usbtest.Step) bool { return s.Do == "address" }, usb.ErrTransfer, [][2]uint16{{0x0000, 1}, {0x8000, 1}}},
		{"the address, which is never answered", func(s *usbtest.Step) bool { return s.Do == "address" }, usbtest.ErrBlocked, [][2]uint16{{0x0000, 1}, {0x8000, 1}}},
		{"the address, which is stalled", func(s *usbtest.Step) bool { return s.Do == "address" }, usb.ErrStall, nil},
		{"a descriptor", func(s *usbtest.Step) bool { return s.Do == "control" }, usb.ErrTransfer, [][2]uint16{{0x0020, 1}, {0x8020, 1}}},
		{"a descriptor, which is never answered", func(s *usbtest.Step) bool { return s.Do == "control" }, usbtest.ErrBlocked, [][2]uint16{{0x0020, 1}, {0x8020, 1}}},
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
