package sclib_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/sclib"
	"tamaccid/sclib/sclibtest"
)

// mute makes the card in a reader fail to answer to one reset.
func mute(t *testing.T, r *sclibtest.Reader, sc *sclib.Context) {
	r.Fail("connect", sclib.ErrUnresponsiveCard)
	_, err := sc.Connect(t.Context(), "Test reader", sclib.ShareShared, sclib.ProtocolAny)
	want(t, err, sclib.ErrUnresponsiveCard)
	r.Fail("connect", nil)
}

// look returns the state of the reader.
func look(t *testing.T, sc *sclib.Context) sclib.StateFlags {
	t.Helper()
	states := []sclib.ReaderState{{Reader: "Test reader"}}
	if err := sc.GetStatusChange(t.Context(), states); err != nil {
		t.Fatal(err)
	}
	return states[0].EventState
}

func TestReaderStates(t *testing.T) {
	const changed = sclib.StateChanged
	tests := []struct {
		name    string
		prepare func(t *testing.T, r *sclibtest.Reader, sc *sclib.Context)
		reader  string
		targets [][]byte
		want    sclib.StateFlags
		atr     []byte
	}{
		{name: "an empty reader",
			prepare: func(t *testing.T, r *sclibtest.Reader, sc *sclib.Context) { r.Remove() },
			want:    sclib.StateEmpty | changed},
		{name: "a card that has no power",
			prepare: func(t *testing.T, r *sclibtest.Reader, sc *sclib.Context) {},
			want:    sclib.StatePresent | sclib.StateUnpowered | changed},
		{name: "a card that has lost its power",
			prepare: func(t *testing.T, r *sclibtest.Reader, sc *sclib.Context) {
				card := connect(t, sc, sclib.ShareShared)
				if err := card.Disconnect(sclib.UnpowerCard); err != nil {
					t.Fatal(err)
				}
			}, want: sclib.StatePresent | sclib.StateUnpowered | changed},
		{name: "a mute card", prepare: mute, want: sclib.StatePresent | sclib.StateMute | changed},
		{name: "a mute card that answers at the next attempt",
			prepare: func(t *testing.T, r *sclibtest.Reader, sc *sclib.Context) {
				mute(t, r, sc)
				connect(t, sc, sclib.ShareShared)
			}, want: sclib.StatePresent | sclib.StateInUse | changed, atr: atr},
		{name: "another card after a mute one",
			prepare: func(t *testing.T, r *sclibtest.Reader, sc *sclib.Context) {
				mute(t, r, sc)
				r.Remove()
				look(t, sc)
				r.Insert(sclibtest.Card{ATR: atr, Answer: echo})
			}, want: 1<<16 | sclib.StatePresent | sclib.StateUnpowered | changed},
		{name: "a card that the caller looks for", targets: [][]byte{{0x3B, 0x00}, atr},
			prepare: func(t *testing.T, r *sclibtest.Reader, sc *sclib.Context) {
				connect(t, sc, sclib.ShareShared)
			}, want: sclib.StatePresent | sclib.StateATRMatch | sclib.StateInUse |
				changed, atr: atr},
		{name: "a card that the caller does not look for",
			targets: [][]byte{{0x3B, 0x00}, atr[:3], nil},
			prepare: func(t *testing.T, r *sclibtest.Reader, sc *sclib.Context) {
				connect(t, sc, sclib.ShareShared)
			}, want: sclib.StatePresent | sclib.StateInUse | changed, atr: atr},
		{name: "a card whose ATR is not known", targets: [][]byte{atr, nil},
			prepare: func(t *testing.T, r *sclibtest.Reader, sc *sclib.Context) {},
			want:    sclib.StatePresent | sclib.StateUnpowered | changed},
		{name: "a card in shared use",
			prepare: func(t *testing.T, r *sclibtest.Reader, sc *sclib.Context) {
				connect(t, sc, sclib.ShareShared)
			}, want: sclib.StatePresent | sclib.StateInUse | changed, atr: atr},
		{name: "a card in exclusive use",
			prepare: func(t *testing.T, r *sclibtest.Reader, sc *sclib.Context) {
				connect(t, sc, sclib.ShareExclusive)
			}, want: sclib.StatePresent | sclib.StateExclusive | changed, atr: atr},
		{name: "a reader that reports no state",
			prepare: func(t *testing.T, r *sclibtest.Reader, sc *sclib.Context) { r.Silence(true) },
			want:    sclib.StateUnavailable | changed},
		{name: "a reader that fails",
			prepare: func(t *testing.T, r *sclibtest.Reader, sc *sclib.Context) {
				r.Fail("status", sclib.ErrComm)
			},
			want: sclib.StateUnavailable | changed},
		{name: "a reader that is not attached",
			prepare: func(t *testing.T, r *sclibtest.Reader, sc *sclib.Context) {},
			reader:  "Other reader", want: sclib.StateUnknown | changed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, sc := reader(t)
			test.prepare(t, r, sc)
			states := []sclib.ReaderState{
				{Reader: "Test reader", TargetATRs: test.targets},
				{Reader: "ignored", CurrentState: sclib.StateIgnore},
			}
			if test.reader != "" {
				states[0].Reader = test.reader
			}
			if err := sc.GetStatusChange(t.Context(), states); err != nil {
				t.Fatal(err)
			}
			if states[0].EventState != test.want || !bytes.Equal(states[0].ATR, test.atr) {
				t.Errorf("got %#x, % X; want %#x, % X", states[0].EventState, states[0].ATR,
					test.want, test.atr)
			}
			if states[1].EventState != sclib.StateIgnore {
				t.Errorf("the ignored reader: %#x", states[1].EventState)
			}
		})
	}
}

