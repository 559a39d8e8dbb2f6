package ccid

import (
	"context"

	"tamaccid/ccid/internal/pipe"
)

// mechanismEject is bFunction of Mechanical that ejects the card (CCID 1.1, 6.1.12).
const mechanismEject = 2

// eject ejects the card. The reader has a mechanism for it.
func (s *Slot) eject(ctx context.Context) error {
	_, err := s.command(ctx, pipe.Command{
		Type: pipe.Mechanical, P: [3]byte{mechanismEject}, Wait: s.r.timing.Power,
	})
	return err
}
