package ccid

import (
	"context"
	"errors"
	"time"

	"tamaccid/ccid/usb"
)

// notifySize holds the longest notification: two bits for each of 256 slots (CCID 1.1, 6.3.1).
const notifySize = 1 + 256/4

// Bits of each slot in a slot change notification (CCID 1.1, 6.3.1).
const (
	slotPresent = 1
	slotChanged = 2
)

// hardwareErrorSize is the length of a hardware error notification (CCID 1.1, 6.3.2).
const hardwareErrorSize = 4

// listenRetry is the pause after a failed interrupt transfer, and maxListenErrors how many in a row end the listening (policy).
const (
	listenRetry     = 100 * time.Millisecond
	maxListenErrors = 10
)

// Deliver takes one message of the interrupt endpoint that the backend has read by its own means. Messages that make no sense
// are ignored.
func (r *Reader) Deliver(b []byte) {
	if len(b) < 2 {
		return
	}
	switch messageType(b[0]) {
	case msgNotifySlotChange:
		for i, s := range r.slots {
			at := 1 + i/4
			if at >= len(b) {
				return
			}
			bits := b[at] >> (i % 4 * 2)
			s.notified(bits&slotPresent != 0, bits&slotChanged != 0)
		}
	case msgHardwareError:
		if len(b) >= hardwareErrorSize && int(b[1]) < len(r.slots) {
			r.slots[b[1]].failed()
		}
	}
}

// Listen reads the interrupt endpoint until ctx ends or the reader has gone, and keeps the slots' states from it. It is what
// Options.Notifications runs; only one call at a time makes sense.
func (r *Reader) Listen(ctx context.Context) error {
	if r.iface.Interrupt.Address == 0 {
		return ErrUnsupported
	}
	buf := r.notifyBuffer()
	if len(buf) == 0 {
		return ErrUnsupported
	}
	r.listeners.Add(1)
	defer r.listeners.Add(-1)
	for failures := 0; ; {
		n, err := r.t.In(ctx, r.iface.Interrupt.Address, buf, 0)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			failures = 0
			r.Deliver(buf[:min(max(0, n), len(buf))])
			continue
		case errors.Is(err, usb.ErrGone):
			return r.note(err)
		case errors.Is(err, usb.ErrTimeout):
			continue
		}
		if failures++; failures > maxListenErrors {
			return r.note(err)
		}
		if broken(err) {
			_ = r.t.ClearHalt(ctx, r.iface.Interrupt.Address) // a failure shows in the next transfer
		}
		if err := pause(ctx, listenRetry); err != nil {
			return err
		}
	}
}

// notifyBuffer has room for a notification, in whole packets.
func (r *Reader) notifyBuffer() []byte {
	packet := int(r.iface.Interrupt.MaxPacketSize)
	if packet == 0 {
		return nil
	}
	size := (notifySize + packet - 1) / packet * packet
	if most := r.t.MaxIn() / packet * packet; size > most {
		size = most
	}
	return make([]byte, size)
}

// listenInBackground runs Listen until Close.
func (r *Reader) listenInBackground() {
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	r.stopped = make(chan struct{})
	go func() {
		defer close(r.stopped)
		_ = r.Listen(ctx) // its end means that State asks the reader again
	}()
}

// What a reader has to tell of the time before Open is the card that is in it when the bus is powered. It comes when the endpoint
// is polled the first time: within bInterval, and what the host takes to notice. No reader needs more than the bound (policy).
const (
	noticed       = 30 * time.Millisecond
	maxFirstNotes = 500 * time.Millisecond
)

// firstNotification is how long that takes (USB 2.0, table 9-13: bInterval in frames of 1 ms, or the exponent of a number of
// microframes of 125 us).
func firstNotification(e usb.Endpoint, speed usb.Speed) time.Duration {
	b := max(int(e.Interval), 1)
	period := time.Duration(b) * time.Millisecond
	if speed >= usb.SpeedHigh {
		period = 125 * time.Microsecond << min(b-1, 15)
	}
	return min(period+noticed, maxFirstNotes)
}

// awaitAnnouncement waits until the reader has told of the card that was in it before Open, or has none to tell of. Where the
// reader powers cards by itself, this could not be told from news of another card once the card is in use; where it does not,
// the slot's answers tell (notified), and nobody waits.
func (s *Slot) awaitAnnouncement(ctx context.Context) error {
	left := time.Until(s.r.announcing)
	if left <= 0 || !s.r.class.Features.Has(FeatureAutoActivation) {
		return nil
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-s.announced:
	case <-timer.C:
	case <-s.r.done:
		return s.r.lost()
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// checkNotifications reads what notifications wait in the reader, when Options.CheckNotifications asks for it and nobody else
// listens.
func (r *Reader) checkNotifications(ctx context.Context) error {
	wait := r.o.CheckNotifications
	if wait <= 0 || r.iface.Interrupt.Address == 0 || r.listeners.Load() > 0 || !r.notifying.try() {
		return nil
	}
	defer r.notifying.leave()
	if r.notes == nil {
		r.notes = r.notifyBuffer()
	}
	if len(r.notes) == 0 {
		return nil
	}
	for range maxStale {
		n, err := r.t.In(ctx, r.iface.Interrupt.Address, r.notes, wait)
		switch {
		case errors.Is(err, usb.ErrGone):
			return r.note(err)
		case ctx.Err() != nil:
			return ctx.Err()
		case broken(err):
			_ = r.t.ClearHalt(ctx, r.iface.Interrupt.Address) // a failure shows in the next transfer
			return nil
		case err != nil:
			return nil // nothing waits
		}
		r.Deliver(r.notes[:min(max(0, n), len(r.notes))])
	}
	return nil
}
