package sclib

import (
	"bytes"
	"context"
	"slices"
	"time"
)

// StateFlags is a set of bits with which GetStatusChange describes a reader (SCARD_STATE_* of
// PC/SC part 5, with the values of winscard.h). The upper 16 bits count the insertions and removals
// that were seen.
type StateFlags uint32

// The bits of StateFlags. The bits of what Card.Status reports are those of CardState.
const (
	StateUnaware     StateFlags = 0x0000 // SCARD_STATE_UNAWARE: return the present state at once
	StateIgnore      StateFlags = 0x0001 // SCARD_STATE_IGNORE: skip this reader
	StateChanged     StateFlags = 0x0002 // SCARD_STATE_CHANGED: something differs from CurrentState
	StateUnknown     StateFlags = 0x0004 // SCARD_STATE_UNKNOWN: no reader has this name
	StateUnavailable StateFlags = 0x0008 // SCARD_STATE_UNAVAILABLE: the reader reports no state
	StateEmpty       StateFlags = 0x0010 // SCARD_STATE_EMPTY
	StatePresent     StateFlags = 0x0020 // SCARD_STATE_PRESENT
	StateATRMatch    StateFlags = 0x0040 // SCARD_STATE_ATRMATCH: the ATR is one of TargetATRs
	StateExclusive   StateFlags = 0x0080 // SCARD_STATE_EXCLUSIVE: by a handle of this context
	StateInUse       StateFlags = 0x0100 // SCARD_STATE_INUSE: by handles of this context
	StateMute        StateFlags = 0x0200 // SCARD_STATE_MUTE: the card did not answer to a reset
	StateUnpowered   StateFlags = 0x0400 // SCARD_STATE_UNPOWERED: without power, and not mute

	stateFlags StateFlags = 0xFFFF
	stateCount            = 16 // the lowest bit of the counter
)

// PnPNotification is a reader name for GetStatusChange that stands for the list of readers itself
// (pcsc-lite, SCardGetStatusChange).
const PnPNotification = `\\?PnP?\Notification`

// A ReaderState is the argument and the result of GetStatusChange for one reader
// (SCARD_READERSTATE).
type ReaderState struct {
	// Reader is a name from ListReaders, or PnPNotification.
	Reader string
	// CurrentState is the state that the caller assumes: StateUnaware, or an earlier EventState.
	CurrentState StateFlags
	// TargetATRs are the ATRs of the cards that the caller looks for. StateATRMatch is set in
	// EventState if the card's ATR is one of them. A card gets power, and its ATR becomes known,
	// when a handle connects to it, unless the reader or the backend powers cards on insertion.
	TargetATRs [][]byte
	// EventState is the present state.
	EventState StateFlags
	// ATR is the answer to reset of the card that is present. It is empty if it is not known.
	ATR []byte
}

// pollInterval is how often readers are asked whose changes the backend does not report, or that
// have not answered (policy: a user who inserts a card does not notice it).
const pollInterval = 200 * time.Millisecond

// GetStatusChange waits until the state of a reader differs from its CurrentState, and
// fills in EventState and ATR of all readers (SCardGetStatusChange). It returns at once if a state
// differs already. It returns ErrTimeout or ErrCanceled if ctx ends first. A program that follows
// events copies EventState to CurrentState and calls again. A change that the backend reports
// ([Notifier]) is returned at once, a change of other readers within 200 ms.
func (c *Context) GetStatusChange(ctx context.Context, states []ReaderState) error {
	if err := c.enter(ctx); err != nil {
		return err
	}
	defer c.leave()
	if len(states) == 0 {
		return ErrInvalidParameter
	}
	notifier, _ := c.backend.(Notifier)
	var start uint16 // reader events at the first look
	for look := 0; ; look++ {
		// A change from here on ends the wait below.
		own, all := c.changes.Next(), false
		var reported <-chan struct{}
		if notifier != nil {
			reported, all = notifier.Changed()
		}
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
				again := state.look(ctx, find(slots, state.Reader))
				all = all && !again
			}
			changed = changed || state.EventState&StateChanged != 0
			all = all && state.EventState&StateUnavailable == 0
		}
		if changed {
			return nil
		}
		if err := c.wait(ctx, own, reported, !all); err != nil {
			return err
		}
	}
}

// look fills in EventState and ATR from the present state of a slot, which is nil if there is none.
// It reports whether it has to be called again though no change is reported: the slot was busy.
func (r *ReaderState) look(ctx context.Context, s *slot) (again bool) {
	r.ATR = nil
	now := StateUnknown
	var v view
	if s != nil {
		if ok, notified := s.tryLook(); ok {
			_, err := s.status(ctx) // an error becomes StateUnavailable below
			v = s.seen()
			if err != nil {
				v.state = CardUnknown
			}
			s.release()
		} else {
			v, again = s.seen(), !notified // a call is in progress: the state is that before it
		}
		switch {
		case v.state&CardPresent != 0:
			now = StatePresent
			switch {
			case v.mute:
				now |= StateMute
			case v.state&(CardPowered|CardNegotiable|CardSpecific) == 0:
				now |= StateUnpowered
			}
			r.ATR = v.ATR()
			isTarget := func(atr []byte) bool { return bytes.Equal(atr, r.ATR) }
			if len(r.ATR) > 0 && slices.ContainsFunc(r.TargetATRs, isTarget) {
				now |= StateATRMatch
			}
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
	changed := r.CurrentState == StateUnaware || r.CurrentState&compared != now ||
		count != 0 && count != v.events
	r.EventState = now | StateFlags(v.events)<<stateCount
	if changed {
		r.EventState |= StateChanged
	}
	return again
}

func (c *Context) eventsOfReaders() uint16 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.readerEvents
}

// wait waits for a change that this context or the backend reports, or with poll until the readers
// are to be asked again.
func (c *Context) wait(ctx context.Context, own, reported <-chan struct{}, poll bool) error {
	var due <-chan time.Time
	if poll {
		timer := time.NewTimer(pollInterval)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-own:
	case <-reported:
	case <-due:
	case <-ctx.Done():
	case <-c.released.Done():
	}
	switch {
	case c.released.Err() != nil:
		return ErrServiceStopped
	case ctx.Err() != nil:
		return withCode(ctx.Err())
	}
	return nil
}
