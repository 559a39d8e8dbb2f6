package sclib

import (
	"context"
	"time"
)

// StateFlags is a set of bits with which GetStatusChange describes a reader (SCARD_STATE_* of PC/SC part 5).
// The upper 16 bits count the insertions and removals that were seen.
type StateFlags uint32

const (
	StateUnaware     StateFlags = 0x0000 // SCARD_STATE_UNAWARE: the caller knows nothing, tell at once
	StateIgnore      StateFlags = 0x0001 // SCARD_STATE_IGNORE: leave this reader out
	StateChanged     StateFlags = 0x0002 // SCARD_STATE_CHANGED: something differs from CurrentState
	StateUnknown     StateFlags = 0x0004 // SCARD_STATE_UNKNOWN: there is no such reader
	StateUnavailable StateFlags = 0x0008 // SCARD_STATE_UNAVAILABLE: the reader cannot say
	StateEmpty       StateFlags = 0x0010 // SCARD_STATE_EMPTY
	StatePresent     StateFlags = 0x0020 // SCARD_STATE_PRESENT
	StateExclusive   StateFlags = 0x0080 // SCARD_STATE_EXCLUSIVE: one handle of this context alone
	StateInUse       StateFlags = 0x0100 // SCARD_STATE_INUSE: shared handles of this context

	stateFlags StateFlags = 0xFFFF
	stateCount            = 16 // where the counter starts
)

// PnPNotification is a reader name for GetStatusChange that stands for the list of readers itself.
const PnPNotification = `\\?PnP?\Notification`

// A ReaderState is what a caller knows of a reader and what GetStatusChange tells (SCARD_READERSTATE).
type ReaderState struct {
	Reader       string
	CurrentState StateFlags // what the caller knows: StateUnaware, or an earlier EventState
	EventState   StateFlags // what is now
	ATR          []byte     // of a card that is present and was powered, as far as known
}

// pollInterval is how often a backend is asked that cannot tell of changes itself. It is what a user who inserts a card does not
// notice (policy).
const pollInterval = 200 * time.Millisecond

// useInterval is how often a backend that can tell is asked nevertheless: handles of this context come and go without it (policy).
const useInterval = time.Second

// GetStatusChange waits until what one of the states says in CurrentState is no longer so, and fills in EventState and ATR of all
// (SCardGetStatusChange). It returns at once if that is so already. ErrTimeout or ErrCanceled say that ctx ended first. A program
// that follows events copies EventState to CurrentState and calls again.
func (c *Context) GetStatusChange(ctx context.Context, states []ReaderState) error {
	if err := c.enter(ctx); err != nil {
		return err
	}
	defer c.leave()
	if len(states) == 0 {
		return ErrInvalidParameter
	}
	var start uint16 // reader events at the first look
	for look := 0; ; look++ {
		slots, err := c.list(ctx)
		if err != nil {
			return err
		}
		events := c.eventsOfReaders()
		if look == 0 {
			start = events
		}
		changed := false
		for i := range states {
			state := &states[i]
			switch {
			case state.CurrentState&StateIgnore != 0:
				state.EventState, state.ATR = StateIgnore, nil
				continue
			case state.Reader == PnPNotification:
				since := uint16(state.CurrentState >> stateCount)
				if state.CurrentState == StateUnaware {
					since = start
				}
				state.EventState, state.ATR = StateFlags(events)<<stateCount, nil
				if events != since {
					state.EventState |= StateChanged
				}
			default:
				state.look(ctx, find(slots, state.Reader))
			}
			changed = changed || state.EventState&StateChanged != 0
		}
		if changed {
			return nil
		}
		if err := c.wait(ctx); err != nil {
			return err
		}
	}
}

// look fills in what is now.
func (r *ReaderState) look(ctx context.Context, s *slot) {
	r.ATR = nil
	now := StateUnknown
	var v view
	if s != nil {
		if s.tryAcquire() {
			_, err := s.status(ctx) // a reader that cannot say is told apart below
			v = s.seen()
			if err != nil {
				v.state = CardUnknown
			}
			s.release()
		} else {
			v = s.seen() // busy with an exchange, thus as it was
		}
		switch {
		case v.state&CardPresent != 0:
			now = StatePresent
			r.ATR = v.ATR()
		case v.state&CardAbsent != 0:
			now = StateEmpty
		default:
			now = StateUnavailable
		}
		switch {
		case v.exclusive:
			now |= StateExclusive
		case v.handles > 0:
			now |= StateInUse
		}
	}
	const compared = stateFlags &^ StateChanged
	count := uint16(r.CurrentState >> stateCount)
	changed := r.CurrentState == StateUnaware || r.CurrentState&compared != now || count != 0 && count != v.events
	r.EventState = now | StateFlags(v.events)<<stateCount
	if changed {
		r.EventState |= StateChanged
	}
}

func (c *Context) eventsOfReaders() uint16 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.readerEvents
}

// wait waits until it makes sense to look again.
func (c *Context) wait(ctx context.Context) error {
	waiter, ok := c.backend.(Waiter)
	interval := pollInterval
	if ok {
		interval = useInterval
	}
	round, cancel := context.WithTimeout(ctx, interval)
	defer cancel()
	stop := context.AfterFunc(c.released, cancel)
	defer stop()
	if ok {
		if err := waiter.Wait(round); err != nil && round.Err() == nil {
			return withCode(err)
		}
	} else {
		<-round.Done()
	}
	switch {
	case c.released.Err() != nil:
		return ErrServiceStopped
	case ctx.Err() != nil:
		return withCode(ctx.Err())
	}
	return nil
}
