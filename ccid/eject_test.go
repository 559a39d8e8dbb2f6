package ccid

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"tamaccid/ccid/internal/pipe"
)

func TestEject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			name       string
			mechanical uint32
			sent       []string
			err        error
		}{
			{"reader with a mechanism", mechanicalEject,
				[]string{"IccPowerOff", "Mechanical 020000"}, nil},
			{"reader that only captures", mechanicalCapture, nil, ErrUnsupported},
		} {
			class := class(FeatureShortAPDU | FeatureAutoParameters)
			class.Mechanical = c.mechanical
			healthy := ordinary(atrT0, nil)
			f := newFake(class, func(f *fake, m []byte) [][]byte {
				if pipe.MessageType(m[0]) == pipe.Mechanical {
					return [][]byte{respond(m, pipe.SlotStatus, pipe.ICCActive, 0, 0)}
				}
				return healthy(f, m)
			})
			s := connected(t, f, Options{})
			from := len(f.sent)
			if err := s.Disconnect(context.Background(), Eject); !errors.Is(err, c.err) ||
				c.err == nil && err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			expectSent(t, f, from, c.sent...)
		}
	})
}
