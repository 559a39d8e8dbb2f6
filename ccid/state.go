package ccid

import (
	"context"
	"time"
)

// What is known of the card in a slot. The clean-up column says what is forgotten.
//
// Answers show the state at once, notifications arrive later: by the interval of the interrupt
// endpoint, and by the time that the host takes to deliver them. A notification is expected where
// it may report an insertion that an answer has shown already: from the moment at which an answer
// shows a card in a slot that was empty until a notification reports a card there, and after Open,
// for the card that was in the slot before, until latency has passed.
//
//	event                                  state      clean-up                              counts as change
//	answer or status: absent               Absent     answer to reset, protocol, T=1        if it was not absent
//	answer or status: inactive, powered    Inactive   answer to reset, protocol, T=1        yes: it was swapped or reset
//	answer or status: inactive, not p.     Inactive   -                                     if it was absent
//	answer or status: active               Active     -                                     if it was absent
//	  either of them, was absent           as above   -; a notification is expected         yes
//	notification: absent                   Absent     answer to reset, protocol, T=1        if it was not absent
//	  the same while powered, where only   Absent     nothing yet: the slot is asked        if it was not absent
//	  the host powers cards, or while a
//	  notification is expected
//	notification: present, changed         Inactive   answer to reset, protocol, T=1        yes
//	  the same while powered, where only   -          nothing yet: the slot is asked        unless it was expected
//	  the host powers cards
//	  the same, expected                   -          -                                     if it was absent
//	notifications may have been lost       as present, changed: while powered
//	notification: present, not changed     -          -                                     if it was absent
//	notification: hardware error           -          answer to reset, protocol, T=1        yes
//	IccPowerOn succeeds                    Active     the card before                       no
//	IccPowerOff                            Inactive   answer to reset, protocol, T=1        no
//	reader gone                            Unknown    answer to reset, protocol, T=1        yes
//
// A call that finds its card forgotten fails with ErrCardChanged, or with ErrNoCard where the slot
// is empty.
//
// Where the reader powers cards by itself, another card is active like the one before, and nothing
// but a notification shows the difference. Therefore a card is powered only when no notification is
// expected any more (power.go): each one that reports a change later reports another card. One of a
// change within latency before IccPowerOn, removal and insertion, of which no answer showed
// anything, cannot be told from that, and costs the session as well.

// observe takes the state of the card from an answer to a command of type t.
func (s *Slot) observe(h header, t messageType) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doubtful = false
	if t == msgGetSlotStatus && s.r.quirk.StatusLies {
		if s.state == Unknown {
			s.become(Inactive, false)
		}
		return
	}
	icc := h.icc()
	if t == msgXfrBlock && h.cmd() == cmdStatusOK && h.length > 0 {
		icc = iccActive // a card that answers is there, whatever else the reader says
	}
	switch icc {
	case iccAbsent:
		s.become(Absent, s.state != Absent && s.state != Unknown)
		s.forget()
	case iccInactive:
		s.present()
		own := t == msgIccPowerOff || t == msgIccPowerOn
		s.become(Inactive, s.state == Absent || s.powered && !own)
		if s.powered {
			s.forget()
			s.swapped = !own
		}
	case iccActive:
		s.present()
		s.become(Active, s.state == Absent)
	}
}

// present: an answer shows a card. A notification will report its insertion if the slot was empty
// (CCID 1.1, 6.3.1). The caller holds mu.
func (s *Slot) present() {
	if s.state == Absent && s.r.notifies() {
		s.mustReport = true
		s.expectReport()
	}
}

// expectReport begins the time in which a notification may report a card that is there already. The
// caller holds mu.
func (s *Slot) expectReport() {
	s.reportsUntil = time.Now().Add(s.r.latency)
	select {
	case <-s.reported:
		s.reported = make(chan struct{})
	default:
	}
}

// expecting reports whether a notification may report an insertion that is known. The caller holds
// mu.
func (s *Slot) expecting() bool { return s.mustReport || time.Now().Before(s.reportsUntil) }

// become changes the state and wakes those who wait for a change. The caller holds mu.
func (s *Slot) become(state State, change bool) {
	s.state = state
	if change {
		s.changes++
		s.wakeWaiters()
	}
}

// wakeWaiters makes WaitChange look again. The caller holds mu.
func (s *Slot) wakeWaiters() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// forget drops all that belonged to the card. The caller holds mu.
func (s *Slot) forget() {
	if s.powered {
		s.swapped = true
	}
	s.powered = false
	s.protocol = Undefined
}

// notified takes one slot's bits of a slot change notification (CCID 1.1, 6.3.1).
func (s *Slot) notified(present, changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hardware = false
	expected, auto := s.expecting(), s.r.class.Features.Has(FeatureAutoActivation)
	if present {
		s.mustReport, s.reportsUntil = false, time.Time{}
		select {
		case <-s.reported:
		default:
			close(s.reported)
		}
	}
	switch {
	case !present:
		was := s.state
		if s.powered && (!auto || expected) {
			s.doubtful = true // the card may have been there again when it was powered
		} else {
			s.forget()
		}
		s.become(Absent, was != Absent && (was != Unknown || changed))
	case changed && s.powered && !auto:
		s.doubtful = true // another card would not be powered
		s.become(s.state, !expected)
	case changed && !expected:
		s.forget()
		s.become(Inactive, true)
	case s.state == Absent || s.state == Unknown:
		s.become(Inactive, s.state == Absent)
	}
}

