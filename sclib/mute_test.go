package sclib_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/sclib"
	"tamaccid/sclib/sclibtest"
)

// TestACardThatDoesNotAnswerACommandIsNotMute: StateMute is about resets. The state is taken while
// the next call is in progress, which is when the last observation counts.
func TestACardThatDoesNotAnswerACommandIsNotMute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, sc := reader(t)
		r.Insert(sclibtest.Card{ATR: atr, Answer: echo})
		card := connect(t, sc, sclib.ShareShared)
		r.Fail("transmit", sclib.ErrUnresponsiveCard)
		if _, err := card.Transmit(t.Context(), command); !errors.Is(err, sclib.ErrUnresponsiveCard) {
			t.Fatal(err)
		}
		r.HandleControl(1, func([]byte) []byte {
			time.Sleep(time.Second)
			return nil
		})
		go card.Control(t.Context(), 1, nil)
		synctest.Wait()
		states := []sclib.ReaderState{{Reader: "Test reader"}}
		if err := sc.GetStatusChange(t.Context(), states); err != nil {
			t.Fatal(err)
		}
		const want = sclib.StateChanged | sclib.StatePresent | sclib.StateInUse
		if got := states[0].EventState & 0xFFFF; got != want {
			t.Errorf("state %#x, want %#x", got, want)
		}
		time.Sleep(2 * time.Second)
	})
}