func TestWaitingForAChange(t *testing.T) {
	tests := []struct {
		name string
		do   func(t *testing.T, r *sclibtest.Reader, b *sclibtest.Backend, sc *sclib.Context)
		want sclib.StateFlags // without the counter
	}{
		{"a card is removed",
			func(t *testing.T, r *sclibtest.Reader, b *sclibtest.Backend, sc *sclib.Context) {
				r.Remove()
			},
			sclib.StateEmpty},
		{"a handle connects",
			func(t *testing.T, r *sclibtest.Reader, b *sclibtest.Backend, sc *sclib.Context) {
				connect(t, sc, sclib.ShareShared)
			}, sclib.StatePresent | sclib.StateATRMatch | sclib.StateInUse},
		{"the reader is unplugged",
			func(t *testing.T, r *sclibtest.Reader, b *sclibtest.Backend, sc *sclib.Context) {
				b.Detach(r)
			},
			sclib.StateUnknown},
		{"a card is removed and inserted, which only the counter shows",
			func(t *testing.T, r *sclibtest.Reader, b *sclibtest.Backend, sc *sclib.Context) {
				r.Remove()
				other := []sclib.ReaderState{{Reader: "Test reader"}}
				if err := sc.GetStatusChange(t.Context(), other); err != nil {
					t.Fatal(err)
				}
				r.Insert(sclibtest.Card{ATR: atr, Answer: echo})
			}, sclib.StatePresent | sclib.StateUnpowered},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := sclibtest.NewReader("Test reader")
				b := sclibtest.NewBackend(r)
				sc := over(t, b)
				states := []sclib.ReaderState{{Reader: "Test reader", TargetATRs: [][]byte{atr}}}
				if err := sc.GetStatusChange(t.Context(), states); err != nil {
					t.Fatal(err)
				}
				r.Insert(sclibtest.Card{ATR: atr, Answer: echo})
				states[0].CurrentState = states[0].EventState &^ sclib.StateChanged
				if err := sc.GetStatusChange(t.Context(), states); err != nil {
					t.Fatal(err)
				}
				states[0].CurrentState = states[0].EventState &^ sclib.StateChanged

				done := make(chan error, 1)
				go func() { done <- sc.GetStatusChange(t.Context(), states) }()
				time.Sleep(time.Minute)
				synctest.Wait()
				if len(done) != 0 {
					t.Fatalf("returned without a change: %#x", states[0].EventState)
				}
				test.do(t, r, b, sc)
				start := time.Now()
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				if waited := time.Since(start); waited > time.Second {
					t.Errorf("returned after %v", waited)
				}
				if got := states[0].EventState & 0xFFFF; got != test.want|sclib.StateChanged {
					t.Errorf("got %#x", got)
				}
			})
		})
	}
}

func TestWaitingForReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := sclibtest.NewBackend()
		sc := over(t, b)
		states := []sclib.ReaderState{{Reader: sclib.PnPNotification}}
		for _, change := range []func(){
			func() { b.Attach(sclibtest.NewReader("One")) },
			func() { b.Attach(sclibtest.NewReader("Two")) },
		} {
			short, cancel := context.WithTimeout(t.Context(), time.Minute)
			err := sc.GetStatusChange(short, states)
			cancel()
			if !errors.Is(err, sclib.ErrTimeout) {
				t.Fatalf("nothing happened, got %v", err)
			}
			time.AfterFunc(time.Minute, change)
			if err := sc.GetStatusChange(t.Context(), states); err != nil {
				t.Fatal(err)
			}
			states[0].CurrentState = states[0].EventState
		}
	})
}

