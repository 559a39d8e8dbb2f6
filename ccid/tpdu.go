package ccid

import (
	"context"
	"errors"
	"fmt"

	"tamaccid/ccid/internal/pipe"
	"tamaccid/ccid/t0"
	"tamaccid/ccid/t1"
)

// The links of the protocol machines to the card, through a slot whose reader works at TPDU or
// character level. Answers are views of the slot's buffer, or of Slot.assembled at character level.
type (
	linkT0 struct{ s *Slot }
	linkT1 struct{ s *Slot }
)

// Exchange sends a T=0 TPDU.
func (l linkT0) Exchange(ctx context.Context, tpdu []byte) ([]byte, error) {
	s := l.s
	phases := s.r.level == LevelCharacter && s.r.iface.Kind == KindICCDA
	if s.r.level == LevelCharacter && !phases {
		return s.characterT0(ctx, tpdu)
	}
	n := s.pipe.Load(tpdu)
	a, err := s.xfr(ctx, pipe.Command{
		N: n, Want: t0.MaxResponse, Wait: s.tpduWait(n + t0.MaxResponse), Phases: phases,
	})
	return a.Data, err
}

// Exchange sends a T=1 block.
func (l linkT1) Exchange(ctx context.Context, block []byte, extension uint8) ([]byte, error) {
	s := l.s
	n := s.pipe.Load(block)
	if s.r.level == LevelCharacter {
		return s.characterT1(ctx, n, extension)
	}
	a, err := s.xfr(ctx, pipe.Command{
		P: xfrParameters(extension, 0), N: n, Want: t1.MaxBlock, Wait: s.blockWait(extension),
	})
	if err != nil {
		return nil, unreadable(err)
	}
	if len(a.Data) > t1.MaxBlock {
		return nil, fmt.Errorf("%w: %d bytes", t1.ErrNoBlock, len(a.Data))
	}
	return a.Data, nil
}

// unreadable marks failures of one block, from which the protocol recovers, as t1.ErrNoBlock: the
// reader received nothing, bad parity or too many characters from the card, or USB lost the answer.
func unreadable(err error) error {
	e := slotError(err)
	switch {
	case errors.Is(err, ErrNoCard), errors.Is(err, ErrGone), errors.Is(err, ErrNotPowered):
		return err
	case e != nil && (e.Code == pipe.CodeMute || e.Code == pipe.CodeParity ||
		e.Code == pipe.CodeOverrun),
		errors.Is(err, ErrTransport):
		return fmt.Errorf("%w: %w", t1.ErrNoBlock, err)
	}
	return err
}
