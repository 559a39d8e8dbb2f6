package ccid

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/ccid/internal/pipe"
	"tamaccid/ccid/usb"
)

func TestDeliver(t *testing.T) {
	c := class(FeatureShortAPDU | FeatureAutoParameters | FeatureAutoActivation)
	c.MaxSlotIndex = 5
	for _, v := range []struct {
		name    string
		powered bool // slot 0 before
		b       []byte
		state   State // of slot 0 after
		kept    bool  // the card is still connected
		changes uint32
		err     error // of the next exchange
	}{
		{"a card comes", false, []byte{0x50, 0x03, 0}, Inactive, false, 1, nil},
		{"a card goes", true, []byte{0x50, 0x02, 0}, Absent, false, 1, ErrCardChanged},
		{"a card was swapped", true, []byte{0x50, 0x03, 0}, Inactive, false, 1, ErrCardChanged},
		{"still there", true, []byte{0x50, 0x01, 0}, Active, true, 0, nil},
		{"another slot's card goes", true, []byte{0x50, 0x05, 0x0A}, Active, true, 0, nil},
		{"too much current", true, []byte{0x51, 0, 9, 1}, Active, false, 1, ErrHardware},
		{"too much current in another slot", true, []byte{0x51, 4, 9, 1}, Active, true, 0, nil},
		{"too much current in a slot that does not exist", true, []byte{0x51, 200, 9, 1}, Active,
			true, 0, nil},
		{"a hardware error cut short", true, []byte{0x51, 0}, Active, true, 0, nil},
		{"a notification cut short", true, []byte{0x50}, Active, true, 0, nil},
		{"nothing", true, nil, Active, true, 0, nil},
		{"an unknown message", true, []byte{0x77, 0, 0}, Active, true, 0, nil},
		{"more slots than there are", true, append([]byte{0x50}, make([]byte, 64)...), Absent,
			false, 1, ErrCardChanged},
	} {
		t.Run(v.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(c, ordinary(atrT0,
					func(_, _ []byte) []byte { return []byte{0x90, 0} }))
				s := open(t, f, Options{})
				if v.powered {
					if _, err := s.Connect(context.Background(), T0, ColdReset); err != nil {
						t.Fatal(err)
					}
				} else {
					s.Reader().Deliver([]byte{0x50, 0, 0})
				}
				before := s.Changes()
				s.Reader().Deliver(v.b)
				if s.LastState() != v.state || s.Changes()-before != v.changes ||
					(s.ATR() != nil) != v.kept {
					t.Fatalf("%v, %d changes, % X", s.LastState(), s.Changes()-before, s.ATR())
				}
				if v.powered {
					var r [4]byte
					_, err := s.Transmit(context.Background(), []byte{0, 0, 0, 0}, r[:])
					if !errors.Is(err, v.err) || v.err == nil && err != nil {
						t.Fatal(err)
					}
					if _, err := s.Connect(context.Background(), T0, Leave); err != nil {
						t.Fatalf("connecting again: %v", err)
					}
				}
			})
		})
	}
}

func TestNotificationsKeepTheStateFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(class(FeatureShortAPDU|FeatureAutoParameters), ordinary(atrT0, nil))
		s := open(t, f, Options{Notifications: true})
		ctx := context.Background()
		last := s.Changes()
		f.notes <- []byte{0x50, 0x00}
		f.notes <- []byte{0x50, 0x03}
		if _, err := s.WaitChange(ctx, last); err != nil {
			t.Fatal(err)
		}
		for s.LastState() != Inactive {
			time.Sleep(time.Millisecond)
		}
		from := len(f.sent)
		if state, err := s.State(ctx); state != Inactive || err != nil {
			t.Fatal(state, err)
		}
		expectSent(t, f, from) // no traffic
		if err := s.Reader().Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestWaitChangePolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		present := false
		f := newFake(class(FeatureShortAPDU|FeatureAutoParameters), nil)
		f.answer = func(_ *fake, m []byte) [][]byte {
			if present {
				return [][]byte{respond(m, pipe.SlotStatus, pipe.ICCInactive, 0, 0)}
			}
			return [][]byte{respond(m, pipe.SlotStatus, pipe.ICCAbsent, 0, 0)}
		}
		s := open(t, f, Options{})
		go func() {
			time.Sleep(20 * time.Millisecond)
			f.mu.Lock()
			present = true
			f.mu.Unlock()
		}()
		n, err := s.WaitChange(context.Background(), s.Changes())
		if n != 1 || err != nil || s.LastState() != Inactive {
			t.Fatal(n, err, s.LastState())
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		if _, err := s.WaitChange(ctx, n); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		f.unplug()
		if _, err := s.WaitChange(context.Background(), n); !errors.Is(err, ErrGone) &&
			s.Changes() == n {
			t.Fatal(err)
		}
	})
}

func TestWaitChangePollsWhenListeningEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		present := false
		f := newFake(class(FeatureShortAPDU|FeatureAutoParameters), nil)
		f.answer = func(_ *fake, m []byte) [][]byte {
			icc := byte(pipe.ICCAbsent)
			if present {
				icc = pipe.ICCInactive
			}
			return [][]byte{respond(m, pipe.SlotStatus, icc, 0, 0)}
		}
		s := open(t, f, Options{})
		listening, end := context.WithCancel(t.Context())
		go s.Reader().Listen(listening)
		synctest.Wait()
		if !s.Reader().Listened() {
			t.Fatal("nothing listens")
		}
		changed := make(chan error, 1)
		go func() {
			_, err := s.WaitChange(t.Context(), s.Changes())
			changed <- err
		}()
		synctest.Wait()
		end()
		synctest.Wait()
		f.mu.Lock()
		present = true
		f.mu.Unlock()
		start := time.Now()
		if err := <-changed; err != nil || time.Since(start) > policy.Poll {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestSwapIsNoticedInTheStateOfAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		swapped := false
		healthy := ordinary(atrT0, func(_, _ []byte) []byte { return []byte{0x90, 0} })
		f := newFake(class(FeatureShortAPDU|FeatureAutoParameters), nil)
		f.answer = func(f *fake, m []byte) [][]byte {
			if swapped && pipe.MessageType(m[0]) == pipe.XfrBlock {
				swapped = false
				return [][]byte{respond(m, pipe.DataBlock, pipe.StatusFailed|pipe.ICCInactive,
					pipe.CodeMute, 0)}
			}
			return healthy(f, m)
		}
		s := connected(t, f, Options{})
		swapped = true
		var r [4]byte
		for i, want := range []error{ErrMute, ErrCardChanged} {
			if _, err := s.Transmit(context.Background(), []byte{0, 0, 0, 0}, r[:]); !errors.Is(err,
				want) {
				t.Fatalf("exchange %d: %v, want %v", i, err, want)
			}
		}
		if s.Changes() != 1 || s.ATR() != nil {
			t.Fatal(s.Changes(), s.ATR())
		}
	})
}

func TestCheckNotificationsSeesASwapBehindAnActiveCard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		healthy := ordinary(atrT0, func(_, _ []byte) []byte { return []byte{0x90, 0} })
		f := newFake(class(FeatureShortAPDU|FeatureAutoParameters|FeatureAutoActivation), healthy)
		// from the insertion: read before the card is powered, and so not held against it
		f.notes <- []byte{0x50, 0x03}
		s := connected(t, f, Options{CheckNotifications: time.Millisecond})
		ctx := context.Background()
		if p, err := s.Connect(ctx, T0, Leave); p != T0 || err != nil || len(s.ATR()) == 0 {
			t.Fatal(p, err)
		}
		f.notes <- []byte{0x50, 0x03}
		if _, err := s.State(ctx); err != nil {
			t.Fatal(err)
		}
		var r [4]byte
		if _, err := s.Transmit(ctx, []byte{0, 0, 0, 0}, r[:]); !errors.Is(err, ErrCardChanged) {
			t.Fatal(err)
		}
	})
}

