package ccid

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/ccid/internal/pipe"
	"tamaccid/ccid/scard"
	"tamaccid/ccid/usb"
)

// FuzzProbe takes any bytes for a configuration.
func FuzzProbe(f *testing.F) {
	f.Add(configBytes(0x0B, 0, classBytes(class(FeatureTPDU)), bulkEndpoints(64)...), byte(0))
	f.Add(configBytes(0xFF, 2, classBytes(class(FeatureTPDU))), byte(0))
	f.Fuzz(func(t *testing.T, config []byte, number byte) {
		i, err := Probe(config, number, 0)
		if err != nil {
			if !errors.Is(err, ErrDescriptor) {
				t.Fatal(err)
			}
			return
		}
		if i.Kind == KindBulk && (i.BulkIn.Address == 0 || i.BulkOut.Address == 0) ||
			i.Class.MaxMessageLength <= pipe.HeaderSize {
			t.Fatalf("%+v", i)
		}
	})
}

// FuzzClassDescriptor takes any bytes for a class descriptor.
func FuzzClassDescriptor(f *testing.F) {
	f.Add(classBytes(class(FeatureExtendedAPDU)))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseClassDescriptor(b)
		if err == nil && (len(b) < classDescriptorSize ||
			c.Version != binary.LittleEndian.Uint16(b[2:])) {
			t.Fatalf("%+v", c)
		}
	})
}

// hostile is a device whose every answer comes from the fuzzer: a control byte, then the data.
type hostile struct {
	*fake
	t         *testing.T
	input     []byte
	last      []byte // command
	transfers int
}

// mostTransfers is more than all calls of FuzzReader need with any answers (policy).
const mostTransfers = 1_000_000

// count ends the test if the driver does not end.
func (h *hostile) count() {
	if h.transfers++; h.transfers > mostTransfers {
		h.t.Fatal("no end of transfers")
	}
}

// take returns the next byte, 0 at the end.
func (h *hostile) take() byte {
	if len(h.input) == 0 {
		return 0
	}
	b := h.input[0]
	h.input = h.input[1:]
	return b
}

func (h *hostile) fill(buf []byte, n int) int {
	n = copy(buf[:min(n, len(buf))], h.input)
	h.input = h.input[n:]
	return n
}

func (h *hostile) In(ctx context.Context, _ uint8, buf []byte, timeout time.Duration) (int, error) {
	h.count()
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if len(h.input) == 0 {
		time.Sleep(timeout)
		return 0, usb.ErrTimeout
	}
	switch c := h.take(); c & 7 {
	case 0:
		return h.fill(buf, int(c>>3)), nil
	case 1:
		err := [...]error{usb.ErrStall, usb.ErrTimeout, usb.ErrBabble, usb.ErrTransfer,
			usb.ErrGone}[c>>3%5]
		if errors.Is(err, usb.ErrTimeout) {
			time.Sleep(timeout)
		}
		return 0, err
	case 2:
		return 0, nil
	default: // a proper header around whatever follows, so that the fuzzer gets further
		if len(h.last) < pipe.HeaderSize || len(buf) < pipe.HeaderSize {
			return 0, usb.ErrTimeout
		}
		status, code, chain := h.take(), h.take(), h.take()
		n := h.fill(buf[pipe.HeaderSize:], int(h.take()))
		if c&8 != 0 {
			status &= 3
		}
		pipe.PutHeader(buf, pipe.MessageType(h.last[0]).Response(), n, h.last[5], h.last[6],
			[3]byte{status, code, chain})
		return pipe.HeaderSize + n, nil
	}
}

func (h *hostile) Out(_ context.Context, _ uint8, b []byte, _ time.Duration) (int, error) {
	h.count()
	h.last = append(h.last[:0], b...)
	return len(b), nil
}

func (h *hostile) Control(_ context.Context, _ usb.Setup, data []byte, _ time.Duration) (int,
	error) {
	h.count()
	if len(h.input) == 0 {
		return 0, usb.ErrStall
	}
	switch c := h.take(); c & 3 {
	case 0:
		return 0, usb.ErrStall
	case 1:
		return 0, nil
	default:
		return h.fill(data, int(c)), nil
	}
}

