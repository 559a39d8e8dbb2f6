package ccid

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"tamaccid/ccid/usb"
)

// bulk is the pipe of a CCID: commands on bulk OUT, answers on bulk IN (CCID 1.1, 6.1 and 6.2).
//
// When the reader takes one command at a time, whoever holds its place owns both endpoints. When it takes several, those
// who wait for an answer take turns at reading: the one inside `in` reads for all and hands other slots' answers over.
type bulk struct {
	r       *Reader
	t       usb.Transport
	epIn    uint8
	epOut   uint8
	packet  int // wMaxPacketSize of epIn
	maxIn   int // largest read, a multiple of packet
	largest int // Reader.largest
	control gate
	out, in gate
	shared  bool // more than one command at a time
	ending  atomic.Uint32
	full    bool // the last message filled its last packet, and the read with it; whoever owns epIn has it
}

// How a reader ends a message that fills its last packet. USB 2.0, 5.8.3 asks for a zero-length packet where the host has asked
// for more. Without it a read that has room left waits for ever, and firmware's xHCI driver loses what had come. So a read has
// no room left until the reader has shown what it does: the first one is a packet, which has the header, the second what that says.
//
//	ending    first read                     becomes
//	unknown   one packet                     ended, by an empty packet right behind a message that filled its last one
//	ended     all that may be expected       unended, by a read that times out with a whole message
//	unended   one packet                     -
const (
	endingUnknown uint32 = iota
	endingEnded
	endingUnended
)

func newBulk(r *Reader) (*bulk, error) {
	packet := int(r.iface.BulkIn.MaxPacketSize)
	b := &bulk{
		r: r, t: r.t, epIn: r.iface.BulkIn.Address, epOut: r.iface.BulkOut.Address,
		packet: packet, maxIn: r.t.MaxIn() / packet * packet, largest: r.largest(),
		control: r.control, out: newGate(1), in: newGate(1), shared: cap(r.busy) > 1,
	}
	if b.maxIn == 0 {
		return nil, fmt.Errorf("%w: packets of %d bytes, transfers of %d at most", ErrDescriptor, packet, r.t.MaxIn())
	}
	return b, nil
}

// round gives the size of a read for n bytes: whole packets, since readers send whole packets past what was asked for.
func (b *bulk) round(n int) int {
	return min((n+b.packet-1)/b.packet*b.packet, b.maxIn)
}