// missed handles the loss of notifications: the card may have been changed.
func (s *Slot) missed() {
	s.mu.Lock()
	s.mustReport, s.reportsUntil = false, time.Time{}
	powered := s.powered
	s.mu.Unlock()
	if powered {
		s.notified(true, true)
	}
}

// failed takes a hardware error notification (CCID 1.1, 6.3.2).
func (s *Slot) failed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hardware = true
	s.forget()
	s.become(s.state, true)
}

// readerGone tells everybody who waits that the reader has gone.
func (s *Slot) readerGone() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget()
	s.become(Unknown, true)
}

// LastState is the state as it was last heard of, without asking.
func (s *Slot) LastState() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Changes counts insertions, removals and swaps that were noticed. It starts at zero and wraps.
func (s *Slot) Changes() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changes
}

// ATR is a copy of the answer to reset of the card that is powered, nil when none is.
func (s *Slot) ATR() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.powered {
		return nil
	}
	return append([]byte(nil), s.atr.Bytes()...)
}

// Protocol is the protocol that Connect agreed on with the card, Undefined when there is none.
func (s *Slot) Protocol() Protocol {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.protocol
}

// session returns the protocol that was agreed on with the card that is in the slot, or what is
// wrong.
func (s *Slot) session(ctx context.Context) (Protocol, error) {
	s.mu.Lock()
	doubtful := s.doubtful
	s.mu.Unlock()
	p, err := s.current()
	switch {
	case err != nil:
		return Undefined, s.missing(ctx, err)
	case !doubtful:
		return p, nil
	}
	if err := s.getStatus(ctx); err != nil {
		return Undefined, err
	}
	if p, err = s.current(); err != nil && s.LastState() == Absent {
		err = ErrNoCard
	}
	return p, err
}

// current returns the negotiated protocol, or what is wrong. It makes no traffic.
func (s *Slot) current() (Protocol, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.powered && s.protocol != Undefined:
		return s.protocol, nil
	case s.hardware:
		return Undefined, ErrHardware
	case s.swapped:
		return Undefined, ErrCardChanged
	}
	return Undefined, ErrNotPowered
}

// State asks for the state of the slot. While notifications are listened to it answers from what they said.
func (s *Slot) State(ctx context.Context) (State, error) {
	if err := s.enter(ctx); err != nil {
		return Unknown, err
	}
	defer s.leave()
	return s.refresh(ctx)
}

// refresh is State for a caller that holds the slot.
func (s *Slot) refresh(ctx context.Context) (State, error) { return s.look(ctx, false) }

// look is refresh, but that a slot is empty is asked of the reader itself if sure: notifications come late.
func (s *Slot) look(ctx context.Context, sure bool) (State, error) {
	if s.r.listeners.Load() > 0 {
		s.mu.Lock()
		state, known := s.state, s.state != Unknown && !s.doubtful
		s.mu.Unlock()
		if known && !(sure && state == Absent) {
			return state, s.r.lost()
		}
	} else if err := s.r.takeNotifications(ctx); err != nil {
		return Unknown, err
	}
	if err := s.getStatus(ctx); err != nil {
		return Unknown, err
	}
	return s.LastState(), nil
}

// getStatus sends GetSlotStatus (CCID 1.1, 6.1.3). A reader that reports a failure has still told the state.
func (s *Slot) getStatus(ctx context.Context) error {
	_, err := s.exec(ctx, command{typ: msgGetSlotStatus, wait: s.r.statusWait(), repeat: true})
	if _, ok := err.(*SlotError); ok {
		return nil
	}
	return err
}

// missing explains a call on a slot without a connected card: after a look at the slot, ErrNoCard or the error given.
func (s *Slot) missing(ctx context.Context, err error) error {
	state, statusErr := s.refresh(ctx)
	switch {
	case statusErr != nil:
		return statusErr
	case state == Absent:
		return ErrNoCard
	}
	return err
}

// WaitChange waits until Changes differs from last, and returns it. Where notifications are not read
// (Reader.Listened) it asks the reader every Timing.Poll; a change between two looks is noticed when
// the state of a card that was powered shows it. The error is ErrGone, ErrClosed, that of State, or
// the context's.
func (s *Slot) WaitChange(ctx context.Context, last uint32) (uint32, error) {
	for {
		s.mu.Lock()
		now, changed := s.changes, s.changed
		s.mu.Unlock()
		if err := s.r.lost(); err != nil {
			return now, err
		}
		if now != last {
			return now, nil
		}
		if s.r.Listened() {
			select {
			case <-changed:
			case <-ctx.Done():
				return now, ctx.Err()
			}
			continue
		}
		timer := time.NewTimer(s.r.timing.Poll)
		select {
		case <-changed:
		case <-timer.C:
			if _, err := s.State(ctx); err != nil {
				timer.Stop()
				return now, err
			}
		case <-ctx.Done():
			timer.Stop()
			return now, ctx.Err()
		}
		timer.Stop()
	}
}