func (h *hostile) ClearHalt(context.Context, uint8) error { return nil }

// FuzzReader opens a hostile device at every exchange level and of every kind, and does all that a
// program can do. Every call must end, and write within its buffer.
func FuzzReader(f *testing.F) {
	f.Add(byte(0), []byte{3, 0, 0, 0, 0, 3, 0, 0, 0, 0, 3, 0, 0, 0, 2, 0x3B, 0})
	f.Add(byte(1), []byte{3, 1, 0, 0, 0, 3, 1, 0, 0, 0, 3, 0, 0, 0, 4, 0x3B, 0x80, 0x01, 0x81})
	f.Add(byte(0x23), []byte{2, 1, 0, 0, 2, 0x3B, 0})
	f.Fuzz(func(t *testing.T, shape byte, input []byte) {
		synctest.Test(t, func(t *testing.T) {
			features := [...]Features{0, FeatureTPDU, FeatureShortAPDU,
				FeatureExtendedAPDU}[shape&3]
			if shape&4 != 0 {
				features |= FeatureAutoParameters
			}
			if shape&8 != 0 {
				features |= FeatureAutoPPS | FeatureAutoIFSD
			}
			c := class(features)
			c.PINSupport = 3
			h := &hostile{fake: newFake(c, nil), t: t, input: input}
			if kind := shape >> 4 & 3; kind == 1 || kind == 2 {
				h.dev.Config = configBytes(0x0B, kind, classBytes(c))
			}
			r, err := Open(context.Background(), h,
				Options{Escape: EscapeAlways, CheckNotifications: time.Second})
			if err != nil {
				return
			}
			s := r.Slots()[0]
			ctx := context.Background()
			var out [40]byte
			for range 2 {
				_, _ = s.Connect(ctx, T0|T1, ColdReset)
				for _, command := range [][]byte{{0, 1, 2, 3}, {0, 1, 2, 3, 4},
					{0, 1, 2, 3, 2, 8, 9}, {0, 1, 2, 3, 2, 8, 9, 0}, {0, 1, 2, 3, 0, 1, 0}} {
					n, err := s.Transmit(ctx, command, out[:32])
					if n < 0 || n > 32 || err == nil && n < 2 || err != nil && n != 0 {
						t.Fatal(n, err)
					}
				}
				_, _ = s.State(ctx)
				_, _ = s.Control(ctx, ControlGetTLVProperties, nil)
				_, _ = s.Control(ctx, ControlEscape, []byte{1})
				_, _ = s.Control(ctx, ControlVerifyPIN,
					append(make([]byte, 15), 4, 0, 0, 0, 0, 0x20, 0, 0))
				_, _ = s.GetAttrib(ctx, scard.AttrATRString)
				_ = s.Disconnect(ctx, Unpower)
			}
			if out != [40]byte(append(out[:32:32], make([]byte, 8)...)) {
				t.Fatal("written past the buffer")
			}
			_ = r.Close()
		})
	})
}

// FuzzDeliver takes any bytes for a notification.
func FuzzDeliver(f *testing.F) {
	f.Add([]byte{0x50, 3, 0})
	f.Add([]byte{0x51, 1, 2, 3})
	c := class(FeatureShortAPDU | FeatureAutoParameters)
	c.MaxSlotIndex = 9
	r, err := Open(context.Background(), newFake(c, ordinary(atrT0, nil)), Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r.Deliver(b)
		for _, s := range r.Slots() {
			if s.LastState() > Active {
				t.Fatal(s.LastState())
			}
		}
	})
}

// FuzzParameters takes any bytes for a protocol data structure; what is understood is written back
// the same.
func FuzzParameters(f *testing.F) {
	f.Add(byte(0), []byte{0x11, 0, 0, 10, 0})
	f.Add(byte(1), []byte{0x11, 0x11, 0, 0x4D, 0, 32, 0})
	f.Fuzz(func(t *testing.T, number byte, b []byte) {
		p, ok := parseParameters(number, b)
		if !ok {
			return
		}
		again, ok := parseParameters(number, p.append(nil))
		if p.nad = 0; !ok {
			t.Fatal("not understood again")
		}
		if again.nad = 0; again != p {
			t.Fatalf("%+v, %+v", p, again)
		}
	})
}
