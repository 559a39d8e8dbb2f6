package ccid

import (
	"bytes"
	"context"
	"fmt"

	"tamaccid/ccid/internal/pipe"
)

// errWrongMode is bError of IccPowerOn from Gemalto GemPC433 and Cherry XX33 in another mode than
// ISO 7816's (quirk.Needs.ISOMode).
const errWrongMode = 0xBB

// isoMode switches such a reader to ISO mode.
func (s *Slot) isoMode(ctx context.Context) error {
	_, err := s.escape(ctx, []byte{0x1F, 0x01})
	return err
}

// escape sends a vendor command to the reader (CCID 1.1, 6.1.8). The answer is a view of the slot's
// buffer.
func (s *Slot) escape(ctx context.Context, in []byte) ([]byte, error) {
	if len(in) > s.r.maxPayload {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLong, len(in))
	}
	n := s.pipe.Load(in)
	a, err := s.command(ctx, pipe.Command{Type: pipe.Escape, N: n, Want: s.r.maxPayload,
		Wait: s.r.timing.Escape})
	if err != nil {
		return nil, err
	}
	return a.Data, nil
}

// mayEscape applies the escape policy.
func (s *Slot) mayEscape(in []byte) error {
	switch s.r.o.Escape {
	case EscapeAlways:
		return nil
	case EscapeListed:
		for _, prefix := range s.r.quirk.Escapes {
			if bytes.HasPrefix(in, prefix) {
				return nil
			}
		}
	}
	return fmt.Errorf("%w: %s", ErrDenied, s.name)
}

// tokenReply answers the pseudo APDUs with which programs read the identity of a Kobil IDToken: the
// device itself does not implement them.
func (s *Slot) tokenReply(capdu, rapdu []byte) (n int, ours bool, err error) {
	if !s.r.quirk.IDToken || len(capdu) != 5 || !bytes.Equal(capdu[:3], []byte{0xFF, 0x9A, 0x01}) {
		return 0, false, nil
	}
	_, _, version := s.r.dev.ID()
	var text string
	switch capdu[3] {
	case 1:
		text = clean(s.r.dev.Manufacturer)
	case 3:
		text = clean(s.r.dev.Product)
	case 6:
		text = fmt.Sprintf("%X.%02X", version>>8, version&0xFF)
	case 7:
		text = "tamaccid"
	default:
		return 0, false, nil
	}
	answer := append([]byte(text), 0x90, 0x00)
	if len(answer) > len(rapdu) {
		return 0, true, &ShortBufferError{Need: len(answer)}
	}
	return copy(rapdu, answer), true, nil
}