// roundTrip sends a command and waits for its answer.
func (b *bulk) roundTrip(ctx context.Context, s *Slot, c *command) (answer, error) {
	s.seq++
	s.expect()
	defer s.expectNothing()
	message := s.out[:headerSize+c.n]
	putHeader(message, c.typ, c.n, s.index, s.seq, c.p)
	if err := b.send(ctx, message, b.r.timing.Write); err != nil {
		return answer{}, b.fell(ctx, s, err)
	}
	start := time.Now()
	deadline := start.Add(c.wait)
	limit := start.Add(max(b.r.timing.Limit, c.wait))
	cleared := false
	for stale, extensions := 0, 0; ; {
		frame, err := b.receive(ctx, s, c.want, deadline)
		if err != nil {
			if cleared || !broken(err) {
				return answer{}, b.fell(ctx, s, err)
			}
			// the halt was cleared where it was seen; the answer may still be there
			cleared = true
			deadline = earlier(deadline, time.Now().Add(b.r.timing.Halt))
			continue
		}
		h, ok := parseHeader(frame)
		if !ok || h.slot != s.index || h.seq != s.seq {
			if stale++; stale > maxStale {
				return answer{}, b.fell(ctx, s, fmt.Errorf("%w: no end of stale answers", ErrProtocol))
			}
			continue
		}
		if h.typ != c.typ.reply() && (h.typ != msgSlotStatus || h.cmd() != cmdStatusFailed) {
			return answer{}, b.fell(ctx, s, fmt.Errorf("%w: %v answered with message %#02x", ErrProtocol, c.typ, uint8(h.typ)))
		}
		switch h.cmd() {
		case cmdStatusReserved:
			return answer{}, b.fell(ctx, s, fmt.Errorf("%w: reserved command status", ErrProtocol))
		case cmdStatusTimeExt:
			// CCID 1.1, 6.2.6: bError multiplies the waiting time, counted from now.
			now := time.Now()
			if extensions++; extensions > maxExtensions || now.After(limit) {
				return answer{}, b.fell(ctx, s, usb.ErrTimeout)
			}
			deadline = earlier(limit, now.Add(c.wait*time.Duration(max(1, h.error))))
			continue
		}
		return answer{header: h, data: frame[headerSize : headerSize+int(h.length)]}, nil
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// broken says that a transfer failed in a way that halts the endpoint but does not mean that the answer is lost.
func broken(err error) bool {
	return errors.Is(err, usb.ErrStall) || errors.Is(err, usb.ErrTransfer) || errors.Is(err, usb.ErrBabble)
}

// send writes a command, once more after a stall: a reader that stalls has not taken it (USB 2.0, 5.8.5).
func (b *bulk) send(ctx context.Context, message []byte, wait time.Duration) error {
	if b.shared {
		if err := b.out.enter(ctx); err != nil {
			return err
		}
		defer b.out.leave()
	}
	for again := false; ; again = true {
		n, err := b.t.Out(ctx, b.epOut, message, wait)
		if err == nil && n != len(message) {
			err = fmt.Errorf("%w: %d of %d bytes written", usb.ErrTransfer, n, len(message))
		}
		if err == nil {
			return nil
		}
		if !broken(err) {
			return err
		}
		if clearErr := b.t.ClearHalt(ctx, b.epOut); clearErr != nil || again || !errors.Is(err, usb.ErrStall) {
			return err
		}
	}
}

// receive returns the next whole message for the slot, or one that is for nobody. Its length has been checked.
func (b *bulk) receive(ctx context.Context, s *Slot, want int, deadline time.Time) ([]byte, error) {
	if !b.shared {
		return b.read(ctx, s, want, deadline)
	}
	for routed := 0; routed <= maxStale*len(b.r.slots); routed++ {
		select {
		case <-s.box.ready:
			return s.collect(), nil
		default:
		}
		if !b.in.try() {
			if frame, mine, err := s.await(ctx, b.in, deadline); err != nil || mine {
				return frame, err
			}
		}
		if frame, others, err := b.turn(ctx, s, want, deadline); !others {
			return frame, err
		}
	}
	return nil, fmt.Errorf("%w: no end of other slots' answers", ErrProtocol)
}

// turn reads one message, ends the caller's turn to read, and reports whether the message was
// another slot's.
func (b *bulk) turn(ctx context.Context, s *Slot, want int, deadline time.Time) (frame []byte, others bool, err error) {
	defer b.in.leave()
	select { // what came while the turn was waited for
	case <-s.box.ready:
		return s.collect(), false, nil
	default:
	}
	frame, err = b.read(ctx, s, max(want, len(s.in)-headerSize), deadline) // it may be another slot's, and longer
	h, _ := parseHeader(frame)
	others = err == nil && h.slot != s.index && int(h.slot) < len(b.r.slots)
	if others { // before the turn ends: who has the next one looks into its mailbox first, and only once
		b.r.slots[h.slot].deliver(h.seq, frame)
	}
	return frame, others, err
}

// wipe does nothing: messages are in the slots' buffers only.
func (b *bulk) wipe() {}

// whole says whether b holds all of a message.
func whole(b []byte) bool {
	h, ok := parseHeader(b)
	return ok && uint64(len(b)-headerSize) >= uint64(h.length)
}

// read reads one message into the slot's in buffer: as many transfers as its header asks for. The
// caller owns the endpoint.
func (b *bulk) read(ctx context.Context, s *Slot, want int, deadline time.Time) ([]byte, error) {
	n, empty := 0, 0
	full := b.full
	b.full = false
	ask := b.round(headerSize)
	if b.ending.Load() == endingEnded {
		ask = min(b.round(headerSize+want), b.largest)
	}
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return nil, usb.ErrTimeout
		}
		s.in = grown(s.in, n+ask)
		buf := s.in
		got, err := b.t.In(ctx, b.epIn, buf[n:n+ask], left)
		if errors.Is(err, usb.ErrTimeout) && got > 0 && got < ask && whole(buf[:n+got]) {
			b.ending.Store(endingUnended)
			return buf[:n+got], nil
		}
		if err != nil {
			if broken(err) {
				// Nothing of this message is of use now. An error of the request itself shows as the next transfer's.
				_ = b.t.ClearHalt(ctx, b.epIn)
			}
			return nil, err
		}
		if got < 0 || got > ask {
			return nil, fmt.Errorf("%w: %d bytes in a buffer of %d", usb.ErrBabble, got, ask)
		}
		n += got
		if n == 0 {
			// USB 2.0, 5.8.3: the end of an earlier message that filled its last packet.
			if empty++; empty > maxEmpty {
				return nil, fmt.Errorf("%w: nothing but empty packets", ErrProtocol)
			}
			if full && empty == 1 {
				b.ending.CompareAndSwap(endingUnknown, endingEnded)
			}
			continue
		}
		if n < headerSize {
			return nil, fmt.Errorf("%w: message of %d bytes", ErrProtocol, n)
		}
		length := binary.LittleEndian.Uint32(buf[1:])
		if length > uint32(b.largest-headerSize) {
			return nil, fmt.Errorf("%w: message claims %d bytes", ErrProtocol, length)
		}
		total := headerSize + int(length)
		if n >= total {
			b.full = got == ask
			return buf[:n], nil
		}
		if got < ask {
			return nil, fmt.Errorf("%w: message claims %d bytes, has %d", ErrProtocol, length, n-headerSize)
		}
		ask = min(b.round(total-n), (b.largest-n)/b.packet*b.packet)
		if ask == 0 {
			return nil, fmt.Errorf("%w: message claims %d bytes", ErrProtocol, length)
		}
	}
}
