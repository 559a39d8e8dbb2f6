package ccid

import (
	"context"
	"errors"
	"fmt"

	"tamaccid/ccid/internal/pipe"
	"tamaccid/ccid/t0"
	"tamaccid/ccid/t1"
)

// link gives the protocol machines the card, through a slot whose reader works at TPDU or character level.
type (
	linkT0 struct{ s *Slot }
	linkT1 struct{ s *Slot }
)

// Exchange sends a T=0 TPDU.
func (l linkT0) Exchange(ctx context.Context, tpdu, buf []byte) (int, error) {
	s := l.s
	phases := s.r.level == LevelCharacter && s.r.iface.Kind == KindICCDA
	switch {
	case s.r.level == LevelCharacter && !phases:
		return s.characterT0(ctx, tpdu, buf)
	case len(tpdu) > s.r.maxPayload && !phases:
		return 0, fmt.Errorf("%w: %d bytes, %d at most", ErrTooLong, len(tpdu), s.r.maxPayload)
	}
	n := s.pipe.Load(tpdu)
	a, err := s.xfrBlock(ctx, pipe.Command{
		N: n, Want: t0.MaxResponse, Wait: s.tpduWait(n + t0.MaxResponse), Phases: phases,
	})
	if err != nil {
		return 0, err
	}
	if len(a.Data) > len(buf) {
		return 0, fmt.Errorf("%w: response of %d bytes", ErrProtocol, len(a.Data))
	}
	return copy(buf, a.Data), nil
}

// Exchange sends a T=1 block.
func (l linkT1) Exchange(ctx context.Context, block, buf []byte, extension uint8) (int, error) {
	s := l.s
	n := s.pipe.Load(block)
	if s.r.level == LevelCharacter {
		return s.characterT1(ctx, n, buf, extension)
	}
	a, err := s.xfr(ctx, n, extension, 0, t1.MaxBlock, s.blockWait(extension))
	if err != nil {
		return 0, unreadable(err)
	}
	if len(a.Data) > len(buf) {
		return 0, fmt.Errorf("%w: %d bytes", t1.ErrNoBlock, len(a.Data))
	}
	return copy(buf, a.Data), nil
}

// unreadable tells failures of one block, which the protocol recovers from, from all others: the reader met silence, bad parity
// or too many characters on the line, or USB lost the answer.
func unreadable(err error) error {
	e := slotError(err)
	switch {
	case errors.Is(err, ErrNoCard), errors.Is(err, ErrGone), errors.Is(err, ErrNotPowered):
		return err
	case e != nil && (e.Code == pipe.CodeMute || e.Code == pipe.CodeParity || e.Code == pipe.CodeOverrun),
		errors.Is(err, ErrTransport):
		return fmt.Errorf("%w: %w", t1.ErrNoBlock, err)
	}
	return err
}
