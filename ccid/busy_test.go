package ccid

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"tamaccid/ccid/internal/pipe"
)

// TestSlotThatStaysBusy has a reader answer one kind of command with "slot busy" until the command's
// wait is over. The reader has neither done nor refused the command then: the call fails.
func TestSlotThatStaysBusy(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		name     string
		features Features
		busy     pipe.MessageType
		call     func(s *Slot) error
	}{
		{"the state of the slot", FeatureAutoParameters, pipe.GetSlotStatus,
			func(s *Slot) error { _, err := s.State(ctx); return err }},
		{"switching the card off", FeatureAutoParameters, pipe.IccPowerOff,
			func(s *Slot) error { return s.PowerOff(ctx) }},
		{"switching the card on", FeatureAutoParameters, pipe.IccPowerOn,
			func(s *Slot) error { _, err := s.PowerOn(ctx); return err }},
		{"the parameters that the reader has set", FeatureAutoParameters, pipe.GetParameters,
			func(s *Slot) error { _, err := s.Connect(ctx, T0, ColdReset); return err }},
		{"parameters set by the host", 0, pipe.SetParameters,
			func(s *Slot) error { _, err := s.Connect(ctx, T0, ColdReset); return err }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				busy := false
				healthy := ordinary(atrT0, func(_, _ []byte) []byte { return []byte{0x90, 0} })
				s := open(t, newFake(class(FeatureShortAPDU|c.features),
					func(f *fake, m []byte) [][]byte {
						if busy && pipe.MessageType(m[0]) == c.busy {
							return [][]byte{respond(m, pipe.SlotStatus,
								pipe.StatusFailed|pipe.ICCInactive, pipe.CodeSlotBusy, 0)}
						}
						return healthy(f, m)
					}), Options{})
				if err := c.call(s); err != nil {
					t.Fatalf("while the slot is not busy: %v", err)
				}
				busy = true
				if err := c.call(s); !errors.Is(err, ErrBusy) {
					t.Errorf("%v, want ErrBusy", err)
				}
			})
		})
	}
}
