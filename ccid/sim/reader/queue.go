package reader

import (
	"time"

	"tamaccid/ccid/usb"
)

// queue is the queue of an IN endpoint. A chunk is one message of the device. It is one transfer,
// or several if the host requests less.
//
//	head of the queue    | answer to IN
//	none, or not due     | NAK
//	data                 | data; a short packet or a full buffer ends the transfer
//	end of data, last    | a zero-length packet, or with OmitZLP the next chunk
//	packet was full      |
//	error                | the error; STALL until the halt is cleared
type queue struct {
	function int
	chunks   []chunk
	free     [][]byte
	wake     chan struct{} // has one token after a change
	packet   int
	omit     bool // no zero-length packets
	halted   bool
}

// chunk is one message, or an error.
type chunk struct {
	data  []byte
	pos   int
	due   time.Time // zero means at once
	err   error     // instead of data
	slot  uint8
	moved bool // a part was read
}

// newQueue returns a queue of a function for a packet size.
func newQueue(function, packet int, omit bool) *queue {
	return &queue{function: function, wake: make(chan struct{}, 1), packet: packet, omit: omit}
}

// signal reports a change.
func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// buffer returns a slice for the data of a chunk, or nil.
func (q *queue) buffer() []byte {
	if n := len(q.free); n > 0 {
		b := q.free[n-1]
		q.free = q.free[:n-1]
		return b[:0]
	}
	return nil
}

// push inserts a chunk after all that are due no later, and never before one that was partly read.
func (q *queue) push(c chunk) {
	i := len(q.chunks)
	for i > 0 && q.chunks[i-1].due.After(c.due) && !q.chunks[i-1].moved {
		i--
	}
	q.chunks = append(q.chunks, chunk{})
	copy(q.chunks[i+1:], q.chunks[i:])
	q.chunks[i] = c
	q.signal()
}

// pop removes the first chunk.
func (q *queue) pop() {
	if b := q.chunks[0].data; b != nil && len(q.free) < 8 {
		q.free = append(q.free, b)
	}
	n := copy(q.chunks, q.chunks[1:])
	q.chunks[n] = chunk{}
	q.chunks = q.chunks[:n]
}

// drop removes the chunks of a slot that were not partly read.
func (q *queue) drop(slot uint8) {
	kept := q.chunks[:0]
	for _, c := range q.chunks {
		if c.slot != slot || c.moved {
			kept = append(kept, c)
		}
	}
	clear(q.chunks[len(kept):])
	q.chunks = kept
}

// reset removes all chunks and ends the halt.
func (q *queue) reset() {
	clear(q.chunks)
	q.chunks, q.halted = q.chunks[:0], false
	q.signal()
}

// take copies due data into buf, from n. done reports the end of the transfer. Otherwise wait is
// the time until the next chunk is due, negative if there is none.
func (q *queue) take(buf []byte, n int) (total int, done bool, wait time.Duration, err error) {
	if q.halted {
		return n, true, 0, usb.ErrStall
	}
	for len(q.chunks) > 0 {
		c := &q.chunks[0]
		if !c.due.IsZero() {
			if wait := time.Until(c.due); wait > 0 {
				return n, false, wait, nil
			}
		}
		if c.err != nil {
			err := c.err
			q.halted = err == usb.ErrStall
			q.pop()
			return n, true, 0, err
		}
		k := copy(buf[n:], c.data[c.pos:])
		c.pos += k
		c.moved = true
		n += k
		switch {
		case c.pos < len(c.data):
			return n, true, 0, nil // buffer full
		case len(c.data)%q.packet != 0 || len(c.data) == 0:
			q.pop()
			return n, true, 0, nil
		case !q.omit && n < len(buf):
			q.pop()
			return n, true, 0, nil // the zero-length packet ends this transfer
		case !q.omit && k > 0:
			return n, true, 0, nil // the empty chunk is the zero-length packet of the next transfer
		case !q.omit:
			q.pop()
			return n, true, 0, nil
		}
		q.pop()
		if n == len(buf) {
			return n, true, 0, nil
		}
	}
	return n, false, -1, nil
}
