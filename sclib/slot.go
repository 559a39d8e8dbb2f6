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

// transactionWait bounds the wait for another handle's transaction if the caller's context does
// not. The longest command inside a transaction is a PIN entry on a reader's keypad: up to 90 s
// (policy).
const transactionWait = 2 * time.Minute

// A slot is the state of one reader that the handles of a Context share.
//
//	event                      effect
//	first Connect              the backend's Connect; link records the purpose
//	next Connect               shares the link; connects again if the card changed or lost power,
//	                           or if the link is to the reader alone
//	reset by one handle        resets grows: other handles get ErrResetCard until they reconnect
//	card removed or replaced   removals grows: handles to the card get ErrRemovedCard until they
//	                           reconnect
//	reader unplugged           gone is set: all handles get ErrReaderUnavailable from then on
//	last Disconnect            the backend's Disconnect
type slot struct {
	context *Context
	reader  Reader
	name    string // unique within the context
	gone    atomic.Bool

	mu     sync.Mutex    // guards busy, looks, late, missed, owner, wake and view
	busy   bool          // a call uses the reader
	looks  bool          // that call is a look of GetStatusChange
	late   bool          // GetStatusChange looks again at the end of that call
	missed time.Time     // when late was last set because of a look that was not possible
	owner  *Card         // the handle with a transaction; set only while the slot is busy
	wake   chan struct{} // closed when busy or owner is cleared; nil if no call waits
	view   view          // the last observation, for calls that do not wait for the slot

	// The fields below belong to the call that made the slot busy.
	link     link
	active   Protocol // the card's protocol, with linkCard
	lost     bool     // the card has lost power, with linkCard
	depth    int      // nested transactions of owner
	resets   uint32
	removals uint32
	cards    map[*Card]struct{}
	room     []byte // for answers, unused so far
}

// A link is the purpose for which the backend's reader is connected.
type link uint8

const (
	linkNone link = iota
	linkDirect
	linkCard
)

// A view is the last observation of a slot.
type view struct {
	known     bool // the reader was observed
	present   bool // a card was present when the reader last reported a state
	mute      bool // the card did not answer to its last reset
	state     CardState
	atr       [MaxATR]byte
	atrLength int
	events    uint16 // observed insertions and removals; wraps
	handles   int
	exclusive bool
}

func (v *view) ATR() []byte { return append([]byte(nil), v.atr[:v.atrLength]...) }

