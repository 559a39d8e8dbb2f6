package native_test

import (
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/ccid/sim/card"
	"tamaccid/sclib"
)

// TestACardThatWasReplacedWhileNothingLooked replaces a card that has no power. The card before and
// its answer to reset are known from an earlier connection.
func TestACardThatWasReplacedWhileNothingLooked(t *testing.T) {
	for _, kind := range []string{"tpdu", "slots"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, _, sc := onBus(t, kind)
				now(t, sc, name) // counts insertions and removals from here on
				d.Reader(0).Insert(0, card.T1())
				time.Sleep(time.Second)
				connected, err := sc.Connect(t.Context(), name, sclib.ShareShared, sclib.ProtocolAny)
				if err != nil {
					t.Fatal(err)
				}
				status, err := connected.Status(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if err := connected.Disconnect(sclib.UnpowerCard); err != nil {
					t.Fatal(err)
				}
				states := now(t, sc, name)
				if got := states[0]; string(got.ATR) != string(status.ATR) {
					t.Errorf("without power: ATR % X, want % X", got.ATR, status.ATR)
				}
				d.Reader(0).Remove(0)
				time.Sleep(time.Second)
				d.Reader(0).Insert(0, card.T0())
				time.Sleep(time.Second)
				states[0].TargetATRs = [][]byte{status.ATR}
				if err := sc.GetStatusChange(t.Context(), states); err != nil {
					t.Fatal(err)
				}
				const want = sclib.StateChanged | sclib.StatePresent | sclib.StateUnpowered
				if got := states[0]; got.EventState&0xFFFF != want || len(got.ATR) != 0 ||
					got.EventState>>16 != states[0].CurrentState>>16+2 {
					t.Errorf("state %#x before, %#x now, ATR % X", got.CurrentState, got.EventState,
						got.ATR)
				}
			})
		})
	}
}
