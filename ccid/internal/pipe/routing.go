package pipe

import (
	"context"
	"sync"
	"time"

	"tamaccid/ccid/internal/wait"
	"tamaccid/ccid/usb"
)

// routed holds an answer that another slot's read has received. It is used only where the reader
// works on commands of several slots at once.
//
// Nothing is copied: the slot that has read an answer and the slot that it is for exchange buffers.
type routed struct {
	mu       sync.Mutex
	expected bool
	seq      uint8
	buf      []byte
	n        int
	ready    chan struct{} // one token when buf holds an answer
	timer    *time.Timer
}

// begin makes the buffer, if there is none.
func (r *routed) begin(size int) {
	r.mu.Lock()
	if r.buf == nil {
		r.buf = make([]byte, size)
	}
	if r.ready == nil {
		r.ready = make(chan struct{}, 1)
	}
	r.mu.Unlock()
}

// end drops an answer, wipes the buffer, which may hold an earlier answer of the call, and drops
// one of more than size bytes.
func (r *routed) end(size int) {
	if r.ready == nil {
		return
	}
	r.mu.Lock()
	r.empty()
	clear(r.buf)
	if len(r.buf) > size {
		r.buf = nil
	}
	r.mu.Unlock()
}

// empty drops and wipes an answer. r.mu is held.
func (r *routed) empty() {
	clear(r.buf[:r.n])
	r.n = 0
	select {
	case <-r.ready:
	default:
	}
}

// expect has answers with the current sequence number accepted from other slots' reads.
func (s *Slot) expect() { s.setExpected(true) }

// expectNothing has all other answers dropped: they are stale.
func (s *Slot) expectNothing() { s.setExpected(false) }

func (s *Slot) setExpected(expected bool) {
	r := &s.routed
	if r.ready == nil {
		return
	}
	r.mu.Lock()
	r.empty()
	r.expected, r.seq = expected, s.seq
	r.mu.Unlock()
}

// route takes the answer in the first n bytes of from's inbound buffer. One that is not expected is
// dropped; a time extension that was not collected yet is replaced by what follows it.
func (s *Slot) route(from *Slot, n int) {
	r := &s.routed
	r.mu.Lock()
	defer r.mu.Unlock()
	h, ok := parseHeader(from.in[:n])
	if !ok || !r.expected || h.Seq != r.seq || n > s.p.largest {
		return
	}
	if h, ok := parseHeader(r.buf[:r.n]); ok && h.CommandStatus() != StatusTimeExt {
		return // already answered: one answer a command
	}
	clear(r.buf[:r.n]) // a time extension
	r.buf, from.in, r.n = from.in, r.buf, n
	select {
	case r.ready <- struct{}{}:
	default:
	}
}

// collect makes the answer the content of the slot's inbound buffer.
func (s *Slot) collect() []byte {
	r := &s.routed
	r.mu.Lock()
	n := r.n
	s.in, r.buf, r.n = r.buf, s.in, 0
	r.mu.Unlock()
	return s.in[:n]
}

// await waits for an answer from another slot's read (routed) or for the turn to read.
func (s *Slot) await(
	ctx context.Context, turn wait.Semaphore, deadline time.Time,
) (frame []byte, routed bool, err error) {
	left := time.Until(deadline)
	if left <= 0 {
		return nil, false, usb.ErrTimeout
	}
	r := &s.routed
	if r.timer == nil {
		r.timer = time.NewTimer(left)
	} else {
		r.timer.Reset(left)
	}
	defer r.timer.Stop()
	select {
	case <-r.ready:
		return s.collect(), true, nil
	case turn <- struct{}{}:
		return nil, false, nil
	case <-s.p.Done:
		return nil, false, usb.ErrGone
	case <-ctx.Done():
		return nil, false, ctx.Err()
	case <-r.timer.C:
		return nil, false, usb.ErrTimeout
	}
}
