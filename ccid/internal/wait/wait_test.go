package wait

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestSemaphore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSemaphore(2)
		if !s.TryAcquire() || s.Acquire(t.Context()) != nil || s.TryAcquire() || s.Places() != 2 {
			t.Fatal("places")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Acquire(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, s.Release)
		began := time.Now()
		if err := s.Acquire(t.Context()); err != nil || time.Since(began) != time.Second {
			t.Fatal(err, time.Since(began))
		}
	})
}

func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := Pause(context.Background(), time.Second); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := Pause(ctx, time.Hour); !Ended(err) || !Over(t.Context(), err) {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Fatal(took)
		}
	})
}
