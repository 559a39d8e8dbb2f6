package ccid

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"tamaccid/ccid/internal/pipe"
)

// Deviations of readers from CCID 1.1 that do no harm, or that have to be reported.

func TestTimeExtensionInASlotStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		extend := false
		healthy := ordinary(atrT0, func(_, _ []byte) []byte { return []byte{0x90, 0} })
		f := newFake(class(FeatureShortAPDU|FeatureAutoParameters), func(f *fake, m []byte) [][]byte {
			answers := healthy(f, m)
			if pipe.MessageType(m[0]) == pipe.XfrBlock && extend {
				extension := respond(m, pipe.SlotStatus, pipe.StatusTimeExt, 1, 0)
				answers = append([][]byte{extension}, answers...)
			}
			return answers
		})
		s := connected(t, f, Options{})
		extend = true
		var r [8]byte
		n, err := s.Transmit(context.Background(), []byte{0, 0, 0, 0}, r[:])
		if err != nil || n != 2 || r[0] != 0x90 {
			t.Errorf("% X, %v", r[:n], err)
		}
	})
}

func TestIccPowerOffIsRefused(t *testing.T) {
	for _, code := range []byte{pipe.CodeCommandNotSupported, pipe.CodeHardware} {
		synctest.Test(t, func(t *testing.T) {
			healthy := ordinary(atrT0, func(_, _ []byte) []byte { return []byte{0x90, 0} })
			f := newFake(class(FeatureShortAPDU|FeatureAutoParameters),
				func(f *fake, m []byte) [][]byte {
					if pipe.MessageType(m[0]) == pipe.IccPowerOff {
						return [][]byte{respond(m, pipe.SlotStatus, pipe.StatusFailed, code, 0)}
					}
					return healthy(f, m)
				})
			s := open(t, f, Options{})
			ctx := context.Background()
			if _, err := s.Connect(ctx, T0, ColdReset); err != nil {
				t.Fatalf("code %02X: %v", code, err)
			}
			var r [8]byte
			if _, err := s.Transmit(ctx, []byte{0, 0, 0, 0}, r[:]); err != nil {
				t.Errorf("code %02X: %v", code, err)
			}
			if err := s.PowerOff(ctx); err == nil {
				t.Errorf("code %02X: a card that stays active was switched off", code)
			}
		})
	}
}

// TestCardLosesItsPower has the port of a reader reset by another host: the next exchange fails with
// a card that is present and inactive. Recovery on the old terms has no chance then.
func TestCardLosesItsPower(t *testing.T) {
	for _, c := range []struct {
		name     string
		features Features
		atr      []byte
		protocol Protocol
	}{
		{"T=1 at TPDU level", FeatureTPDU | FeatureAutoPPS | FeatureAutoIFSD, atrT1, T1},
		{"T=0 at TPDU level", FeatureTPDU | FeatureAutoPPS, atrT0, T0},
		{"short APDU level", FeatureShortAPDU | FeatureAutoParameters, atrT0, T0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lost, exchanges := false, 0
				healthy := ordinary(c.atr, func(_, _ []byte) []byte { return []byte{0x90, 0} })
				f := newFake(class(c.features), func(f *fake, m []byte) [][]byte {
					switch {
					case pipe.MessageType(m[0]) == pipe.IccPowerOn:
						lost = false
					case lost && pipe.MessageType(m[0]) == pipe.XfrBlock:
						exchanges++
						return [][]byte{respond(m, pipe.DataBlock,
							pipe.StatusFailed|pipe.ICCInactive, pipe.CodeMute, 0)}
					}
					return healthy(f, m)
				})
				s := open(t, f, Options{})
				ctx := context.Background()
				if _, err := s.Connect(ctx, c.protocol, ColdReset); err != nil {
					t.Fatal(err)
				}
				lost = true
				var r [8]byte
				_, err := s.Transmit(ctx, []byte{0, 0, 0, 0}, r[:])
				if !errors.Is(err, ErrCardChanged) || exchanges != 1 {
					t.Errorf("%v after %d exchanges, want ErrCardChanged after one", err, exchanges)
				}
			})
		})
	}
}
