package ccid

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tamaccid/ccid/usb"
)

// Class requests (CCID 1.1, 5.3).
const (
	requestAbort               = 0x01
	requestGetClockFrequencies = 0x02
	requestGetDataRates        = 0x03
)

// resyncTries bounds how often the barrier is sent: once with the abort, once after the halts were cleared, and once more for a
// reader that was busy (policy).
const resyncTries = 3

// fell takes a slot whose command got no proper answer back in step at once, and gives the error
// for the caller. When ctx has ended that has Timing.Cancel and no more, and what is left to do is
// done before the next command. The answer counts as lost, so that the command may be repeated,
// only when the slot is in step again.
func (b *bulk) fell(ctx context.Context, s *Slot, err error) error {
	if errors.Is(err, usb.ErrGone) {
		return err
	}
	s.stale = true
	if b.r.ending.Load() {
		return err
	}
	if over(ctx, err) {
		brief, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.r.timing.Cancel)
		defer cancel()
		ctx = brief
	}
	switch failed := b.resync(ctx, s, msgAbort); {
	case errors.Is(failed, usb.ErrGone):
		return failed
	case failed != nil:
		return err
	}
	return fmt.Errorf("%w (%w)", err, errLost)
}

// over reports whether ctx has ended, or err is a transport's that has seen it end.
func over(ctx context.Context, err error) bool { return ctx.Err() != nil || cancelled(err) }

// cancelled reports whether err is that of a context.
func cancelled(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// resync brings the slot back in step by the abort sequence (CCID 1.1, 5.3.1): the control request and the bulk command
// with the same sequence number, then everything that comes before the answer to it is thrown away. Readers that stall the
// control request are asked for their status instead: messages arrive in order, so its answer is the last of the old ones.
//
// Each step has Timing.Abort, and all of it ends with ctx. After an error the slot is still stale.
func (b *bulk) resync(ctx context.Context, s *Slot, _ messageType) error {
	s.seq++
	s.expect()
	defer s.expectNothing()
	err := b.abortRequest(ctx, s)
	if err != nil && !errors.Is(err, usb.ErrStall) {
		return err
	}
	barrier := msgAbort
	if err != nil {
		barrier = msgGetSlotStatus
	}
	for attempt := range resyncTries {
		if attempt > 0 {
			barrier = msgGetSlotStatus
			if errors.Is(err, ErrBusy) { // answered, but the reader is still at work
				if err := pause(ctx, b.r.timing.Abort/2); err != nil {
					return err
				}
			} else { // not answered: pipes that are halted on one side only answer nothing
				b.clearHalts(ctx)
			}
			s.seq++
			s.expect()
		}
		if err = b.barrier(ctx, s, barrier); err == nil {
			s.stale = false
			return nil
		}
		if errors.Is(err, usb.ErrGone) || over(ctx, err) {
			return err
		}
	}
	return fmt.Errorf("%w: reader does not come back in step: %w", ErrTimeout, err)
}

// abortRequest is the control half of the abort sequence (CCID 1.1, 5.3.1).
func (b *bulk) abortRequest(ctx context.Context, s *Slot) error {
	if err := b.control.enter(ctx); err != nil {
		return err
	}
	defer b.control.leave()
	_, err := b.t.Control(ctx, usb.Setup{
		RequestType: usb.DirOut | usb.TypeClass | usb.ToInterface,
		Request:     requestAbort,
		Value:       uint16(s.seq)<<8 | uint16(s.index),
		Index:       uint16(b.r.iface.Number),
	}, nil, b.r.timing.Abort)
	if err != nil && !errors.Is(err, usb.ErrGone) && !over(ctx, err) {
		return usb.ErrStall // whatever the reason: without the control half the bulk half means nothing
	}
	return err
}

// barrier sends a command without payload and reads until its answer.
func (b *bulk) barrier(ctx context.Context, s *Slot, t messageType) error {
	message := s.scratch[:]
	putHeader(message, t, 0, s.index, s.seq, [3]byte{})
	if err := b.send(ctx, message, b.r.timing.Abort); err != nil {
		return err
	}
	deadline := time.Now().Add(b.r.timing.Abort)
	for range maxStale {
		frame, err := b.receive(ctx, s, 0, deadline)
		if errors.Is(err, ErrProtocol) || broken(err) {
			continue // the damaged rest of what is being thrown away
		}
		if err != nil {
			return err
		}
		h, ok := parseHeader(frame)
		if !ok || h.slot != s.index || h.seq != s.seq || h.typ != msgSlotStatus {
			continue
		}
		if h.cmd() == cmdStatusFailed && (h.error == errSlotBusy || h.error == errBusyAuto) {
			return fmt.Errorf("%w: after abort", ErrBusy)
		}
		return nil
	}
	return fmt.Errorf("%w: no end of stale answers", ErrProtocol)
}

// clearHalts resets both endpoints, the inbound one only when nobody reads it.
func (b *bulk) clearHalts(ctx context.Context) {
	if !b.shared || b.out.try() {
		_ = b.t.ClearHalt(ctx, b.epOut) // a failure shows in the transfer that follows
		if b.shared {
			b.out.leave()
		}
	}
	if !b.shared || b.in.try() {
		_ = b.t.ClearHalt(ctx, b.epIn)
		if b.shared {
			b.in.leave()
		}
	}
}
