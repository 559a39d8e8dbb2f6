package pipe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tamaccid/ccid/internal/wait"
	"tamaccid/ccid/usb"
)

// Class requests (CCID 1.1, 5.3).
const (
	RequestAbort               = 0x01
	RequestGetClockFrequencies = 0x02
	RequestGetDataRates        = 0x03
)

// resyncTries bounds how often the barrier is sent: once with the abort, once after the halts were
// cleared, and once more for a reader that was busy (policy).
const resyncTries = 3

// lost brings a slot whose command got no proper answer back in step at once, and returns the error
// for the caller. When ctx has ended, that takes Waits.Cancel at most, and what is left is done
// before the next command. The error wraps ErrLost only when the slot is in step again.
func (b *bulk) lost(ctx context.Context, s *Slot, err error) error {
	if errors.Is(err, usb.ErrGone) {
		return err
	}
	s.stale = true
	if b.p.abandoned.Load() {
		return err
	}
	if wait.Over(ctx, err) {
		brief, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.p.Waits.Cancel)
		defer cancel()
		ctx = brief
	}
	switch failed := b.resync(ctx, s, Abort); {
	case errors.Is(failed, usb.ErrGone):
		return failed
	case failed != nil:
		return err
	}
	return fmt.Errorf("%w (%w)", err, ErrLost)
}

// resync brings the slot back in step by the abort sequence (CCID 1.1, 5.3.1): the control request
// and the bulk command with the same sequence number, then everything that comes before the answer
// to it is dropped. Readers that stall the control request get GetSlotStatus instead: messages
// arrive in order, so its answer is the last of the old ones.
//
// Each step has Waits.Abort, and all of it ends with ctx. After an error the slot is still stale.
func (b *bulk) resync(ctx context.Context, s *Slot, _ MessageType) error {
	s.seq++
	s.expect()
	defer s.expectNothing()
	err := b.abortRequest(ctx, s)
	if err != nil && !errors.Is(err, usb.ErrStall) {
		return err
	}
	barrier := Abort
	if err != nil {
		barrier = GetSlotStatus
	}
	for attempt := range resyncTries {
		if attempt > 0 {
			barrier = GetSlotStatus
			if errors.Is(err, ErrBusy) { // answered, but the reader is still at work
				if err := wait.Pause(ctx, b.p.Waits.Abort/2); err != nil {
					return err
				}
			} else { // not answered: a pipe that is halted on one side only transfers nothing
				b.clearHalts(ctx)
			}
			s.seq++
			s.expect()
		}
		if err = b.barrier(ctx, s, barrier); err == nil {
			s.stale = false
			return nil
		}
		if errors.Is(err, usb.ErrGone) || wait.Over(ctx, err) {
			return err
		}
	}
	return fmt.Errorf("%w: reader does not come back in step: %w", ErrTimeout, err)
}

// abortRequest is the control half of the abort sequence (CCID 1.1, 5.3.1).
func (b *bulk) abortRequest(ctx context.Context, s *Slot) error {
	value := uint16(s.seq)<<8 | uint16(s.index)
	_, err := b.p.ClassRequest(ctx, usb.DirOut, RequestAbort, value, nil, b.p.Waits.Abort)
	if err != nil && !errors.Is(err, usb.ErrGone) && !wait.Over(ctx, err) {
		// whatever the reason: without the control half the bulk half means nothing
		return usb.ErrStall
	}
	return err
}

// barrier sends a command without payload and reads until its answer.
func (b *bulk) barrier(ctx context.Context, s *Slot, t MessageType) error {
	message := s.scratch[:]
	PutHeader(message, t, 0, s.index, s.seq, [3]byte{})
	if err := b.send(ctx, message, b.p.Waits.Abort); err != nil {
		return err
	}
	deadline := time.Now().Add(b.p.Waits.Abort)
	for range MaxStale {
		frame, err := b.receive(ctx, s, 0, deadline)
		if errors.Is(err, ErrProtocol) || broken(err) {
			continue // the damaged rest of what is being dropped
		}
		if err != nil {
			return err
		}
		h, ok := parseHeader(frame)
		if !ok || h.Slot != s.index || h.Seq != s.seq || h.Type != SlotStatus {
			continue
		}
		busy := h.Error == CodeSlotBusy || h.Error == CodeBusyAuto
		if h.CommandStatus() == StatusFailed && busy {
			return fmt.Errorf("%w: after abort", ErrBusy)
		}
		return nil
	}
	return fmt.Errorf("%w: no end of stale answers", ErrProtocol)
}

// clearHalts resets both endpoints, each only when no other slot uses it.
func (b *bulk) clearHalts(ctx context.Context) {
	if !b.p.Shared || b.out.TryAcquire() {
		_ = b.p.Transport.ClearHalt(ctx, b.epOut) // a failure shows in the transfer that follows
		if b.p.Shared {
			b.out.Release()
		}
	}
	if !b.p.Shared || b.in.TryAcquire() {
		_ = b.p.Transport.ClearHalt(ctx, b.epIn)
		if b.p.Shared {
			b.in.Release()
		}
	}
}
