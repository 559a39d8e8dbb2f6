package ccid

import (
	"context"
	"time"

	"tamaccid/ccid/internal/pipe"
)

// LastState is the state of the slot as it was shown last, by an answer or a notification. It makes
// no traffic.
func (s *Slot) LastState() State { return s.known().slot }

// Changes counts insertions, removals and replacements that were noticed. It starts at zero and
// wraps.
func (s *Slot) Changes() uint32 { return s.known().changes }

// ATR is a copy of the answer to reset of the card that is powered, nil when none is.
func (s *Slot) ATR() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.card.powered() {
		return nil
	}
	return append([]byte(nil), s.atr.Bytes()...)
}

// Protocol is the protocol that Connect agreed on with the card, Undefined when there is none.
func (s *Slot) Protocol() Protocol { return s.known().protocol }

// session returns the protocol that was agreed on with the card that is in the slot, or what is
// wrong. It makes traffic only where the state of the slot is doubtful, or to explain an error.
func (s *Slot) session(ctx context.Context) (Protocol, error) {
	s.mu.Lock()
	p, err := s.card.agreed()
	ask := s.card.trust == doubtful
	s.mu.Unlock()
	switch {
	case err != nil:
		return Undefined, s.missing(ctx, err)
	case !ask:
		return p, nil
	}
	if err := s.getStatus(ctx); err != nil {
		return Undefined, err
	}
	c := s.known()
	if p, err = c.agreed(); err != nil && c.slot == Absent {
		err = ErrNoCard
	}
	return p, err
}

// State is the state of the slot. While notifications are read it makes no traffic, unless one has
// left the state doubtful; otherwise it asks the reader.
func (s *Slot) State(ctx context.Context) (State, error) {
	if err := s.enter(ctx); err != nil {
		return Unknown, err
	}
	defer s.leave()
	return s.refresh(ctx)
}

// refresh is State for a caller that holds the slot.
func (s *Slot) refresh(ctx context.Context) (State, error) { return s.look(ctx, false) }

// look is refresh, but with ask the reader is asked whether an empty slot still is: notifications
// come late.
func (s *Slot) look(ctx context.Context, ask bool) (State, error) {
	if s.r.Listened() {
		c := s.known()
		if c.trust == sure && c.slot != Unknown && !(ask && c.slot == Absent) {
			return c.slot, s.r.lost()
		}
	} else if err := s.r.takeNotifications(ctx); err != nil {
		return Unknown, err
	}
	if err := s.getStatus(ctx); err != nil {
		return Unknown, err
	}
	return s.LastState(), nil
}

// getStatus sends GetSlotStatus (CCID 1.1, 6.1.3). An answer that reports a failure has the state
// too.
func (s *Slot) getStatus(ctx context.Context) error {
	_, err := s.command(ctx, pipe.Command{Type: pipe.GetSlotStatus, Wait: s.r.statusWait(),
		Repeat: true})
	if refusal(err) != nil {
		return nil
	}
	return err
}

// missing returns the error of a call on a slot without a session: ErrNoCard where the slot is
// empty, or err.
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

// WaitChange waits until Changes differs from last, and returns it. Where notifications are not
// read it asks the reader every Timing.Poll; a change between two looks is noticed when the state
// of a card that was powered shows it. The error is ErrGone, ErrClosed, that of State, or the
// context's.
func (s *Slot) WaitChange(ctx context.Context, last uint32) (uint32, error) {
	return s.waitChange(ctx, last, true)
}

// WaitNotified is WaitChange without traffic: the error is ErrUnsupported as soon as notifications
// are not read.
func (s *Slot) WaitNotified(ctx context.Context, last uint32) (uint32, error) {
	return s.waitChange(ctx, last, false)
}

func (s *Slot) waitChange(ctx context.Context, last uint32, poll bool) (uint32, error) {
	for {
		s.mu.Lock()
		now, changed := s.card.changes, s.changed
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
		if !poll {
			return now, ErrUnsupported
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
