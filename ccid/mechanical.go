package ccid

import (
	"context"
	"fmt"
)

// Mechanism is something that a reader can do with the card itself. The values are those of bFunction (CCID 1.1, 6.1.12).
type Mechanism uint8

// The mechanisms.
const (
	MechanismAccept  Mechanism = 1
	MechanismEject   Mechanism = 2
	MechanismCapture Mechanism = 3
	MechanismLock    Mechanism = 4
	MechanismUnlock  Mechanism = 5
)

// bit is the mechanism's bit of dwMechanical, 0 for one that does not exist.
func (m Mechanism) bit() uint32 {
	switch m {
	case MechanismAccept:
		return mechanicalAccept
	case MechanismEject:
		return mechanicalEject
	case MechanismCapture:
		return mechanicalCapture
	case MechanismLock, MechanismUnlock:
		return mechanicalLock
	}
	return 0
}

// Move has the reader do something with the card (CCID 1.1, 6.1.12), where it declares that it can.
func (s *Slot) Move(ctx context.Context, m Mechanism) error {
	if s.r.class.Mechanical&m.bit() == 0 {
		return fmt.Errorf("%w: mechanism %d", ErrUnsupported, m)
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	return s.mechanical(ctx, m)
}

// mechanical sends the command.
func (s *Slot) mechanical(ctx context.Context, m Mechanism) error {
	_, err := s.exec(ctx, command{typ: msgMechanical, p: [3]byte{byte(m)}, wait: s.r.timing.Power})
	return err
}

// Values of bClockCommand (CCID 1.1, 6.1.9).
const (
	clockRestart = 0
	clockStop    = 1
)

// StopClock stops the clock of a card that allows it, to save power; the next command restarts it. Readers that cannot, and
// cards whose answer to reset does not allow it, fail with ErrUnsupported.
func (s *Slot) StopClock(ctx context.Context) error {
	if !s.r.class.Features.Has(FeatureClockStop) {
		return fmt.Errorf("%w: clock stop", ErrUnsupported)
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if _, err := s.session(ctx); err != nil {
		return err
	}
	if s.info.ClockStop == 0 {
		return fmt.Errorf("%w: clock stop, by the card", ErrUnsupported)
	}
	return s.iccClock(ctx, clockStop)
}

// RestartClock restarts the clock ahead of the next command.
func (s *Slot) RestartClock(ctx context.Context) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	return s.iccClock(ctx, clockRestart)
}

// iccClock sends IccClock (CCID 1.1, 6.1.9).
func (s *Slot) iccClock(ctx context.Context, what byte) error {
	_, err := s.exec(ctx, command{typ: msgIccClock, p: [3]byte{what}, wait: s.r.timing.Answer, repeat: true})
	return err
}
