package ccid

import (
	"context"
	"testing"
	"time"

	"tamaccid/ccid/internal/pipe"
	"tamaccid/ccid/usb"
)

// echoTransport is a reader that takes no time: it answers every command with 90 00, and IccPowerOn
// with an answer to reset.
type echoTransport struct {
	fake
	n int
	b [64]byte
	// pad makes the next answer fill its packet, and an empty one follow.
	pad, empty bool
}

func (e *echoTransport) Out(_ context.Context, _ uint8, b []byte, _ time.Duration) (int, error) {
	t := pipe.MessageType(b[0])
	e.n = pipe.HeaderSize
	switch t {
	case pipe.IccPowerOn:
		e.n += copy(e.b[pipe.HeaderSize:], atrT0)
	case pipe.XfrBlock:
		e.b[pipe.HeaderSize], e.b[pipe.HeaderSize+1] = 0x90, 0
		e.n += 2
		if e.pad {
			e.n = len(e.b)
			e.b[e.n-2] = 0x90
		}
	}
	pipe.PutHeader(e.b[:], t.Response(), e.n-pipe.HeaderSize, b[5], b[6], [3]byte{})
	return len(b), nil
}

func (e *echoTransport) In(_ context.Context, _ uint8, buf []byte, _ time.Duration) (int, error) {
	if e.empty {
		e.empty = false
		return 0, nil
	}
	e.empty, e.pad = e.pad && e.n == len(e.b), false
	return copy(buf, e.b[:e.n]), nil
}

var _ usb.Transport = (*echoTransport)(nil)

func benchSlot(tb testing.TB, level Features) *Slot {
	s, _ := slotOf(tb, class(level|FeatureAutoParameters))
	return s
}

func slotOf(tb testing.TB, c ClassDescriptor) (*Slot, *echoTransport) {
	e := &echoTransport{fake: *newFake(c, nil)}
	r, err := Open(context.Background(), e, Options{})
	if err != nil {
		tb.Fatal(err)
	}
	s := r.Slots()[0]
	if _, err := s.Connect(context.Background(), T0, ColdReset); err != nil {
		tb.Fatal(err)
	}
	return s, e
}

var caseThree = []byte{0, 0xA4, 4, 0, 10, 0xA0, 0, 0, 0, 0x62, 3, 1, 12, 6, 1}

// BenchmarkTransmitShort is a short APDU through the driver, without any reader's time.
func BenchmarkTransmitShort(b *testing.B) {
	s := benchSlot(b, FeatureShortAPDU)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var r [258]byte
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Transmit(ctx, caseThree, r[:]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTransmitTPDU is the same with T=0 in the driver.
func BenchmarkTransmitTPDU(b *testing.B) {
	s := benchSlot(b, FeatureTPDU)
	var r [258]byte
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Transmit(context.Background(), caseThree, r[:]); err != nil {
			b.Fatal(err)
		}
	}
}

// TestTransmitAllocatesNothing runs the steady state of each exchange level.
func TestTransmitAllocatesNothing(t *testing.T) {
	for _, level := range []Features{FeatureShortAPDU, FeatureTPDU, FeatureExtendedAPDU} {
		s := benchSlot(t, level)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		var r [258]byte
		if n := testing.AllocsPerRun(100, func() {
			if _, err := s.Transmit(ctx, caseThree, r[:]); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%v: %v allocations", level.Level(), n)
		}
	}
}

// A program may offer room for the longest response with every command. Reads are as long as the
// command's response can be.
func TestRoomForALongResponseCostsAShortCommandNothing(t *testing.T) {
	c := class(FeatureExtendedAPDU | FeatureAutoParameters)
	c.MaxMessageLength = pipe.MaxMessage
	s, e := slotOf(t, c)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r := make([]byte, 65538)
	e.pad = true // from then on reads are as long as the answer may be
	for range 2 {
		if _, err := s.Transmit(ctx, caseThree, r); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := s.Transmit(ctx, caseThree, r); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
