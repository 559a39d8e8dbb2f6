package usbhost_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/usbtest"
	"tamaccid/ccid"
	"tamaccid/ccid/usb"
)

// composite is a device with two interfaces, of which the second one has three settings.
func composite() *usbtest.Gadget {
	g := gadget()
	g.Configs = [][]byte{configuration(1, iface(0, 0, 0xFF, 0x81, 0x02), iface(1, 0, 0xFF),
		iface(1, 1, 0xFF, 0x83), iface(1, 2, 0xFF, 0x83, 0x04))}
	return g
}

// iface is the last offered interface with a number.
func (r *rig) iface(number uint8) *usbhost.Interface {
	r.t.Helper()
	all := r.offers()
	for k := len(all) - 1; k >= 0; k-- {
		if all[k].i.Descriptor().Number == number {
			return all[k].i
		}
	}
	r.t.Fatalf("no interface %d: %q", number, r.log())
	return nil
}

// claim claims an interface.
func (r *rig) claim(number, alt uint8) usb.Transport {
	r.t.Helper()
	t, err := r.iface(number).ClaimSetting(r.t.Context(), alt)
	if err != nil {
		r.t.Fatal(err)
	}
	return t
}

// onBus runs f with a device on the only port. A virtual reader cannot be that device: it belongs
// to a bubble.
func onBus(t *testing.T, m usbtest.Model, d usbtest.Device, f func(t *testing.T, r *rig)) {
	t.Helper()
	m.USB2 = 1
	inBubble(t, m, func(t *testing.T, r *rig) {
		r.c.Plug(1, d)
		r.add()
		r.settle()
		f(t, r)
	})
}

