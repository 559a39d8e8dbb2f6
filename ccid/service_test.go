package ccid

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/ccid/internal/pipe"
	"tamaccid/ccid/usb"
)

func TestResetsAndPowerOffByThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(class(FeatureShortAPDU|FeatureAutoParameters), ordinary(atrT0, nil))
		s := open(t, f, Options{})
		ctx := context.Background()
		from := len(f.sent)
		if b, err := s.WarmReset(ctx); err != nil || !bytes.Equal(b, atrT0) { // not powered: cold
			t.Fatal(b, err)
		}
		if _, err := s.WarmReset(ctx); err != nil {
			t.Fatal(err)
		}
		if err := s.PowerOff(ctx); err != nil || s.ATR() != nil {
			t.Fatal(err)
		}
		expectSent(t, f, from, "IccPowerOff", "IccPowerOn", "IccPowerOn", "IccPowerOff")
	})
}

func TestSecoderCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		healthy := ordinary(atrT0, nil)
		f := newFake(class(FeatureShortAPDU|FeatureAutoParameters),
			func(f *fake, m []byte) [][]byte {
				if pipe.MessageType(m[0]) == pipe.Escape {
					return [][]byte{respond(m, pipe.EscapeResponse, 0, 0, 0, 0x90, 0)}
				}
				return healthy(f, m)
			})
		f.dev.Descriptor = deviceBytes(0x0D46, 0x4289, 0x0100)
		s := open(t, f, Options{})
		ctx := context.Background()
		if b, err := s.Control(ctx, ControlMCTReaderDirect, []byte{0x20, 0x70, 0, 0}); err != nil ||
			!bytes.Equal(b, []byte{0x90, 0}) {
			t.Error(b, err)
		}
		for _, in := range [][]byte{nil, {0x20, 0x70}, {0x00, 0x70, 0, 0}, {0x20, 0x76, 0, 0}} {
			if _, err := s.Control(ctx, ControlMCTReaderDirect, in); !errors.Is(err, ErrInvalid) {
				t.Errorf("% X: %v", in, err)
			}
		}
	})
}

// restless is a device whose interrupt endpoint fails in every way before it reports a card.
type restless struct {
	*fake
	fails []error
}

func (r *restless) In(ctx context.Context, endpoint uint8, buf []byte, timeout time.Duration) (int,
	error) {
	if endpoint != fakeNote {
		return r.fake.In(ctx, endpoint, buf, timeout)
	}
	if len(r.fails) > 0 {
		err := r.fails[0]
		r.fails = r.fails[1:]
		return 0, err
	}
	return r.fake.In(ctx, endpoint, buf, timeout)
}

func TestListenSurvivesFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &restless{newFake(class(FeatureShortAPDU|FeatureAutoParameters), ordinary(atrT0, nil)),
			[]error{usb.ErrTimeout, usb.ErrStall, usb.ErrTimeout, usb.ErrTransfer}}
		r, err := Open(context.Background(), f, Options{Timing: quick})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		ended := make(chan error, 1)
		go func() { ended <- r.Listen(ctx) }()
		f.notes <- []byte{0x50, 0x02}
		for r.Slots()[0].LastState() != Absent {
			if ctx.Err() != nil {
				t.Fatal("the removal is not reported")
			}
			time.Sleep(time.Millisecond)
		}
		if n := len(f.halts); n != 2 || f.halts[0] != fakeNote {
			t.Errorf("halts cleared: %x", f.halts)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestListenWhereThereIsNothingToListenTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(class(FeatureShortAPDU|FeatureAutoParameters), ordinary(atrT0, nil))
		f.dev.Config = configBytes(0x0B, 0,
			classBytes(class(FeatureShortAPDU|FeatureAutoParameters)), bulkEndpoints(64)[:2]...)
		s := open(t, f, Options{Notifications: true, CheckNotifications: time.Millisecond})
		if err := s.Reader().Listen(context.Background()); !errors.Is(err, ErrUnsupported) {
			t.Error(err)
		}
		if _, err := s.State(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestListenEndsWithTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &restless{newFake(class(FeatureShortAPDU|FeatureAutoParameters), ordinary(atrT0, nil)),
			[]error{usb.ErrGone}}
		r, err := Open(context.Background(), f, Options{Timing: quick})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Listen(context.Background()); !errors.Is(err, ErrGone) || !r.Gone() {
			t.Fatal(err)
		}
		select {
		case <-r.Done():
		default:
			t.Fatal("Done is not closed")
		}
	})
}

