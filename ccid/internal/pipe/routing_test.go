package pipe

import (
	"bytes"
	"testing"

	"tamaccid/ccid/usb"
)

// endless is a transport of which only the size of a read matters.
type endless struct{ usb.Transport }

func (endless) MaxIn() int { return 65536 }

// sharedPipe returns the two slots of a reader that works on both at once, in a call.
func sharedPipe(t *testing.T) (a, b *Slot) {
	t.Helper()
	p, err := NewBulk(&Config{Transport: endless{}, Slots: 2, MaxPayload: 261, Shared: true},
		&usb.Endpoint{Address: 0x81, MaxPacketSize: 64},
		&usb.Endpoint{Address: 1, MaxPacketSize: 64})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range p.slots {
		s.Begin()
	}
	return p.Slot(0), p.Slot(1)
}

// arrived puts a message for slot 1 into the inbound buffer of s, which has read it.
func arrived(s *Slot, seq, status uint8, payload ...byte) (n int) {
	n = HeaderSize + len(payload)
	s.in = grown(s.in, n)
	PutHeader(s.in, DataBlock, len(payload), 1, seq, [3]byte{status})
	return copy(s.in[HeaderSize:], payload) + HeaderSize
}

// libccid 5583333: another slot's answer was copied without a look at its size.
func TestAnswersOfAnotherSlot(t *testing.T) {
	const seq = 9
	for _, c := range []struct {
		name  string
		route func(a, b *Slot)
		want  []byte // payload, nil for no answer
	}{
		{"the expected answer", func(a, b *Slot) {
			b.route(a, arrived(a, seq, 0, 1, 2))
		}, []byte{1, 2}},
		{"an answer that is longer than any", func(a, b *Slot) {
			b.route(a, arrived(a, seq, 0, make([]byte, b.p.largest)...))
		}, nil},
		{"an answer to an older command", func(a, b *Slot) {
			b.route(a, arrived(a, seq-1, 0, 1))
		}, nil},
		{"an answer to an older command after the right one", func(a, b *Slot) {
			b.route(a, arrived(a, seq, 0, 1))
			b.route(a, arrived(a, seq-1, 0, 2))
		}, []byte{1}},
		{"two answers", func(a, b *Slot) {
			b.route(a, arrived(a, seq, 0, 1))
			b.route(a, arrived(a, seq, 0, 2))
		}, []byte{1}},
		{"a time extension, then the answer", func(a, b *Slot) {
			b.route(a, arrived(a, seq, StatusTimeExt))
			b.route(a, arrived(a, seq, 0, 3))
		}, []byte{3}},
		{"an answer after the command has ended", func(a, b *Slot) {
			b.expectNothing()
			b.route(a, arrived(a, seq, 0, 1))
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := sharedPipe(t)
			b.seq = seq
			b.expect()
			c.route(a, b)
			select {
			case <-b.routed.ready:
				frame := b.collect()
				if c.want == nil || !bytes.Equal(frame[HeaderSize:], c.want) {
					t.Errorf("% X", frame)
				}
			default:
				if c.want != nil {
					t.Error("no answer")
				}
			}
			a.End()
			b.End()
			for _, buf := range [][]byte{a.in, a.routed.buf, b.in, b.routed.buf} {
				if !bytes.Equal(buf, make([]byte, len(buf))) || len(buf) > MinMessage {
					t.Errorf("%d bytes are left in a buffer: % X", len(buf), buf)
				}
			}
		})
	}
}

// TestRoutingCopiesNothing: the slots exchange buffers.
func TestRoutingCopiesNothing(t *testing.T) {
	a, b := sharedPipe(t)
	b.seq = 1
	b.expect()
	read := &a.in[0]
	b.route(a, arrived(a, 1, 0, 1, 2))
	<-b.routed.ready
	if frame := b.collect(); &frame[0] != read {
		t.Error("the answer was copied")
	}
	if n := testing.AllocsPerRun(100, func() {
		b.expect()
		b.route(a, arrived(a, 1, 0))
		<-b.routed.ready
		b.collect()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
