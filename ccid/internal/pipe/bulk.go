package pipe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"tamaccid/ccid/internal/wait"
	"tamaccid/ccid/usb"
)

// bulk exchanges commands on bulk OUT and answers on bulk IN (CCID 1.1, 6.1 and 6.2).
//
// When the reader takes one command at a time, the slot that has its place owns both endpoints.
// When the pipe is shared, the slots that wait for an answer take turns at reading: the one that
// holds `in` reads for all and routes other slots' answers (routing.go).
type bulk struct {
	p           *Pipe
	epIn, epOut uint8
	maxIn       int // largest read, a multiple of packet
	out, in     wait.Semaphore
	ending      atomic.Uint32
	// full is set if the last message filled its last packet, and the read with it. It belongs to
	// the owner of epIn.
	full bool
}

// How a reader ends a message that fills its last packet. USB 2.0, 5.8.3 asks for a zero-length
// packet where the host has asked for more. Some readers send none: a read that has room left then
// waits until its timeout, and edk2's XhciDxe (seen in edk2-stable202208) loses what had come. So a
// read has no room left until the reader has shown which kind it is: the first read is one packet,
// which has the header, and the second is as long as the header declares.
//
//	ending    first read                     becomes
//	unknown   one packet                     ended, by an empty packet after a message that filled
//	                                         its last packet
//	ended     all that may be expected       unended, by a timeout of a read with a whole message
//	unended   one packet                     -
const (
	endingUnknown uint32 = iota
	endingEnded
	endingUnended
)

// NewBulk returns the pipe of a reader with bulk endpoints. The error is for packets that are
// longer than what the transport reads.
func NewBulk(c *Config, in, out *usb.Endpoint) (*Pipe, error) {
	p := newPipe(c)
	p.sizes(int(in.MaxPacketSize))
	b := &bulk{
		p: p, epIn: in.Address, epOut: out.Address,
		maxIn: c.Transport.MaxIn() / p.packet * p.packet,
		out:   wait.NewSemaphore(1), in: wait.NewSemaphore(1),
	}
	if b.maxIn == 0 {
		return nil, fmt.Errorf("packets of %d bytes, transfers of %d at most",
			p.packet, c.Transport.MaxIn())
	}
	p.kind = b
	return p, nil
}

// round is the size of a read for n bytes: whole packets, since readers send whole packets beyond
// what was asked for.
func (b *bulk) round(n int) int { return min(b.p.packets(n), b.maxIn) }

