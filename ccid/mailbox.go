package ccid

import (
	"context"
	"sync"
	"time"

	"tamaccid/ccid/usb"
)

// mailbox takes an answer that another slot's turn at the pipe has read. It is used only by readers that work on several
// slots at once.
type mailbox struct {
	mu    sync.Mutex
	open  bool
	seq   uint8
	buf   []byte
	kept  []byte // what stays of buf between calls
	n     int
	ready chan struct{} // one token when buf holds an answer
	timer *time.Timer
}

// expect opens the slot's mailbox for the current sequence number and empties it.
func (s *Slot) expect() {
	if s.box.ready == nil {
		return
	}
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	s.box.empty()
	s.box.open, s.box.seq = true, s.seq
}

// expectNothing closes and empties the mailbox: what comes is stale.
func (s *Slot) expectNothing() {
	if s.box.ready == nil {
		return
	}
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	s.box.empty()
	s.box.open = false
}

// empty drops and wipes what is in the mailbox. b.mu is held.
func (b *mailbox) empty() {
	clear(b.buf[:b.n])
	b.n = 0
	select {
	case <-b.ready:
	default:
	}
}

// deliver puts another slot's answer into its mailbox. An answer that is not waited for is dropped; a time extension that was
// not collected yet is replaced by what follows it.
func (s *Slot) deliver(seq uint8, frame []byte) {
	b := &s.box
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open || seq != b.seq || len(frame) > s.r.largest() {
		return
	}
	if h, ok := parseHeader(b.buf[:b.n]); ok && h.cmd() != cmdStatusTimeExt {
		return // already answered: one answer a command
	}
	b.buf = grown(b.buf, len(frame))
	clear(b.buf[:b.n]) // a time extension
	b.n = copy(b.buf, frame)
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// collect moves the mailbox's content into the slot's buffer.
func (s *Slot) collect() []byte {
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	s.in = grown(s.in, s.r.packets(s.box.n))
	n := copy(s.in, s.box.buf[:s.box.n])
	clear(s.box.buf[:s.box.n])
	s.box.n = 0
	return s.in[:n]
}

// shrink drops what the call has added to the buffer.
func (b *mailbox) shrink() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.empty()
	b.buf = b.kept
}

// await waits for an answer in the mailbox (mine) or for the turn to read.
func (s *Slot) await(ctx context.Context, turn gate, deadline time.Time) (frame []byte, mine bool, err error) {
	left := time.Until(deadline)
	if left <= 0 {
		return nil, false, usb.ErrTimeout
	}
	if s.box.timer == nil {
		s.box.timer = time.NewTimer(left)
	} else {
		s.box.timer.Reset(left)
	}
	defer s.box.timer.Stop()
	select {
	case <-s.box.ready:
		return s.collect(), true, nil
	case turn <- struct{}{}:
		return nil, false, nil
	case <-s.r.done:
		return nil, false, usb.ErrGone
	case <-ctx.Done():
		return nil, false, ctx.Err()
	case <-s.box.timer.C:
		return nil, false, usb.ErrTimeout
	}
}