func TestABusyReaderDoesNotDelayGetStatusChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, sc := reader(t)
		r.Insert(sclibtest.Card{ATR: atr, Answer: func([]byte) []byte {
			time.Sleep(time.Hour)
			return []byte{0x90, 0}
		}})
		card := connect(t, sc, sclib.ShareShared)
		done := make(chan error, 1)
		go func() { _, err := card.Transmit(t.Context(), command); done <- err }()
		synctest.Wait()
		start := time.Now()
		states := []sclib.ReaderState{{Reader: "Test reader"}}
		if err := sc.GetStatusChange(t.Context(), states); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(start); waited != 0 ||
			states[0].EventState&sclib.StatePresent == 0 {
			t.Errorf("%v, %#x", waited, states[0].EventState)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// notifier is a backend that reports changes, of all its readers or of some.
type notifier struct {
	*sclibtest.Backend
	sclib.Signal
	all bool
}

func (n *notifier) Changed() (<-chan struct{}, bool) { return n.Next(), n.all }

func TestChangesThatTheBackendReportsAreReturnedAtOnce(t *testing.T) {
	type world struct {
		r  *sclibtest.Reader
		b  *notifier
		sc *sclib.Context
	}
	// The event comes after a minute without changes.
	const quiet = time.Minute
	for _, c := range []struct {
		name   string
		some   bool // the backend does not report the changes of all readers
		before func(t *testing.T, w world)
		do     func(t *testing.T, w world)
		want   sclib.StateFlags
		after  time.Duration
	}{
		{name: "a card is inserted", want: sclib.StatePresent | sclib.StateUnpowered,
			do: func(t *testing.T, w world) {
				w.r.Insert(sclibtest.Card{ATR: atr, Answer: echo})
				w.b.Send()
			}},
		{name: "the reader is unplugged", want: sclib.StateUnknown,
			do: func(t *testing.T, w world) { w.b.Detach(w.r); w.b.Send() }},
		{name: "a handle connects", want: sclib.StateEmpty | sclib.StateInUse,
			do: func(t *testing.T, w world) {
				_, err := w.sc.Connect(t.Context(), "Test reader", sclib.ShareDirect, 0)
				if err != nil {
					t.Error(err)
				}
			}},
		{name: "a card is inserted, which is not reported", some: true,
			want:  sclib.StatePresent | sclib.StateUnpowered,
			after: 200 * time.Millisecond,
			do: func(t *testing.T, w world) {
				w.r.Insert(sclibtest.Card{ATR: atr, Answer: echo})
			}},
		{name: "a card is inserted while a call is in progress",
			want:  sclib.StatePresent | sclib.StateUnpowered | sclib.StateInUse,
			after: 3 * time.Second,
			before: func(t *testing.T, w world) {
				card, err := w.sc.Connect(t.Context(), "Test reader", sclib.ShareDirect, 0)
				if err != nil {
					t.Fatal(err)
				}
				w.r.HandleControl(1, func([]byte) []byte {
					time.Sleep(quiet + 3*time.Second)
					return nil
				})
				go card.Control(t.Context(), 1, nil)
			},
			do: func(t *testing.T, w world) {
				w.r.Insert(sclibtest.Card{ATR: atr, Answer: echo})
				w.b.Send()
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := sclibtest.NewReader("Test reader")
				b := &notifier{Backend: sclibtest.NewBackend(r), all: !c.some}
				sc := sclib.New(b)
				defer sc.Release()
				w := world{r, b, sc}
				states := []sclib.ReaderState{{Reader: "Test reader"}}
				if c.before != nil {
					c.before(t, w)
					synctest.Wait()
				}
				if err := sc.GetStatusChange(t.Context(), states); err != nil {
					t.Fatal(err)
				}
				states[0].CurrentState = states[0].EventState
				looks := r.Looks()
				time.AfterFunc(quiet, func() {
					if n := r.Looks() - looks; !c.some && n > 1 {
						t.Errorf("the reader was asked %d times", n)
					}
					c.do(t, w)
				})
				start := time.Now()
				if err := sc.GetStatusChange(t.Context(), states); err != nil {
					t.Fatal(err)
				}
				if waited := time.Since(start) - quiet; waited < 0 || waited > c.after {
					t.Errorf("returned after %v, want %v", waited, c.after)
				}
				if got := states[0].EventState & 0xFFFF; got != c.want|sclib.StateChanged {
					t.Errorf("got %#x, want %#x", got, c.want)
				}
			})
		})
	}
}

func TestAReaderThatDoesNotAnswerIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := sclibtest.NewReader("Test reader")
		b := &notifier{Backend: sclibtest.NewBackend(r), all: true}
		sc := sclib.New(b)
		defer sc.Release()
		r.Fail("status", sclib.ErrComm)
		states := []sclib.ReaderState{{Reader: "Test reader", CurrentState: sclib.StateUnavailable}}
		time.AfterFunc(time.Minute, func() { r.Fail("status", nil) })
		start := time.Now()
		if err := sc.GetStatusChange(t.Context(), states); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(start) - time.Minute; waited > 200*time.Millisecond {
			t.Errorf("returned after %v", waited)
		}
	})
}
