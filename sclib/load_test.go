package sclib_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/sclib"
	"tamaccid/sclib/sclibtest"
)

// counter counts the calls of Readers.
type counter struct {
	sclib.Backend
	calls atomic.Int32
}

func (c *counter) Readers(ctx context.Context) ([]sclib.Reader, error) {
	c.calls.Add(1)
	return c.Backend.Readers(ctx)
}

// TestExchangesDoNotMakeGetStatusChangeLookMoreOften has a program with one exchange after the
// other, and another one that waits for a change which does not come.
func TestExchangesDoNotMakeGetStatusChangeLookMoreOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const minute = time.Minute
		r := sclibtest.NewReader("Test reader")
		r.Insert(sclibtest.Card{ATR: atr, Answer: func([]byte) []byte {
			time.Sleep(time.Millisecond)
			return []byte{0x90, 0}
		}})
		b := &counter{Backend: sclibtest.NewBackend(r)}
		sc := sclib.New(b)
		t.Cleanup(func() { sc.Release() })
		card := connect(t, sc, sclib.ShareShared)
		states := []sclib.ReaderState{{Reader: "Test reader"}}
		if err := sc.GetStatusChange(t.Context(), states); err != nil {
			t.Fatal(err)
		}
		states[0].CurrentState = states[0].EventState &^ sclib.StateChanged
		ctx, cancel := context.WithTimeout(t.Context(), minute)
		defer cancel()
		done := make(chan error, 1)
		b.calls.Store(0)
		go func() { done <- sc.GetStatusChange(ctx, states) }()
		n := 0
		for ctx.Err() == nil {
			if _, err := card.Transmit(t.Context(), command); err != nil {
				t.Fatal(err)
			}
			n++
		}
		if err := <-done; !errors.Is(err, sclib.ErrTimeout) {
			t.Errorf("%v, %#x", err, states[0].EventState)
		}
		most := int32(2 * minute / (200 * time.Millisecond)) // one at each poll, one after an exchange
		if calls := b.calls.Load(); calls > most {
			t.Errorf("%d calls of Readers in %v with %d exchanges, want at most %d", calls, minute, n, most)
		}
	})
}