func TestAnAPDUIsExchangedOverTheBus(t *testing.T) {
	for _, speed := range []usb.Speed{usb.SpeedFull, usb.SpeedHigh, usb.SpeedSuper} {
		t.Run(speed.String(), func(t *testing.T) {
			inBubble(t, usbtest.Model{USB2: 1, USB3: 1}, func(t *testing.T, r *rig) {
				h := usbtest.NewHub(usbtest.HubModel{Speed: max(speed, usb.SpeedHigh), Ports: 3,
					MultiTT: speed < usb.SpeedSuper})
				h.Plug(2, aReader(speed))
				port := 1
				if speed == usb.SpeedSuper {
					port = 2
				}
				r.c.Plug(port, h)
				r.add()
				time.Sleep(ms(training))
				r.settle()
				claimed, err := r.last().Claim()
				if err != nil {
					t.Fatal(err)
				}
				d := claimed.Device()
				if d.Manufacturer != "tamaccid" || d.Product != "Virtual Reader" ||
					d.Serial != "1" || d.Speed != speed || d.Bus != 1 || d.Address == 0 {
					t.Errorf("%+v", d)
				}
				if !r.b.Devices()[1].Interfaces[0].Claimed {
					t.Error("the interface does not count as claimed")
				}
				ctx, cancel := context.WithTimeout(t.Context(), longEnough)
				defer cancel()
				rd, err := ccid.Open(ctx, claimed, ccid.Options{Notifications: true})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := rd.Slots()[0].Connect(ctx, ccid.T0|ccid.T1,
					ccid.ColdReset); err != nil {
					t.Fatal(err)
				}
				hello := []byte{0x00, 0xA4, 0x04, 0x00, 0x0A, 0xA0, 0x00, 0x00, 0x00, 0x62, 0x03,
					0x01, 0x0C, 0x06, 0x01}
				answer := make([]byte, 258)
				if n, err := rd.Slots()[0].Transmit(ctx, hello, answer); err != nil ||
					!bytes.HasSuffix(answer[:n], []byte{0x90, 0x00}) {
					t.Errorf("% X, %v", answer[:n], err)
				}
				if n, err := rd.Slots()[0].Transmit(ctx, make([]byte, 4), answer); err != nil ||
					string(answer[:n]) != "Hello world!\x90\x00" {
					t.Errorf("% X, %v", answer[:n], err)
				}
				if err := rd.Close(); err != nil {
					t.Error(err)
				}
				if r.b.Devices()[1].Interfaces[0].Claimed {
					t.Error("the interface still counts as claimed")
				}
				if again, err := r.last().Claim(); err != nil || again.Close() != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestAnInterfaceHasOneUser(t *testing.T) {
	onBus(t, usbtest.Model{}, composite(), func(t *testing.T, r *rig) {
		first := r.claim(0, 0)
		if _, err := r.iface(0).Claim(); !errors.Is(err, usbhost.ErrClaimed) {
			t.Error(err)
		}
		if err := r.claim(1, 0).Close(); err != nil {
			t.Error(err)
		}
		if err := first.Close(); err != nil {
			t.Error(err)
		}
		if err := first.Close(); err != nil {
			t.Error(err)
		}
		if _, err := first.Out(t.Context(), 0x02, make([]byte, 1), 0); !errors.Is(err,
			usb.ErrGone) {
			t.Error(err)
		}
		r.claim(0, 0)
	})
}

func TestSettingsOfAnInterface(t *testing.T) {
	onBus(t, usbtest.Model{}, composite(), func(t *testing.T, r *rig) {
		i := r.iface(1)
		if n := len(i.Settings()); n != 3 || i.Descriptor().AltSetting != 0 {
			t.Fatalf("%d settings, the first is %+v", n, i.Descriptor())
		}
		sets := func() int { return r.steps("control", usb.ToInterface, usb.RequestSetInterface) }
		first := r.claim(1, 1)
		if sets() != 1 || first.Device().AltSetting != 1 {
			t.Errorf("%d times SET_INTERFACE, %+v", sets(), first.Device())
		}
		if _, err := first.Out(t.Context(), 0x04, make([]byte, 1), 0); !errors.Is(err,
			usbhost.ErrUsage) {
			t.Errorf("an endpoint of another setting: %v", err)
		}
		if first.Close() != nil || r.claim(1, 1).Close() != nil || sets() != 1 {
			t.Errorf("%d times SET_INTERFACE for the same setting", sets())
		}
		if r.claim(1, 2).Close() != nil || sets() != 2 {
			t.Errorf("%d times SET_INTERFACE", sets())
		}
		if _, err := i.Claim(); err != nil || sets() != 3 {
			t.Errorf("%d times SET_INTERFACE, %v", sets(), err)
		}
		if _, err := i.ClaimSetting(t.Context(), 7); !errors.Is(err, usbhost.ErrUsage) {
			t.Error(err)
		}
	})
}

func TestASettingThatTheDeviceRefuses(t *testing.T) {
	g := composite()
	g.Answer = func(s usb.Setup) ([]byte, error, bool) {
		return nil, usb.ErrStall, s.Request == usb.RequestSetInterface
	}
	onBus(t, usbtest.Model{}, g, func(t *testing.T, r *rig) {
		if _, err := r.iface(1).ClaimSetting(t.Context(), 1); !errors.Is(err, usb.ErrStall) {
			t.Error(err)
		}
		if _, err := r.iface(1).Claim(); err != nil {
			t.Error(err)
		}
	})
}

func TestBadCalls(t *testing.T) {
	onBus(t, usbtest.Model{MaxTransfer: 1024}, composite(), func(t *testing.T, r *rig) {
		tr := r.claim(0, 0)
		ctx := t.Context()
		for name, call := range map[string]func() error{
			"IN from an OUT endpoint": func() error {
				_, err := tr.In(ctx, 0x02, make([]byte, 64), 0)
				return err
			},
			"OUT to an IN endpoint": func() error {
				_, err := tr.Out(ctx, 0x81, make([]byte, 64), 0)
				return err
			},
			"an endpoint of another interface": func() error {
				_, err := tr.In(ctx, 0x83, make([]byte, 64), 0)
				return err
			},
			"a buffer that is not whole packets": func() error {
				_, err := tr.In(ctx, 0x81, make([]byte, 65), 0)
				return err
			},
			"no buffer": func() error { _, err := tr.In(ctx, 0x81, nil, 0); return err },
			"more than MaxIn": func() error {
				_, err := tr.In(ctx, 0x81, make([]byte, 1088), 0)
				return err
			},
			"a data stage that is longer than its data": func() error {
				_, err := tr.Control(ctx, usb.Setup{Length: 2}, make([]byte, 1), 0)
				return err
			},
			"the halt of an endpoint that is not there": func() error {
				return tr.ClearHalt(ctx,
					0x05)
			},
		} {
			if err := call(); !errors.Is(err, usbhost.ErrUsage) {
				t.Errorf("%s: %v", name, err)
			}
		}
		done, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := tr.In(done, 0x81, make([]byte, 64), 0); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestTransfersEnd: each way to end a transfer that waits, and its error.
func TestTransfersEnd(t *testing.T) {
	calls := map[string]func(ctx context.Context, tr usb.Transport, timeout time.Duration) error{
		"in": func(ctx context.Context, tr usb.Transport, d time.Duration) error {
			_, err := tr.In(ctx, 0x81, make([]byte, 64), d)
			return err
		},
		"out": func(ctx context.Context, tr usb.Transport, d time.Duration) error {
			_, err := tr.Out(ctx, 0x02, make([]byte, 9), d)
			return err
		},
		"control": func(ctx context.Context, tr usb.Transport, d time.Duration) error {
			_, err := tr.Control(ctx, usb.Setup{RequestType: 0x40}, nil, d)
			return err
		},
	}
	for name, call := range calls {
		for _, c := range []struct {
			name    string
			timeout time.Duration
			end     func(r *rig, tr usb.Transport, cancel context.CancelFunc)
			want    error
		}{
			{name: "by its timeout", timeout: time.Second,
				end: func(*rig, usb.Transport, context.CancelFunc) {}, want: usb.ErrTimeout},
			{name: "by its context",
				end:  func(_ *rig, _ usb.Transport, cancel context.CancelFunc) { cancel() },
				want: context.Canceled},
			{name: "by Close",
				end: func(_ *rig, tr usb.Transport, _ context.CancelFunc) {
					_ = tr.Close()
				}, want: usb.ErrGone},
			{name: "by the end of the bus",
				end: func(r *rig, _ usb.Transport, _ context.CancelFunc) {
					_ = r.b.Close()
				}, want: usb.ErrGone},
			{name: "by a failure of the controller",
				end: func(r *rig, _ usb.Transport, _ context.CancelFunc) {
					r.c.Kill(errors.New("x"))
				}, want: usb.ErrGone},
			{name: "by unplugging, which is a failed transfer for the controller",
				end:  func(r *rig, _ usb.Transport, _ context.CancelFunc) { r.c.Unplug(1) },
				want: usb.ErrTransfer},
		} {
			t.Run(name+" "+c.name, func(t *testing.T) {
				g := composite()
				g.Answer = func(s usb.Setup) ([]byte, error, bool) {
					return nil, usbtest.ErrBlocked,
						s.RequestType == 0x40
				}
				onBus(t, usbtest.Model{}, g, func(t *testing.T, r *rig) {
					tr, other := r.claim(0, 0), r.claim(1, 0)
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					result := make(chan error, 1)
					go func() { result <- call(ctx, tr, c.timeout) }()
					time.Sleep(10 * time.Millisecond)
					c.end(r, tr, cancel)
					if err := <-result; !errors.Is(err, c.want) &&
						!(c.want == usb.ErrTransfer && errors.Is(err, usb.ErrGone)) {
						t.Errorf("%v, not %v", err, c.want)
					}
					r.settle()
					_, err := other.Control(t.Context(),
						usb.Setup{RequestType: 0x80, Request: usb.RequestGetDescriptor,
							Value: 0x0100, Length: 8}, make([]byte, 8), 0)
					gone := len(r.b.Devices()) == 0
					if gone && !errors.Is(err, usb.ErrGone) || !gone && err != nil {
						t.Errorf("the other interface: %v", err)
					}
				})
			})
		}
	}
}

func TestTheDefaultPipeIsSharedInTurn(t *testing.T) {
	g := composite()
	release := make(chan struct{})
	g.Answer = func(s usb.Setup) ([]byte, error, bool) {
		if s.RequestType == 0x40 && s.Request == 1 {
			<-release
		}
		return nil, nil, s.RequestType == 0x40
	}
	onBus(t, usbtest.Model{}, g, func(t *testing.T, r *rig) {
		release = make(chan struct{})
		slow, other := r.claim(0, 0), r.claim(1, 1)
		quick := func(ctx context.Context, timeout time.Duration) error {
			_, err := other.Control(ctx, usb.Setup{RequestType: 0x40, Request: 2}, nil, timeout)
			return err
		}
		go func() {
			_, _ = slow.Control(t.Context(), usb.Setup{RequestType: 0x40, Request: 1}, nil, 0)
		}()
		time.Sleep(10 * time.Millisecond)
		if err := quick(t.Context(), time.Second); !errors.Is(err, usb.ErrTimeout) {
			t.Errorf("while the other interface has the pipe: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := quick(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while the other interface has the pipe: %v", err)
		}
		closed := make(chan error)
		go func() { closed <- quick(t.Context(), 0) }()
		time.Sleep(10 * time.Millisecond)
		if err := other.Close(); err != nil {
			t.Error(err)
		}
		if err := <-closed; !errors.Is(err, usb.ErrGone) {
			t.Errorf("closed while it waited: %v", err)
		}
		other = r.claim(1, 1) // its current setting
		done := make(chan error)
		go func() { done <- quick(t.Context(), time.Second) }()
		time.Sleep(10 * time.Millisecond)
		close(release)
		if err := <-done; err != nil {
			t.Errorf("after the other interface: %v", err)
		}
	})
}

func TestClearHaltIsForBothSides(t *testing.T) {
	onBus(t, usbtest.Model{}, composite(), func(t *testing.T, r *rig) {
		tr := r.claim(0, 0)
		if err := tr.ClearHalt(t.Context(), 0x81); err != nil {
			t.Fatal(err)
		}
		log := r.c.Log()
		device, host := log[len(log)-2], log[len(log)-1]
		want := usb.Setup{RequestType: usb.ToEndpoint, Request: usb.RequestClearFeature,
			Index: 0x81}
		if device.Setup != want || host.Do != "reset endpoint" || host.Endpoint != 0x81 {
			t.Errorf("%+v, %+v", device, host)
		}
	})
}

// taker is a device that accepts all data.
type taker struct {
	*usbtest.Gadget
	got []int
	all []byte
}

func (d *taker) Out(_ context.Context, _ uint8, data []byte) error {
	d.got, d.all = append(d.got, len(data)), append(d.all, data...)
	return nil
}

func TestALongOutIsCutAtPackets(t *testing.T) {
	for _, c := range []struct {
		name   string
		length int
		want   []int
	}{
		{name: "less than the largest transfer", length: 900, want: []int{900}},
		{name: "the largest transfer of whole packets", length: 960, want: []int{960}},
		{name: "more", length: 2000, want: []int{960, 960, 80}},
		{name: "nothing", want: []int{0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &taker{Gadget: gadget()}
			onBus(t, usbtest.Model{MaxTransfer: 1000}, d, func(t *testing.T, r *rig) {
				data := bytes.Repeat([]byte("abcdefg"), 300)[:c.length]
				n, err := r.claim(0, 0).Out(t.Context(), 0x02, data, time.Second)
				if err != nil || n != c.length || !bytes.Equal(d.all, data) ||
					len(d.got) != len(c.want) {
					t.Fatalf("%d, %v, in pieces of %d", n, err, d.got)
				}
				for i := range c.want {
					if d.got[i] != c.want[i] {
						t.Errorf("pieces of %d, not %d", d.got, c.want)
					}
				}
			})
		})
	}
}

func TestAReaderIsUnpluggedDuringAnAPDU(t *testing.T) {
	inBubble(t, usbtest.Model{USB2: 1}, func(t *testing.T, r *rig) {
		r.c.Plug(1, aReader(usb.SpeedFull))
		r.add()
		r.settle()
		rd, err := ccid.Open(t.Context(), r.claim(0, 0), ccid.Options{Notifications: true})
		if err != nil {
			t.Fatal(err)
		}
		slot, answer := rd.Slots()[0], make([]byte, 258)
		if _, err := slot.Connect(t.Context(), ccid.T0|ccid.T1, ccid.ColdReset); err != nil {
			t.Fatal(err)
		}
		// The applet that answers later, and 200 ms.
		if _, err := slot.Transmit(t.Context(),
			append([]byte{0x00, 0xA4, 0x04, 0x00, 0x0A, 0xF0}, "tamaccid\x02"...),
			answer); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(50*time.Millisecond, func() { r.c.Unplug(1) })
		n, err := slot.Transmit(t.Context(), []byte{0x80, 0xA0, 0x00, 0xC8}, answer)
		if !errors.Is(err, ccid.ErrGone) {
			t.Errorf("% X, %v", answer[:n], err)
		}
		if err := rd.Close(); err != nil {
			t.Error(err)
		}
		r.settle()
		r.wantPlaces("")
	})
}
