package sclib

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// transactionWait ends a wait for another handle's transaction when the caller's context does not. A PIN entered on a reader's
// own keypad, the longest thing done inside a transaction, takes up to 90 s (policy).
const transactionWait = 2 * time.Minute

// A slot is what the handles of one Context share about one reader.
//
//	event                      what it does
//	first Connect              the backend's Connect; link says for what
//	next Connect               joins the link, renews it if the card changed or lost power, widens it from reader to card
//	reset by one handle        resets grows: every other handle gets ErrResetCard until it reconnects
//	card seen gone or swapped  removals grows: every handle that had a card gets ErrRemovedCard until it reconnects
//	reader seen gone           gone: every handle gets ErrReaderUnavailable for good
//	last Disconnect            the backend's Disconnect
type slot struct {
	context *Context
	reader  Reader
	name    string // unique within the context
	gone    atomic.Bool

	mu    sync.Mutex    // guards what follows, up to the next comment
	busy  bool          // one call at a time
	owner *Card         // whose transaction is open; set only by the call that made the slot busy
	wake  chan struct{} // closed when busy or owner ends; nil when nobody waits
	view  view          // what was last seen, for those that must not wait

	// What follows belongs to the call that made the slot busy.
	link     link
	active   Protocol // of a linkCard
	lost     bool     // the card of a linkCard has lost power
	depth    int      // nested transactions of owner
	resets   uint32
	removals uint32
	cards    map[*Card]struct{}
	scratch  []byte // answers; wiped after use
}

// A link is what the backend's reader is connected for.
type link uint8

const (
	linkNone link = iota
	linkDirect
	linkCard
)

// A view is what was last seen of a slot.
type view struct {
	known     bool // something was seen
	present   bool // a card, when the reader last said
	state     CardState
	atr       [MaxATR]byte
	atrLength int
	events    uint16 // insertions and removals seen; wraps
	handles   int
	exclusive bool
}

func (v *view) ATR() []byte { return append([]byte(nil), v.atr[:v.atrLength]...) }

// acquire makes the slot busy. With patient, it first waits for a transaction of another handle than card to end.
func (s *slot) acquire(ctx context.Context, card *Card, patient bool) error {
	var limit <-chan time.Time
	for {
		s.mu.Lock()
		if !s.busy && (!patient || s.owner == nil || s.owner == card) {
			s.busy = true
			s.mu.Unlock()
			return nil
		}
		if s.wake == nil {
			s.wake = make(chan struct{})
		}
		wake := s.wake
		s.mu.Unlock()
		if limit == nil {
			timer := time.NewTimer(transactionWait)
			defer timer.Stop()
			limit = timer.C
		}
		select {
		case <-wake:
		case <-limit:
			return ErrSharing
		case <-ctx.Done():
			return withCode(ctx.Err())
		case <-s.context.released.Done():
			return ErrServiceStopped
		}
	}
}

// tryAcquire makes the slot busy if it is not, whoever's transaction is open.
func (s *slot) tryAcquire() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy {
		return false
	}
	s.busy = true
	return true
}

func (s *slot) release() {
	s.mu.Lock()
	s.busy = false
	s.wakeAll()
	s.mu.Unlock()
}

// setOwner opens or, with nil, ends a transaction.
func (s *slot) setOwner(card *Card) {
	s.mu.Lock()
	s.owner = card
	s.wakeAll()
	s.mu.Unlock()
}

func (s *slot) wakeAll() {
	if s.wake != nil {
		close(s.wake)
		s.wake = nil
	}
}

// seen gives what was last seen.
func (s *slot) seen() view {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view
}

// status asks the reader and takes note of a card that came, went or was swapped.
func (s *slot) status(ctx context.Context) (ReaderStatus, error) {
	st, err := s.reader.Status(ctx)
	if err != nil {
		return ReaderStatus{}, s.fault(err)
	}
	if len(st.ATR) > MaxATR {
		st.ATR = st.ATR[:MaxATR]
	}
	s.observe(st.State, st.ATR)
	return st, nil
}

// observe compares a state with the last one.
func (s *slot) observe(state CardState, atr []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, is := s.view.present, state&CardPresent != 0
	// A reader that does not say (CardUnknown) tells nothing about the card.
	if state == CardUnknown {
		is = was
	}
	swapped := was && is && len(atr) > 0 && s.view.atrLength > 0 && !bytes.Equal(atr, s.view.atr[:s.view.atrLength])
	if s.view.known && was != is {
		s.view.events++
	}
	if swapped {
		s.view.events += 2 // one removal, one insertion
	}
	if swapped || was && !is {
		s.removals++
	}
	if s.link == linkCard && is && state&CardPowered == 0 && state != CardUnknown {
		s.lost = true
	}
	s.view.known, s.view.present, s.view.state = true, is, state
	if !is {
		s.view.atrLength = 0
	} else if len(atr) > 0 {
		s.view.atrLength = copy(s.view.atr[:], atr)
	}
}

