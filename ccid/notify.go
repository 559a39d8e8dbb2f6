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

// Missed is for a host that keeps messages of the interrupt endpoint and had no room for all of
// them: any slot's card may have been changed. Deliver has got the last message before.
func (r *Reader) Missed() {
	for _, s := range r.slots {
		s.missed()
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

// Listened reports whether notifications are read all the time: by Options.Notifications, or Listen.
// WaitChange then returns as soon as a notification reports a change, and makes no traffic.
func (r *Reader) Listened() bool { return r.listeners.Load() > 0 }

// Bounds of the time from a change in a slot to the delivery of its notification (policy): what a
// reader and a host take beside the interval of the endpoint, and what no reader needs more than.
const (
	deliveryTime = 30 * time.Millisecond
	maxLatency   = 500 * time.Millisecond
)

// takePause is the pause between two looks for notifications that do not come by themselves
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

// Polled is for a host that reads the interrupt endpoint by itself and keeps what came: take passes
// that to Deliver, and does not wait. The host begins to read now, and delivers at most delay later
// than one that is read by Listen. Polled is called before the slots are in use.
func (r *Reader) Polled(take func(), delay time.Duration) {
	r.polled = take
	r.latency += delay
	r.expectReports()
}

// notifies reports whether notifications are read.
func (r *Reader) notifies() bool {
	return r.polled != nil || r.listeners.Load() > 0 ||
		r.o.CheckNotifications > 0 && r.iface.Interrupt.Address != 0
}

// expectReports: the endpoint is read from now on, and what it sends first may be the insertion of
// a card that was there before (CCID 1.1, 6.3.1).
func (r *Reader) expectReports() {
	for _, s := range r.slots {
		s.mu.Lock()
		s.expectReport()
		s.mu.Unlock()
	}
}

// awaitReport waits until no notification is expected of the card that is in the slot, if the
// reader powers cards by itself (state.go).
func (s *Slot) awaitReport(ctx context.Context) error {
	if !s.r.class.Features.Has(FeatureAutoActivation) {
		return nil
	}
	for {
		s.mu.Lock()
		left, reported := time.Until(s.reportsUntil), s.reported
		if s.state == Absent {
			left = 0
		}
		s.mu.Unlock()
		if left <= 0 {
			return nil
		}
		if s.r.listeners.Load() == 0 {
			left = min(left, takePause)
		}
		timer := time.NewTimer(left)
		select {
		case <-reported:
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

// settled reports whether a card that has just been powered is the one that was awaited: no answer
// and no notification has shown since that the slot was empty before. An error says that it is
// empty now.
func (s *Slot) settled(ctx context.Context) (bool, error) {
	// A notification may have come during IccPowerOn: the removal may be older, or newer.
	if s.LastState() == Absent {
		if err := s.getStatus(ctx); err != nil {
			return false, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.powered && s.state == Absent:
		return false, ErrNoCard
	case !s.r.class.Features.Has(FeatureAutoActivation):
		return true, nil
	}
	return !time.Now().Before(s.reportsUntil), nil
}

// takeNotifications delivers the notifications that wait in the host, or, when
// Options.CheckNotifications asks for it and nobody else reads them, in the reader.
func (r *Reader) takeNotifications(ctx context.Context) error {
	if !r.notifying.try() {
		return nil
	}
	defer r.notifying.leave()
	if r.polled != nil {
		r.polled()
		return r.lost()
	}
	wait := r.o.CheckNotifications
	if wait <= 0 || r.iface.Interrupt.Address == 0 || r.listeners.Load() > 0 {
		return nil
	}
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