// acquire waits until the slot is free and makes it busy. With queue, it also waits for the end of
// another handle's transaction.
func (s *slot) acquire(ctx context.Context, card *Card, queue bool) error {
	var limit <-chan time.Time
	for {
		s.mu.Lock()
		if !s.busy && (!queue || s.owner == nil || s.owner == card) {
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

// tryLook makes the slot busy for a look of GetStatusChange and reports ok, unless it is busy
// already. Transactions do not count. GetStatusChange looks again at the end of the call that kept
// it from looking, if notified, and has to look again by itself otherwise: after a call that is itself
// a look, and where calls follow each other so fast that it would look after each of them.
func (s *slot) tryLook() (ok, notified bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.busy {
		s.busy, s.looks = true, true
		return true, false
	}
	if now := time.Now(); !s.late && !s.looks && now.Sub(s.missed) >= pollInterval {
		s.late, s.missed = true, now
	}
	return false, s.late
}

func (s *slot) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.late {
		s.context.changes.Send()
	}
	s.busy, s.looks, s.late = false, false, false
	s.wakeAll()
}

// setOwner opens a transaction of card or, with nil, ends the transaction.
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

// seen returns the last observation.
func (s *slot) seen() view {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view
}

// status reads the reader's status and records an insertion, removal or replacement of the card.
func (s *slot) status(ctx context.Context) (ReaderStatus, error) {
	st, err := s.reader.Status(ctx)
	if err != nil {
		return ReaderStatus{}, s.fault(err)
	}
	if len(st.ATR) > MaxATR {
		st.ATR = st.ATR[:MaxATR]
	}
	s.observe(st)
	return st, nil
}

// observe compares a status with the last one, and updates the view.
func (s *slot) observe(st ReaderStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.compare(s.view)
	state, atr := st.State, st.ATR
	was, is := s.view.present, state&CardPresent != 0
	if state == CardUnknown { // no information about the card
		is = was
	}
	swapped := was && is && (st.Replaced || len(atr) > 0 && s.view.atrLength > 0 &&
		!bytes.Equal(atr, s.view.atr[:s.view.atrLength]))
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
	answered := state&CardSpecific != 0 || state&CardPowered != 0 && len(atr) > 0
	s.view.mute = st.Mute || s.view.mute && is && !swapped && !answered
	s.view.known, s.view.present, s.view.state = true, is, state
	if !is || swapped || len(atr) > 0 {
		s.view.atrLength = copy(s.view.atr[:], atr)
	}
}

// fault updates the slot after an error of the reader, which it returns.
func (s *slot) fault(err error) error {
	switch code(err) {
	case ErrReaderUnavailable:
		s.gone.Store(true)
	case ErrNoCard, ErrRemovedCard:
		s.observe(ReaderStatus{State: CardAbsent})
	case ErrResetCard:
		s.resets++
	case ErrUnpoweredCard:
		s.lost = true
	}
	return err
}

// resetFault is fault after a call that resets the card.
func (s *slot) resetFault(err error) error {
	if code(err) == ErrUnresponsiveCard {
		s.mu.Lock()
		defer s.mu.Unlock()
		defer s.compare(s.view)
		s.view.mute = true
		return err
	}
	return s.fault(err)
}

// connect makes or changes the link as a handle with mode and protocols needs it.
func (s *slot) connect(
	ctx context.Context, mode ShareMode, protocols Protocol, reset Disposition,
) error {
	active, err := s.reader.Connect(ctx, mode, protocols, reset)
	if err != nil {
		if s.link != linkNone {
			s.resets++ // the handles that shared the link have to reconnect
		}
		s.link = linkNone
		return s.resetFault(err)
	}
	if mode == ShareDirect {
		s.link, s.active, s.lost = linkDirect, ProtocolUndefined, false
		return nil
	}
	if reset != LeaveCard || s.lost || s.link == linkCard && s.active != active {
		s.resets++
	}
	s.link, s.active, s.lost = linkCard, active, false
	s.observe(ReaderStatus{State: CardPresent | CardPowered | CardSpecific})
	return nil
}

// join makes a link, or shares the link of other handles.
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

// shareable returns ErrSharing if a handle with mode conflicts with a handle other than except.
func (s *slot) shareable(mode ShareMode, except *Card) error {
	for card := range s.cards {
		if card != except && (mode == ShareExclusive || card.mode == ShareExclusive) {
			return ErrSharing
		}
	}
	return nil
}

// count updates the number of handles in the view.
func (s *slot) count() {
	exclusive := false
	for card := range s.cards {
		exclusive = exclusive || card.mode == ShareExclusive
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.compare(s.view)
	s.view.handles, s.view.exclusive = len(s.cards), exclusive
}

// compare makes GetStatusChange look again at the end of the call if the view differs from before.
// It does not look earlier: Connect powers the card before it adds the handle. The caller holds mu.
func (s *slot) compare(before view) { s.late = s.late || s.view != before }

// dispose applies a disposition to the card. The link stays.
func (s *slot) dispose(ctx context.Context, disposition Disposition) error {
	switch disposition {
	case LeaveCard:
		return nil
	case ResetCard, UnpowerCard:
		if s.link != linkCard {
			return nil // no handle uses the card
		}
		return s.connect(ctx, s.linkMode(), s.active, disposition)
	case EjectCard:
		return ErrUnsupportedFeature // other handles use the card
	}
	return ErrInvalidValue
}

// linkMode returns the share mode in which the handles have the reader.
func (s *slot) linkMode() ShareMode {
	for card := range s.cards {
		if card.mode == ShareExclusive {
			return ShareExclusive
		}
	}
	return ShareShared
}

// unlink ends the backend's connection.
func (s *slot) unlink(ctx context.Context, disposition Disposition) error {
	err := s.reader.Disconnect(ctx, disposition)
	if err != nil && disposition == EjectCard {
		// After a refused eject the reader is still connected.
		err = errors.Join(err, s.reader.Disconnect(ctx, LeaveCard))
	}
	s.link, s.active, s.lost = linkNone, ProtocolUndefined, false
	if err != nil {
		return s.resetFault(err)
	}
	return nil
}

// answersRoom is the size of the memory from which answers are cut: two of the longest (policy). So
// much stays in memory for as long as the program keeps one of these answers.
const answersRoom = 2 * MaxResponse

// answer runs one exchange, which writes at most size bytes, and returns the answer: a piece of the
// slot's room, which belongs to the caller from then on. So an answer is not copied, and takes no
// more memory than it has bytes, though its length is not known before.
func (s *slot) answer(size int, exchange func(out []byte) (int, error)) ([]byte, error) {
	if len(s.room) < size {
		s.room = make([]byte, max(size, answersRoom))
	}
	out := s.room[:size]
	failed := true
	defer func() {
		if failed {
			clear(out) // all of it: no length shows what was written
		}
	}()
	n, err := exchange(out)
	if err == nil && (n < 0 || n > len(out)) {
		err = fmt.Errorf("%w: the backend gave a length of %d", ErrInternal, n)
	}
	if err != nil {
		return nil, s.fault(err)
	}
	failed = false
	s.room = s.room[n:]
	return out[:n:n], nil
}