// fault draws the conclusions from an error of the reader, and returns it.
func (s *slot) fault(err error) error {
	switch code(err) {
	case ErrReaderUnavailable:
		s.gone.Store(true)
	case ErrNoCard, ErrRemovedCard:
		s.observe(CardAbsent, nil)
	case ErrResetCard:
		s.resets++
	case ErrUnpoweredCard:
		s.lost = true
	}
	return err
}

// connect makes the link fit for a handle that wants mode and protocols.
func (s *slot) connect(ctx context.Context, mode ShareMode, protocols Protocol, reset Disposition) error {
	active, err := s.reader.Connect(ctx, mode, protocols, reset)
	if err != nil {
		if s.link != linkNone {
			s.resets++ // the handles that shared the link have to reconnect
		}
		s.link = linkNone
		return s.fault(err)
	}
	if mode == ShareDirect {
		s.link, s.active, s.lost = linkDirect, ProtocolUndefined, false
		return nil
	}
	if reset != LeaveCard || s.lost || s.link == linkCard && s.active != active {
		s.resets++
	}
	s.link, s.active, s.lost = linkCard, active, false
	s.observe(CardPresent|CardPowered|CardSpecific, nil)
	return nil
}

// join connects, or shares the link that other handles have.
func (s *slot) join(ctx context.Context, mode ShareMode, preferred Protocol) error {
	if s.link == linkNone {
		return s.connect(ctx, mode, preferred, LeaveCard)
	}
	if mode == ShareDirect {
		return nil
	}
	if s.link == linkCard {
		removals := s.removals
		if _, err := s.status(ctx); err != nil {
			return err
		}
		if removals == s.removals && !s.lost {
			if s.active&preferred == 0 {
				return ErrProtocolMismatch
			}
			return nil
		}
	}
	return s.connect(ctx, mode, preferred, LeaveCard)
}

// shareable says whether a handle may join those that are there, leaving out except.
func (s *slot) shareable(mode ShareMode, except *Card) error {
	for card := range s.cards {
		if card != except && (mode == ShareExclusive || card.mode == ShareExclusive) {
			return ErrSharing
		}
	}
	return nil
}

// count brings the number of handles into the view.
func (s *slot) count() {
	exclusive := false
	for card := range s.cards {
		exclusive = exclusive || card.mode == ShareExclusive
	}
	s.mu.Lock()
	s.view.handles, s.view.exclusive = len(s.cards), exclusive
	s.mu.Unlock()
}

// dispose does to the card what disposition says, while the link stays.
func (s *slot) dispose(ctx context.Context, disposition Disposition) error {
	switch disposition {
	case LeaveCard:
		return nil
	case ResetCard, UnpowerCard:
		if s.link != linkCard {
			return nil // no card is in use
		}
		return s.connect(ctx, s.linkMode(), s.active, disposition)
	case EjectCard:
		return ErrUnsupportedFeature // others still use the card
	}
	return ErrInvalidValue
}

// linkMode is the share mode under which the handles that are there hold the reader.
func (s *slot) linkMode() ShareMode {
	for card := range s.cards {
		if card.mode == ShareExclusive {
			return ShareExclusive
		}
	}
	return ShareShared
}

// unlink gives the reader back.
func (s *slot) unlink(ctx context.Context, disposition Disposition) error {
	err := s.reader.Disconnect(ctx, disposition)
	if err != nil && disposition == EjectCard {
		// A refused eject leaves the reader connected.
		err = errors.Join(err, s.reader.Disconnect(ctx, LeaveCard))
	}
	s.link, s.active, s.lost = linkNone, ProtocolUndefined, false
	if err != nil {
		return s.fault(err)
	}
	return nil
}

// answer runs one exchange with the slot's own buffer and returns a copy of what came.
func (s *slot) answer(size int, exchange func(out []byte) (int, error)) ([]byte, error) {
	if len(s.scratch) < size {
		s.scratch = make([]byte, size)
	}
	out, used := s.scratch[:size], size // all of it, where no length tells
	defer func() { clear(out[:used]) }()
	n, err := exchange(out)
	if err == nil && (n < 0 || n > len(out)) {
		err = fmt.Errorf("%w: the backend gave a length of %d", ErrInternal, n)
	}
	if err != nil {
		return nil, s.fault(err)
	}
	used = n
	return append(make([]byte, 0, n), out[:n]...), nil
}
