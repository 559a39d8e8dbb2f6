package ccid

import (
	"context"
	"errors"
	"fmt"

	"tamaccid/ccid/internal/pipe"
)

// Connect makes the card ready for Transmit: powered, and with one of the protocols in accept
// agreed on, which it returns. The action is Leave, ColdReset or WarmReset. Leave resets a card
// only if it is not powered, and sends nothing to one with a protocol; it fails with ErrNoProtocol
// if that protocol is not in accept. Other errors: ErrNoCard, ErrMute, ErrBadATR, ErrNoProtocol,
// ErrInvalid for the arguments.
func (s *Slot) Connect(ctx context.Context, accept Protocol, a Action) (Protocol, error) {
	if a > WarmReset || accept&(T0|T1) == 0 {
		return Undefined, fmt.Errorf("%w: action %d, %v", ErrInvalid, a, accept)
	}
	if err := s.enter(ctx); err != nil {
		return Undefined, err
	}
	defer s.leave()
	if a == Leave {
		if state, err := s.look(ctx, true); err != nil || state == Absent {
			if err == nil {
				err = ErrNoCard
			}
			return Undefined, err
		}
		switch c := s.known(); {
		case c.session == sessionReady && c.protocol&accept != 0:
			return c.protocol, nil
		case c.session == sessionReady:
			return Undefined, fmt.Errorf("%w: the card uses %v", ErrNoProtocol, c.protocol)
		case c.session == sessionPowered:
			return s.negotiate(ctx, accept)
		}
		a = ColdReset
	}
	if err := s.activate(ctx, a == ColdReset); err != nil {
		return Undefined, s.noCard(err)
	}
	return s.negotiate(ctx, accept)
}

// noCard makes err ErrNoCard too if it is a failure of the reader that shows an empty slot.
func (s *Slot) noCard(err error) error {
	if e := slotError(err); e != nil && e.Status&pipe.ICCMask == pipe.ICCAbsent &&
		!errors.Is(err, ErrNoCard) {
		return fmt.Errorf("%w: %w", ErrNoCard, err)
	}
	return err
}

// Disconnect ends the use of a card: Leave does nothing, the resets leave it powered and without a
// protocol, Unpower switches it off, Eject ejects it, or fails with ErrUnsupported where the reader
// has no mechanism. A card that has gone is no error.
func (s *Slot) Disconnect(ctx context.Context, a Action) error {
	if a > Eject {
		return fmt.Errorf("%w: action %d", ErrInvalid, a)
	}
	if a == Eject && s.r.class.Mechanical&mechanicalEject == 0 {
		return fmt.Errorf("%w: eject", ErrUnsupported)
	}
	if a == Leave {
		return s.r.lost()
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	var err error
	switch a {
	case ColdReset, WarmReset:
		err = s.activate(ctx, a == ColdReset)
	case Unpower:
		err = s.deactivate(ctx)
	case Eject:
		if err = s.deactivate(ctx); err == nil {
			err = s.eject(ctx)
		}
	}
	if errors.Is(s.noCard(err), ErrNoCard) {
		return nil
	}
	return err
}
