package ccid

import (
	"context"
	"errors"
	"time"

	"tamaccid/ccid/internal/pipe"
	"tamaccid/ccid/internal/wait"
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

// listenRetry is the pause after a failed interrupt transfer, and maxListenErrors how many in a row
// end Listen (policy).
const (
	listenRetry     = 100 * time.Millisecond
	maxListenErrors = 10
)

// Deliver takes one message of the interrupt endpoint that the host has read. Malformed messages
// are ignored.
func (r *Reader) Deliver(b []byte) {
	if len(b) < 2 {
		return
	}
	switch pipe.MessageType(b[0]) {
	case pipe.NotifySlotChange:
		for i, s := range r.slots {
			at := 1 + i/4
			if at >= len(b) {
				return
			}
			bits := b[at] >> (i % 4 * 2)
			s.update(func(c *cardState) {
				c.notified(bits&slotPresent != 0, bits&slotChanged != 0, r.activates())
			})
		}
	case pipe.HardwareError:
		if len(b) >= hardwareErrorSize && int(b[1]) < len(r.slots) {
			r.slots[b[1]].update((*cardState).failed)
		}
	}
}

// Missed is for a host that keeps messages of the interrupt endpoint and had no room for all of
// them: any slot's card may have been changed. The last message is delivered before.
func (r *Reader) Missed() {
	for _, s := range r.slots {
		s.update(func(c *cardState) { c.missed(r.activates()) })
	}
}

// Listen reads the interrupt endpoint until ctx ends or the reader has gone, and updates the slots'
// states. Options.Notifications runs it; it is not called twice at once. The error is that of ctx,
// ErrGone, ErrClosed, ErrTransport after 10 failures in a row, or ErrUnsupported for a reader
// without the endpoint.
func (r *Reader) Listen(ctx context.Context) error {
	if r.iface.Interrupt.Address == 0 {
		return ErrUnsupported
	}
	buf := r.notifyBuffer()
	if len(buf) == 0 {
		return ErrUnsupported
	}
	r.listeners.Add(1)
	defer r.unlistened()
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
			// a failure shows in the next transfer
			_ = r.t.ClearHalt(ctx, r.iface.Interrupt.Address)
		}
		if err := wait.Pause(ctx, listenRetry); err != nil {
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

// listenInBackground runs Listen until Close. The notifications count as read from now on.
func (r *Reader) listenInBackground() {
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	r.stopped = make(chan struct{})
	r.listeners.Add(1)
	go func() {
		defer close(r.stopped)
		defer r.unlistened()
		_ = r.Listen(ctx) // from its end on, State asks the reader again
	}()
}

// unlistened is the end of one reader of the interrupt endpoint. WaitChange asks the reader from
// then on.
func (r *Reader) unlistened() {
	r.listeners.Add(-1)
	for _, s := range r.slots {
		s.mu.Lock()
		s.wakeWaiters()
		s.mu.Unlock()
	}
}

// Listened reports whether notifications are read all the time: by Options.Notifications, or
// Listen. WaitChange then returns as soon as a notification reports a change, and makes no traffic.
func (r *Reader) Listened() bool { return r.listeners.Load() > 0 }

// Bounds of the time from a change in a slot to the delivery of its notification (policy): the time
// of reader and host beside the interval of the endpoint, and the longest that is waited for.
const (
	deliveryTime = 30 * time.Millisecond
	maxLatency   = 500 * time.Millisecond
)

// takePause is the pause between two reads of notifications that are not read all the time
// (policy).
const takePause = 10 * time.Millisecond

// notificationLatency is the time from a change to its notification on a host that reads the
// endpoint all the time (USB 2.0, table 9-13: bInterval in frames of 1 ms, or the exponent of a
// number of microframes of 125 us).
func notificationLatency(e usb.Endpoint, speed usb.Speed) time.Duration {
	b := max(int(e.Interval), 1)
	period := time.Duration(b) * time.Millisecond
	if speed >= usb.SpeedHigh {
		period = 125 * time.Microsecond << min(b-1, 15)
	}
	return min(period+deliveryTime, maxLatency)
}

// Polled is for a host that reads the interrupt endpoint by itself and keeps the messages: take
// passes them to Deliver, and does not wait. The host begins to read now, and has a message at most
// delay later than Listen. Polled is called before the slots are in use.
func (r *Reader) Polled(take func(), delay time.Duration) {
	r.polled = take
	r.latency += delay
	r.expectReports()
}

// notifies reports whether notifications are read.
func (r *Reader) notifies() bool {
	return r.polled != nil || r.Listened() ||
		r.o.CheckNotifications > 0 && r.iface.Interrupt.Address != 0
}

// activates reports whether the reader powers cards by itself.
func (r *Reader) activates() bool { return r.class.Features.Has(FeatureAutoActivation) }

// expectReports: the endpoint is read from now on, and what it sends first may be the insertion of
// a card that was there before (CCID 1.1, 6.3.1).
func (r *Reader) expectReports() {
	for _, s := range r.slots {
		s.update(func(c *cardState) { c.expect(r.latency) })
	}
}

// awaitReport waits until no notification is expected of the card that is in the slot, if the
// reader powers cards by itself (state.go).
func (s *Slot) awaitReport(ctx context.Context) error {
	if !s.r.activates() {
		return nil
	}
	for {
		c := s.known()
		left := time.Until(c.report.until)
		if left <= 0 || c.slot == Absent {
			return nil
		}
		if !s.r.Listened() {
			left = min(left, takePause)
		}
		timer := time.NewTimer(left)
		select {
		case <-c.report.done:
		case <-timer.C:
		case <-s.r.done:
		case <-ctx.Done():
		}
		timer.Stop()
		if err := s.r.lost(); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.r.takeNotifications(ctx); err != nil {
			return err
		}
	}
}

// usable reports whether a card that has just been powered can be used: no answer and no
// notification has shown since that the slot was empty before. ErrNoCard is the error if it is
// empty now.
func (s *Slot) usable(ctx context.Context) (bool, error) {
	// A notification may have come during IccPowerOn: the removal may be older, or newer.
	if s.LastState() == Absent {
		if err := s.getStatus(ctx); err != nil {
			return false, err
		}
	}
	c := s.known()
	switch {
	case !c.powered() && c.slot == Absent:
		return false, ErrNoCard
	case !s.r.activates():
		return true, nil
	}
	return !time.Now().Before(c.report.until), nil
}

// takeNotifications delivers the notifications that wait in the host, or, when
// Options.CheckNotifications asks for it and they are not read otherwise, in the reader.
func (r *Reader) takeNotifications(ctx context.Context) error {
	if !r.notifying.TryAcquire() {
		return nil
	}
	defer r.notifying.Release()
	if r.polled != nil {
		r.polled()
		return r.lost()
	}
	wait := r.o.CheckNotifications
	if wait <= 0 || r.iface.Interrupt.Address == 0 || r.Listened() {
		return nil
	}
	if r.notes == nil {
		r.notes = r.notifyBuffer()
	}
	if len(r.notes) == 0 {
		return nil
	}
	for range pipe.MaxStale {
		n, err := r.t.In(ctx, r.iface.Interrupt.Address, r.notes, wait)
		switch {
		case errors.Is(err, usb.ErrGone):
			return r.note(err)
		case ctx.Err() != nil:
			return ctx.Err()
		case broken(err):
			// a failure shows in the next transfer
			_ = r.t.ClearHalt(ctx, r.iface.Interrupt.Address)
			return nil
		case err != nil:
			return nil // there is none
		}
		r.Deliver(r.notes[:min(max(0, n), len(r.notes))])
	}
	return nil
}
