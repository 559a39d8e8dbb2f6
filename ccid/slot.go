package ccid

import (
	"context"
	"fmt"
	"sync"

	"tamaccid/ccid/atr"
	"tamaccid/ccid/internal/pipe"
	"tamaccid/ccid/internal/wait"
	"tamaccid/ccid/t0"
	"tamaccid/ccid/t1"
)

// A Slot is one place for a card. Its calls run one after the other; calls on different slots of a
// reader run at once up to bMaxCCIDBusySlots.
type Slot struct {
	r     *Reader
	index uint8
	name  string

	// lock is held for a whole call, and covers what follows up to mu.
	lock   wait.Semaphore
	pipe   *pipe.Slot
	info   atr.Info
	line   atr.Line
	power  Voltage // the one that the card was powered with
	params parameters
	t1     *t1.Engine
	t0     *t0.Machine
	// assembled holds an answer that comes in several messages, at character level.
	assembled []byte

	// mu covers what notifications change at any time, and atr.
	mu      sync.Mutex
	card    cardState
	changed chan struct{} // closed at the next change
	atr     atr.ATR       // of the card of the session
}

func newSlot(r *Reader, index uint8) *Slot {
	s := &Slot{
		r: r, index: index, name: r.name, lock: wait.NewSemaphore(1), pipe: r.pipe.Slot(int(index)),
		changed: make(chan struct{}),
	}
	s.card.report.done = make(chan struct{})
	if r.level == LevelCharacter {
		s.assembled = make([]byte, t1.MaxBlock)
	}
	if index > 0 {
		s.name = fmt.Sprintf("%s, %d", r.name, index)
	}
	return s
}

// Name is the reader's name, followed by ", <slot>" for slots other than the first.
func (s *Slot) Name() string { return s.name }

// Index is the slot's number, bSlot.
func (s *Slot) Index() int { return int(s.index) }

// Reader is the reader that the slot belongs to.
func (s *Slot) Reader() *Reader { return s.r }

// enter begins a call: the slot is the caller's until leave.
func (s *Slot) enter(ctx context.Context) error {
	if err := s.r.lost(); err != nil {
		return err
	}
	if err := s.lock.Acquire(ctx); err != nil {
		return err
	}
	s.pipe.Begin()
	return nil
}

// leave ends a call. It is deferred, so that nothing of the call stays in memory when it ends by a
// panic.
func (s *Slot) leave() {
	s.wipeProtocols()
	s.pipe.End()
	s.lock.Release()
}

// wipeProtocols clears what the protocols have left of commands and answers.
func (s *Slot) wipeProtocols() {
	clear(s.assembled)
	if s.t0 != nil {
		s.t0.Wipe()
	}
	if s.t1 != nil {
		s.t1.Wipe()
	}
}

// Wipe clears every buffer in which a command or an answer may lie, while a call may be in progress
// that will never go on. It allocates nothing, takes no lock and needs no goroutine: it is for the
// end of a program by a fatal error. Nothing of the reader may be called afterwards.
func (s *Slot) Wipe() {
	s.wipeProtocols()
	s.pipe.Wipe()
}