// A reader announces the card that was in it all the time, late; or another card was put in. Where
// cards are powered by the host only, the next answer decides which. Right after Open the first one
// is expected, and is no change unless there is another card.
func TestAnAnnouncementThatComesLate(t *testing.T) {
	for _, c := range []struct {
		name     string
		at       time.Duration // after Open
		before   []byte        // another notification
		swapped  bool
		reported uint32 // by the notification
	}{
		{"the first, right after Open", 0, nil, false, 0},
		{"the first, right after Open, and another card", 0, nil, true, 0},
		{"the first, later", time.Second, nil, false, 1},
		{"the first, later, and another card", time.Second, nil, true, 1},
		{"the second, right after Open", 0, []byte{0x50, 0x01}, false, 1},
		{"the second, right after Open, and another card", 0, []byte{0x50, 0x01}, true, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				other := false
				healthy := ordinary(atrT0, func(_, _ []byte) []byte { return []byte{0x90, 0} })
				f := newFake(class(FeatureShortAPDU|FeatureAutoParameters), nil)
				f.answer = func(f *fake, m []byte) [][]byte {
					if other && pipe.MessageType(m[0]) == pipe.GetSlotStatus {
						return [][]byte{respond(m, pipe.SlotStatus, pipe.ICCInactive, 0, 0)}
					}
					return healthy(f, m)
				}
				s := connected(t, f, Options{Notifications: true})
				s.Reader().Deliver(c.before)
				time.Sleep(c.at)
				other = c.swapped
				before := s.Changes()
				s.Reader().Deliver([]byte{0x50, 0x03})
				if reported := s.Changes() - before; reported != c.reported {
					t.Errorf("%d changes are reported", reported)
				}
				want, changes, wantErr := Active, c.reported, error(nil)
				if c.swapped {
					want, changes, wantErr = Inactive, c.reported+1, ErrCardChanged
				}
				if state, err := s.State(t.Context()); state != want || err != nil ||
					s.Changes()-before != changes {
					t.Errorf("%v, %v, %d changes", state, err, s.Changes()-before)
				}
				var r [4]byte
				if _, err := s.Transmit(t.Context(), []byte{0, 0, 0, 0}, r[:]); !errors.Is(err,
					wantErr) || wantErr == nil && err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A notification of a removal may be older than the session. Where cards are powered by the host
// only, the slot is asked.
func TestANotificationOfARemovalThatComesLate(t *testing.T) {
	for _, c := range []struct {
		name  string
		icc   byte // of the slot then
		err   error
		state State
		sent  []string // by the next exchange
	}{
		{"the card is there", pipe.ICCActive, nil, Active, []string{"GetSlotStatus", "XfrBlock00"}},
		{"another card is there", pipe.ICCInactive, ErrCardChanged, Inactive,
			[]string{"GetSlotStatus"}},
		{"no card is there", pipe.ICCAbsent, ErrNoCard, Absent, []string{"GetSlotStatus"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				icc := byte(pipe.ICCActive)
				healthy := ordinary(atrT0, func(_, _ []byte) []byte { return []byte{0x90, 0} })
				f := newFake(class(FeatureShortAPDU|FeatureAutoParameters), nil)
				f.answer = func(f *fake, m []byte) [][]byte {
					if pipe.MessageType(m[0]) == pipe.GetSlotStatus {
						return [][]byte{respond(m, pipe.SlotStatus, icc, 0, 0)}
					}
					return healthy(f, m)
				}
				s := connected(t, f, Options{})
				from := len(f.sent)
				icc = c.icc
				s.Reader().Deliver([]byte{0x50, 0x02})
				if s.LastState() != Absent || s.Changes() != 1 {
					t.Errorf("%v, %d changes", s.LastState(), s.Changes())
				}
				var r [4]byte
				if _, err := s.Transmit(t.Context(), []byte{0, 0, 0, 0}, r[:]); !errors.Is(err,
					c.err) || c.err == nil && err != nil {
					t.Error(err)
				}
				if s.LastState() != c.state {
					t.Error(s.LastState())
				}
				expectSent(t, f, from, c.sent...)
			})
		})
	}
}

// A slot may have been changed in a notification that was lost.
func TestMissedNotifications(t *testing.T) {
	for _, c := range []struct {
		name     string
		features Features
		icc      byte // of the slot then
		err      error
	}{
		{"the reader powers cards", FeatureAutoActivation, pipe.ICCActive, ErrCardChanged},
		{"the host powers cards, and the card is the same", 0, pipe.ICCActive, nil},
		{"the host powers cards, and the card is another one", 0, pipe.ICCInactive, ErrCardChanged},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				icc := byte(pipe.ICCActive)
				healthy := ordinary(atrT0, func(_, _ []byte) []byte { return []byte{0x90, 0} })
				f := newFake(class(FeatureShortAPDU|FeatureAutoParameters|c.features),
					func(f *fake, m []byte) [][]byte {
						if pipe.MessageType(m[0]) == pipe.GetSlotStatus {
							return [][]byte{respond(m, pipe.SlotStatus, icc, 0, 0)}
						}
						return healthy(f, m)
					})
				s := connected(t, f, Options{})
				icc = c.icc
				s.Reader().Missed()
				var r [4]byte
				if _, err := s.Transmit(t.Context(), []byte{0, 0, 0, 0}, r[:]); !errors.Is(err,
					c.err) || c.err == nil && err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// What a notification reports that comes while IccPowerOn is being executed is older than the
// session.
func TestNotificationsDuringIccPowerOn(t *testing.T) {
	for _, c := range []struct {
		name string
		b    []byte
		icc  byte // of the slot afterwards
		err  error
	}{
		{"a card has come", []byte{0x50, 0x03}, pipe.ICCActive, nil},
		// with the voltage before, for instance
		{"too much current", []byte{0x51, 0, 0, 1}, pipe.ICCActive, nil},
		{"a card has gone, and come back", []byte{0x50, 0x02}, pipe.ICCActive, nil},
		{"the card has gone", []byte{0x50, 0x02}, pipe.ICCAbsent, ErrNoCard},
	} {
		for _, features := range []Features{0, FeatureAutoActivation} {
			t.Run(fmt.Sprintf("%s, features %#x", c.name, uint32(features)), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var kept [][]byte
					healthy := ordinary(atrT0, func(_, _ []byte) []byte { return []byte{0x90, 0} })
					f := newFake(class(FeatureShortAPDU|FeatureAutoParameters|features),
						func(f *fake, m []byte) [][]byte {
							switch pipe.MessageType(m[0]) {
							case pipe.IccPowerOn:
								kept = append(kept, c.b)
							case pipe.GetSlotStatus:
								return [][]byte{respond(m, pipe.SlotStatus, c.icc, 0, 0)}
							}
							return healthy(f, m)
						})
					s := open(t, f, Options{})
					take := func() {
						for _, b := range kept {
							s.Reader().Deliver(b)
						}
						kept = nil
					}
					s.Reader().Polled(take, 0)
					_, err := s.Connect(t.Context(), T0, ColdReset)
					if !errors.Is(err, c.err) || c.err == nil && err != nil {
						t.Fatal(err)
					}
					if err != nil {
						return
					}
					take() // as each member of the driver does
					var r [4]byte
					if _, err := s.Transmit(t.Context(), []byte{0, 0, 0, 0}, r[:]); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

// The first notification is no insertion, unless the slot was empty.
func TestTheFirstNotification(t *testing.T) {
	for _, c := range []struct {
		name    string
		status  byte // what the slot's status was at Open
		b       []byte
		state   State
		changes uint32
	}{
		{"of the card that is there", pipe.ICCInactive, []byte{0x50, 0x03}, Inactive, 0},
		{"of a card that came since", pipe.ICCAbsent, []byte{0x50, 0x03}, Inactive, 1},
		{"of a card that went", pipe.ICCInactive, []byte{0x50, 0x02}, Absent, 1},
		{"of no card", pipe.ICCAbsent, []byte{0x50, 0x00}, Absent, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(class(FeatureShortAPDU|FeatureAutoParameters),
					func(_ *fake, m []byte) [][]byte {
						return [][]byte{respond(m, pipe.SlotStatus, c.status, 0, 0)}
					})
				s := open(t, f, Options{Notifications: true})
				s.Reader().Deliver(c.b)
				if s.LastState() != c.state || s.Changes() != c.changes {
					t.Errorf("%v, %d changes", s.LastState(), s.Changes())
				}
			})
		})
	}
}

// Where a reader powers cards by itself, the first use of a card waits for the reader's first
// notification, and for no other. Open waits for none: a reader without a card sends none.
func TestFirstUseWaitsForTheFirstNotificationOnlyWhereItMust(t *testing.T) {
	const auto = FeatureShortAPDU | FeatureAutoParameters | FeatureAutoActivation
	for _, c := range []struct {
		name     string
		features Features
		reported time.Duration // after Open, 0 never
		cancel   time.Duration // the same
		closed   time.Duration // the same
		want     time.Duration
		err      error
	}{
		{"the host powers cards", FeatureShortAPDU | FeatureAutoParameters, 0, 0, 0, 0, nil},
		{"the reader powers cards, and reports one", auto, 20 * time.Millisecond, 0, 0,
			20 * time.Millisecond, nil},
		{"the reader powers cards, and reports none", auto, 0, 0, 0, 46 * time.Millisecond, nil},
		{"the reader powers cards, and the caller has no time", auto, 0, 10 * time.Millisecond, 0,
			10 * time.Millisecond, context.DeadlineExceeded},
		{"the reader powers cards, and is closed", auto, 0, 0, 10 * time.Millisecond,
			10 * time.Millisecond, ErrClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(class(c.features),
					ordinary(atrT0, func(_, _ []byte) []byte { return []byte{0x90, 0} }))
				began := time.Now()
				s := open(t, f, Options{Notifications: true})
				if took := time.Since(began); took != 0 {
					t.Errorf("Open took %v", took)
				}
				if c.reported > 0 {
					time.AfterFunc(c.reported, func() { f.notes <- []byte{0x50, 0x03} })
				}
				if c.closed > 0 {
					time.AfterFunc(c.closed, func() { s.Reader().Close() })
				}
				ctx := t.Context()
				if c.cancel > 0 {
					var stop context.CancelFunc
					ctx, stop = context.WithTimeout(ctx, c.cancel)
					defer stop()
				}
				_, err := s.Connect(ctx, T0, ColdReset)
				if took := time.Since(began); took != c.want || !errors.Is(err, c.err) ||
					c.err == nil && err != nil {
					t.Fatalf("connected after %v: %v", took, err)
				}
				if err != nil {
					return
				}
				began = time.Now()
				var r [4]byte
				if _, err := s.Transmit(t.Context(), []byte{0, 0, 0, 0}, r[:]); err != nil {
					t.Errorf("the notification has ended the session: %v", err)
				}
				if _, err := s.Connect(t.Context(), T0, ColdReset); err != nil ||
					time.Since(began) != 0 {
					t.Errorf("connected again after %v: %v", time.Since(began), err)
				}
			})
		})
	}
}

// A card is put back at once: the notification of its removal comes first, that of its return when
// the endpoint is polled again.
func TestConnectAsksTheReaderBeforeItTurnsACardAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(class(FeatureShortAPDU|FeatureAutoParameters|FeatureAutoActivation),
			ordinary(atrT0, func(_, _ []byte) []byte { return []byte{0x90, 0} }))
		s := connected(t, f, Options{Notifications: true})
		for s.Reader().listeners.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
		s.Reader().Deliver([]byte{0x50, 0x02})
		if state, err := s.State(t.Context()); state != Absent || err != nil {
			t.Fatalf("after the removal: %v, %v", state, err)
		}
		if _, err := s.Connect(t.Context(), T0, Leave); err != nil {
			t.Errorf("connect: %v", err)
		}
	})
}

func TestFirstNotificationComesOnceTheEndpointWasPolled(t *testing.T) {
	for _, c := range []struct {
		name     string
		interval uint8
		speed    usb.Speed
		want     time.Duration
	}{
		{"full speed, 16 ms", 16, usb.SpeedFull, 46 * time.Millisecond},
		{"full speed, the longest", 255, usb.SpeedFull, 285 * time.Millisecond},
		{"full speed, none given", 0, usb.SpeedFull, 31 * time.Millisecond},
		{"high speed, 2^7 microframes", 8, usb.SpeedHigh, 46 * time.Millisecond},
		{"high speed, longer than any reader needs", 16, usb.SpeedHigh, 500 * time.Millisecond},
		{"super speed, out of range", 255, usb.SpeedSuper, 500 * time.Millisecond},
	} {
		if got := notificationLatency(usb.Endpoint{Interval: c.interval}, c.speed); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