// roundTrip sends a command and waits for its answer.
func (b *bulk) roundTrip(ctx context.Context, s *Slot, c Command) (Answer, error) {
	s.seq++
	s.expect()
	defer s.expectNothing()
	message := s.out[:HeaderSize+c.N]
	PutHeader(message, c.Type, c.N, s.index, s.seq, c.P)
	if err := b.send(ctx, message, b.p.Waits.Write); err != nil {
		return Answer{}, b.lost(ctx, s, err)
	}
	start := time.Now()
	deadline := start.Add(c.Wait)
	limit := start.Add(max(b.p.Waits.Limit, c.Wait))
	cleared := false
	for stale, extensions := 0, 0; ; {
		frame, err := b.receive(ctx, s, c.Want, deadline)
		if err != nil {
			if cleared || !broken(err) {
				return Answer{}, b.lost(ctx, s, err)
			}
			// The halt was cleared where it was seen; the answer may still be there.
			cleared = true
			deadline = earlier(deadline, time.Now().Add(b.p.Waits.Halt))
			continue
		}
		h, ok := parseHeader(frame)
		if !ok || h.Slot != s.index || h.Seq != s.seq {
			if stale++; stale > MaxStale {
				return Answer{}, b.lost(ctx, s,
					fmt.Errorf("%w: no end of stale answers", ErrProtocol))
			}
			continue
		}
		// Every command may be refused with RDR_to_PC_SlotStatus (CCID 1.1, 6.2). Some readers
		// send time extensions in it too.
		other := h.Type == SlotStatus &&
			(h.CommandStatus() == StatusFailed || h.CommandStatus() == StatusTimeExt)
		if h.Type != c.Type.Response() && !other {
			return Answer{}, b.lost(ctx, s,
				fmt.Errorf("%w: %v answered with message %#02x", ErrProtocol, c.Type,
					uint8(h.Type)))
		}
		switch h.CommandStatus() {
		case StatusReserved:
			return Answer{}, b.lost(ctx, s, fmt.Errorf("%w: reserved command status", ErrProtocol))
		case StatusTimeExt:
			// CCID 1.1, 6.2.6: bError multiplies the waiting time, counted from now.
			now := time.Now()
			if extensions++; extensions > MaxExtensions || now.After(limit) {
				return Answer{}, b.lost(ctx, s, usb.ErrTimeout)
			}
			deadline = earlier(limit, now.Add(c.Wait*time.Duration(max(1, h.Error))))
			continue
		}
		return Answer{Header: h, Data: frame[HeaderSize : HeaderSize+int(h.Length)]}, nil
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// send writes a command, once more after a stall: a reader that stalls has not taken it (USB 2.0,
// 5.8.5).
func (b *bulk) send(ctx context.Context, message []byte, limit time.Duration) error {
	if b.p.Shared {
		if err := b.out.Acquire(ctx); err != nil {
			return err
		}
		defer b.out.Release()
	}
	for again := false; ; again = true {
		n, err := b.p.Transport.Out(ctx, b.epOut, message, limit)
		if err == nil && n != len(message) {
			err = fmt.Errorf("%w: %d of %d bytes written", usb.ErrTransfer, n, len(message))
		}
		if err == nil {
			return nil
		}
		if !broken(err) {
			return err
		}
		clearErr := b.p.Transport.ClearHalt(ctx, b.epOut)
		if clearErr != nil || again || !errors.Is(err, usb.ErrStall) {
			return err
		}
	}
}

// receive returns the next whole message for the slot, or one for no slot. Its length has been
// checked.
func (b *bulk) receive(ctx context.Context, s *Slot, want int, deadline time.Time) ([]byte, error) {
	if !b.p.Shared {
		return b.read(ctx, s, want, deadline)
	}
	for range MaxStale*len(b.p.slots) + 1 {
		select {
		case <-s.routed.ready:
			return s.collect(), nil
		default:
		}
		if !b.in.TryAcquire() {
			if frame, routed, err := s.await(ctx, b.in, deadline); err != nil || routed {
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
func (b *bulk) turn(
	ctx context.Context, s *Slot, want int, deadline time.Time,
) (frame []byte, others bool, err error) {
	defer b.in.Release()
	select { // what came while the turn was waited for
	case <-s.routed.ready:
		return s.collect(), false, nil
	default:
	}
	// The message may be another slot's, and longer.
	frame, err = b.read(ctx, s, max(want, MinMessage-HeaderSize), deadline)
	h, _ := parseHeader(frame)
	others = err == nil && h.Slot != s.index && int(h.Slot) < len(b.p.slots)
	if others {
		// Before the turn ends: the slot that has the next turn looks for an answer only once.
		b.p.slots[h.Slot].route(s, len(frame))
	}
	return frame, others, err
}

// wipe does nothing: messages are in the slots' buffers only.
func (b *bulk) wipe() {}

// whole reports whether b holds all of a message.
func whole(b []byte) bool {
	h, ok := parseHeader(b)
	return ok && uint64(len(b)-HeaderSize) >= uint64(h.Length)
}

// read reads one message into the slot's inbound buffer, in as many transfers as its header asks
// for. The caller owns the endpoint.
func (b *bulk) read(ctx context.Context, s *Slot, want int, deadline time.Time) ([]byte, error) {
	n, empty := 0, 0
	full := b.full
	b.full = false
	ask := b.round(HeaderSize)
	if b.ending.Load() == endingEnded {
		ask = min(b.round(HeaderSize+want), b.p.largest)
	}
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return nil, usb.ErrTimeout
		}
		s.in = grown(s.in, n+ask)
		buf := s.in
		got, err := b.p.Transport.In(ctx, b.epIn, buf[n:n+ask], left)
		if errors.Is(err, usb.ErrTimeout) && got > 0 && got < ask && whole(buf[:n+got]) {
			b.ending.Store(endingUnended)
			return buf[:n+got], nil
		}
		if err != nil {
			if broken(err) {
				// Nothing of this message is of use now. An error of the request itself shows as
				// the next transfer's.
				_ = b.p.Transport.ClearHalt(ctx, b.epIn)
			}
			return nil, err
		}
		if got < 0 || got > ask {
			return nil, fmt.Errorf("%w: %d bytes in a buffer of %d", usb.ErrBabble, got, ask)
		}
		n += got
		if n == 0 {
			// USB 2.0, 5.8.3: the end of an earlier message that filled its last packet.
			if empty++; empty > MaxEmpty {
				return nil, fmt.Errorf("%w: nothing but empty packets", ErrProtocol)
			}
			if full && empty == 1 {
				b.ending.CompareAndSwap(endingUnknown, endingEnded)
			}
			continue
		}
		if n < HeaderSize {
			return nil, fmt.Errorf("%w: message of %d bytes", ErrProtocol, n)
		}
		length := binary.LittleEndian.Uint32(buf[1:])
		if length > uint32(b.p.largest-HeaderSize) {
			return nil, fmt.Errorf("%w: message claims %d bytes", ErrProtocol, length)
		}
		total := HeaderSize + int(length)
		if n >= total {
			b.full = got == ask
			return buf[:n], nil
		}
		if got < ask {
			return nil, fmt.Errorf("%w: message claims %d bytes, has %d",
				ErrProtocol, length, n-HeaderSize)
		}
		ask = min(b.round(total-n), (b.p.largest-n)/b.p.packet*b.p.packet)
		if ask == 0 {
			return nil, fmt.Errorf("%w: message claims %d bytes", ErrProtocol, length)
		}
	}
}
