package ccid

import "context"

// mechanismEject is bFunction of Mechanical that ejects the card (CCID 1.1, 6.1.12).
const mechanismEject = 2

// eject throws the card out of a slot whose reader can do so.
func (s *Slot) eject(ctx context.Context) error {
	_, err := s.exec(ctx, command{
		typ: msgMechanical, p: [3]byte{mechanismEject}, wait: s.r.timing.Power,
	})
	return err
}
