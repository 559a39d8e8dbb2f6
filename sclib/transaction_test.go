package sclib_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/sclib"
	"tamaccid/sclib/sclibtest"
)

var command = []byte{0, 0, 0, 0}

func begin(t *testing.T, card *sclib.Card) {
	t.Helper()
	if err := card.BeginTransaction(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func end(t *testing.T, card *sclib.Card) {
	t.Helper()
	if err := card.EndTransaction(t.Context(), sclib.LeaveCard); err != nil {
		t.Fatal(err)
	}
}

func TestATransactionMakesOtherHandlesWait(t *testing.T) {
	others := []struct {
		name string
		do   func(ctx context.Context, sc *sclib.Context, card *sclib.Card) error
	}{
		{"Transmit", func(ctx context.Context, sc *sclib.Context, card *sclib.Card) error {
			_, err := card.Transmit(ctx, command)
			return err
		}},
		{"Status", func(ctx context.Context, sc *sclib.Context, card *sclib.Card) error {
			_, err := card.Status(ctx)
			return err
		}},
		{"BeginTransaction", func(ctx context.Context, sc *sclib.Context, card *sclib.Card) error {
			return card.BeginTransaction(ctx)
		}},
		{"Reconnect", func(ctx context.Context, sc *sclib.Context, card *sclib.Card) error {
			return card.Reconnect(ctx, sclib.ShareShared, sclib.ProtocolAny, sclib.ResetCard)
		}},
		{"Connect", func(ctx context.Context, sc *sclib.Context, card *sclib.Card) error {
			_, err := sc.Connect(ctx, "Test reader", sclib.ShareShared, sclib.ProtocolAny)
			return err
		}},
	}
	for _, other := range others {
		t.Run(other.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, sc := reader(t)
				owner, second := connect(t, sc, sclib.ShareShared), connect(t, sc,
					sclib.ShareShared)
				begin(t, owner)
				begin(t, owner)

				late, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				want(t, other.do(late, sc, second), sclib.ErrTimeout)

				start := time.Now()
				want(t, other.do(t.Context(), sc, second), sclib.ErrSharing)
				if waited := time.Since(start); waited != 2*time.Minute {
					t.Errorf("a wait without a deadline took %v", waited)
				}

				done := make(chan error, 1)
				go func() { done <- other.do(t.Context(), sc, second) }()
				synctest.Wait()
				end(t, owner)
				synctest.Wait()
				if len(done) != 0 {
					t.Fatal("the end of the inner transaction ended the outer one")
				}
				if _, err := owner.Transmit(t.Context(), command); err != nil {
					t.Error(err)
				}
				end(t, owner)
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestTransactionsEnd(t *testing.T) {
	tests := []struct {
		name string
		end  func(t *testing.T, r *sclibtest.Reader, card *sclib.Card)
		want error // of the other handle's Transmit
	}{
		{"with the handle", func(t *testing.T, r *sclibtest.Reader, card *sclib.Card) {
			if err := card.Disconnect(sclib.LeaveCard); err != nil {
				t.Error(err)
			}
		}, nil},
		{"with a reset", func(t *testing.T, r *sclibtest.Reader, card *sclib.Card) {
			if err := card.EndTransaction(t.Context(), sclib.ResetCard); err != nil {
				t.Error(err)
			}
		}, sclib.ErrResetCard},
		{"although the reset failed", func(t *testing.T, r *sclibtest.Reader, card *sclib.Card) {
			r.Fail("connect", sclib.ErrComm)
			want(t, card.EndTransaction(t.Context(), sclib.ResetCard), sclib.ErrComm)
		}, sclib.ErrResetCard},
		{"although the card was removed",
			func(t *testing.T, r *sclibtest.Reader, card *sclib.Card) {
				r.Remove()
				_, err := card.Transmit(t.Context(), command)
				want(t, err, sclib.ErrRemovedCard)
				want(t, card.EndTransaction(t.Context(), sclib.ResetCard), sclib.ErrRemovedCard)
			}, sclib.ErrRemovedCard},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, sc := reader(t)
				owner, second := connect(t, sc, sclib.ShareShared), connect(t, sc,
					sclib.ShareShared)
				begin(t, owner)
				test.end(t, r, owner)
				_, err := second.Transmit(t.Context(), command)
				if !errors.Is(err, test.want) {
					t.Errorf("got %v, want %v", err, test.want)
				}
				want(t, second.EndTransaction(t.Context(), sclib.LeaveCard), sclib.ErrNotTransacted)
			})
		})
	}
}

func TestDisconnectDuringATransactionOfAnotherHandle(t *testing.T) {
	_, sc := reader(t)
	owner := connect(t, sc, sclib.ShareShared)
	second, third := connect(t, sc, sclib.ShareShared), connect(t, sc, sclib.ShareShared)
	begin(t, owner)
	if err := second.Disconnect(sclib.LeaveCard); err != nil {
		t.Error(err)
	}
	want(t, third.Disconnect(sclib.ResetCard), sclib.ErrSharing)
	if _, err := owner.Transmit(t.Context(), command); err != nil {
		t.Errorf("the card in a transaction was reset: %v", err)
	}
	// A call of a disconnected handle does not wait.
	_, err := third.Status(t.Context())
	want(t, err, sclib.ErrInvalidHandle)
}

// TestExchangesAreSequential relies on sclibtest, which refuses two calls at once.
func TestExchangesAreSequential(t *testing.T) {
	r, sc := reader(t)
	r.Insert(sclibtest.Card{ATR: atr, Answer: func(command []byte) []byte {
		time.Sleep(10 * time.Microsecond)
		return echo(command)
	}})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			card, err := sc.Connect(t.Context(), "Test reader", sclib.ShareShared,
				sclib.ProtocolAny)
			if err != nil {
				t.Error(err)
				return
			}
			defer card.Disconnect(sclib.LeaveCard)
			for i := range 50 {
				if i%10 == 0 {
					if err := card.BeginTransaction(t.Context()); err != nil {
						t.Error(err)
						return
					}
				}
				if _, err := card.Transmit(t.Context(), command); err != nil {
					t.Error(err)
					return
				}
				if i%10 == 9 {
					if err := card.EndTransaction(t.Context(), sclib.LeaveCard); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	all.Wait()
	if _, connected := r.Connected(); connected {
		t.Error("the reader stayed connected")
	}
}

func TestReleaseEndsWaitingCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, sc := reader(t)
		owner, second := connect(t, sc, sclib.ShareShared), connect(t, sc, sclib.ShareShared)
		begin(t, owner)
		done := make(chan error, 2)
		go func() { _, err := second.Transmit(t.Context(), command); done <- err }()
		state := []sclib.ReaderState{{Reader: sclib.PnPNotification}}
		go func() { done <- sc.GetStatusChange(t.Context(), state) }()
		synctest.Wait()
		start := time.Now()
		if err := sc.Release(); err != nil {
			t.Error(err)
		}
		if waited := time.Since(start); waited != 0 {
			t.Errorf("after %v", waited)
		}
		for range 2 {
			want(t, <-done, sclib.ErrServiceStopped)
		}
	})
}
