package ccid

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestMechanisms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := class(FeatureShortAPDU | FeatureAutoParameters)
		c.Mechanical = mechanicalEject | mechanicalLock
		healthy := ordinary(atrT0, nil)
		f := newFake(c, func(f *fake, m []byte) [][]byte {
			if messageType(m[0]) == msgMechanical {
				return [][]byte{respond(m, msgSlotStatus, iccActive, 0, 0)}
			}
			return healthy(f, m)
		})
		s := connected(t, f, Options{})
		ctx := context.Background()
		from := len(f.sent)
		for _, m := range []Mechanism{MechanismLock, MechanismUnlock} {
			if err := s.Move(ctx, m); err != nil {
				t.Error(m, err)
			}
		}
		for _, m := range []Mechanism{0, MechanismAccept, MechanismCapture, 6, 255} {
			if err := s.Move(ctx, m); !errors.Is(err, ErrUnsupported) {
				t.Error(m, err)
			}
		}
		if err := s.Disconnect(ctx, Eject); err != nil {
			t.Error(err)
		}
		expectSpoken(t, f, from, "Mechanical 040000", "Mechanical 050000", "IccPowerOff", "Mechanical 020000")
	})
}

func TestClockStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stops := sealed(0x3B, 0x80, 0x80, 0x1F, 0xC3)
		for _, c := range []struct {
			name string
			f    Features
			atr  []byte
			err  error
		}{
			{"reader and card allow it", FeatureClockStop, stops, nil},
			{"the reader cannot", 0, stops, ErrUnsupported},
			{"the card does not allow it", FeatureClockStop, atrT0, ErrUnsupported},
		} {
			healthy := ordinary(c.atr, nil)
			f := newFake(class(FeatureShortAPDU|FeatureAutoParameters|c.f), func(f *fake, m []byte) [][]byte {
				if messageType(m[0]) == msgIccClock {
					return [][]byte{respond(m, msgSlotStatus, iccActive, 0, m[7])}
				}
				return healthy(f, m)
			})
			s := connected(t, f, Options{})
			ctx := context.Background()
			from := len(f.sent)
			if err := s.StopClock(ctx); !errors.Is(err, c.err) || c.err == nil && err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			if c.err != nil {
				continue
			}
			if err := s.RestartClock(ctx); err != nil {
				t.Error(err)
			}
			expectSpoken(t, f, from, "IccClock 010000", "IccClock")
		}
	})
}
