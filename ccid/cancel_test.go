package ccid_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/ccid"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
)

// TestCancelledAtEveryKind cancels a command that takes the card a while, and continues with the
// same connection. The call ends at once, and the next exchange is answered by its own answer.
func TestCancelledAtEveryKind(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := reader.NewDevice(k.make())
				c, err := card.Named(k.card)
				if err != nil {
					t.Fatal(err)
				}
				r, err := openSim(t, d, 0, c,
					ccid.Options{Timing: &ccid.Timing{Abort: 100 * time.Millisecond,
						PollICCD: time.Millisecond}})
				if err != nil {
					t.Fatal(err)
				}
				s := r.Slots()[0]
				ctx := context.Background()
				if _, err := s.Connect(ctx, ccid.T0|ccid.T1, ccid.ColdReset); err != nil {
					t.Fatal(err)
				}
				out := make([]byte, 258)
				if _, err := s.Transmit(ctx, append([]byte{0, 0xA4, 4, 0, byte(len(card.SlowAID))},
					card.SlowAID...), out); err != nil {
					t.Fatal(err)
				}
				brief, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
				defer cancel()
				started := time.Now()
				if _, err := s.Transmit(brief, []byte{0x80, 0xA0, 0x01, 0x2C}, out); !errors.Is(err,
					context.DeadlineExceeded) {
					t.Fatalf("cancelled: %v", err)
				}
				if d := time.Since(started); d > 2*time.Second {
					t.Errorf("ended after %v", d)
				}
				n, err := s.Transmit(ctx, append([]byte{0, 0xA4, 4, 0, byte(len(card.HelloAID))},
					card.HelloAID...), out)
				if err != nil {
					t.Fatalf("the next exchange: %v", err)
				}
				if !bytes.Equal(out[:n], []byte{0x90, 0}) {
					t.Fatalf("% X", out[:n])
				}
			})
		})
	}
}