// fuller is a reader whose messages fill their last packet.
type fuller struct {
	*fake
	// zero-length packets that it still has to send after messages; without one a read with room
	// left waits
	empty int
	lose  bool // what came before such a read times out, as edk2's XhciDxe does
	owed  bool // the empty packet, to the next read
	asked []int
}

func (r *fuller) In(ctx context.Context, endpoint uint8, buf []byte, timeout time.Duration) (int,
	error) {
	r.asked = append(r.asked, len(buf))
	if r.owed {
		r.owed = false
		return 0, nil
	}
	n, err := r.fake.In(ctx, endpoint, buf, timeout)
	last := len(r.fake.queue) == 0
	switch {
	case err != nil || !last || n%r.packet != 0:
		return n, err
	case r.empty > 0:
		r.empty--
		r.owed = n == len(buf)
		return n, nil
	case n == len(buf):
		return n, nil
	}
	time.Sleep(timeout)
	if r.lose {
		n = 0
	}
	return n, usb.ErrTimeout
}

// Each message of the reader is two packets of 64 bytes.
func TestMessagesThatFillTheirLastPacket(t *testing.T) {
	const all = 320 // a short APDU's message, in whole packets
	for _, c := range []struct {
		name  string
		empty int
		lose  bool
		asked [][]int // by each exchange
		waits int     // exchanges that end with a timeout
	}{
		{"never ended by an empty packet", 0, true, [][]int{{64, 64}, {64, 64}, {64, 64}}, 0},
		{"always ended by an empty packet", 9, true,
			[][]int{{64, 64}, {64, 64, 64}, {all, all}, {all}}, 0},
		{"ended by an empty packet once", 1, false,
			[][]int{{64, 64}, {64, 64, 64}, {all}, {64, 64}}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fuller{fake: newFake(class(FeatureShortAPDU|FeatureAutoParameters),
					ordinary(atrT0,
						func(_, p []byte) []byte {
							return append(bytes.Repeat(p[3:4], 116), 0x90, 0)
						})), lose: c.lose}
				r, err := Open(context.Background(), f, Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				s := r.Slots()[0]
				ctx := context.Background()
				if _, err := s.Connect(ctx, T0, ColdReset); err != nil {
					t.Fatal(err)
				}
				f.empty = c.empty
				waits := 0
				for i, asked := range c.asked {
					f.asked = nil
					started := time.Now()
					var out [258]byte
					n, err := s.Transmit(ctx, []byte{0, 0, 0, byte(i)}, out[:])
					if err != nil || n != 118 || out[0] != byte(i) {
						t.Fatalf("exchange %d: % .4X, %v", i, out[:n], err)
					}
					if !slices.Equal(f.asked, asked) {
						t.Errorf("exchange %d asked for %d, want %d", i, f.asked, asked)
					}
					if time.Since(started) > 0 {
						waits++
					}
				}
				if waits != c.waits {
					t.Errorf("%d exchanges waited for nothing, want %d", waits, c.waits)
				}
			})
		})
	}
}

func TestICCDThatIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, protocol := range []byte{1, 2} {
			step := 0
			f, _ := iccdFake(t, protocol, FeatureShortAPDU, 271)
			f.control = func(f *fake, s usb.Setup, data []byte) (int, error) {
				switch {
				case s.Request == 0x65 && step == 0:
					step++
					return 0, usb.ErrTimeout
				case s.Request == 0x65:
					step = 9
				case s.Request == 0x6F && protocol == 2 && step == 9:
					return copy(data, []byte{0, 0x90, 0}), nil
				case s.Request == 0x6F && protocol == 2:
					return copy(data, append([]byte{0}, atrT0...)), nil
				case s.Request == 0x6F:
					return copy(data, []byte{0x90, 0}), nil
				case s.Request == 0x62 && s.In():
					return copy(data, atrT0), nil
				case s.Request == 0xA0:
					return copy(data, []byte{0x20}), nil
				case s.In():
					return copy(data, []byte{0, 0, 0}), nil
				}
				return len(data), nil
			}
			s := connected(t, f, Options{})
			ctx := context.Background()
			var out [4]byte
			if _, err := s.Transmit(ctx, []byte{0, 1, 2, 3}, out[:]); !errors.Is(err, ErrTimeout) {
				t.Errorf("version %d: %v", protocol, err)
			}
			if n, err := s.Transmit(ctx, []byte{0, 1, 2, 3}, out[:]); err != nil || n != 2 {
				t.Errorf("version %d, the next exchange: %v", protocol, err)
			}
			f.unplug()
			if _, err := s.Transmit(ctx, []byte{0, 1, 2, 3}, out[:]); !errors.Is(err, ErrGone) {
				t.Errorf("version %d, unplugged: %v", protocol, err)
			}
		}
	})
}
