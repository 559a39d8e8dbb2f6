package reader

import (
	"time"

	"tamaccid/ccid/usb"
)

// An IN endpoint's queue. A chunk is what the device sends as one message; it becomes a transfer, or several when the host
// asks for less.
//
//	head of the queue   | a host's IN gets
//	nothing, not due    | NAK
//	data                | its bytes; the transfer ends where the last packet is short or the host's buffer is full
//	end of data that    | a zero-length packet, or with OmitZLP whatever comes next
//	filled its packets  |
//	a failure           | that failure; STALL stays until the halt is cleared
type queue struct {
	chunks []chunk
	free   [][]byte
	wake   chan struct{} // holds one token: something changed
	packet int
	omit   bool // no zero-length packets
	halted bool
}

type chunk struct {
	data  []byte
	pos   int
	due   time.Time // zero: at once
	err   error     // instead of data
	slot  uint8
	moved bool // some of it was read
}

func newQueue(packet int, omit bool) *queue {
	return &queue{wake: make(chan struct{}, 1), packet: packet, omit: omit}
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// buffer gives a slice to build a chunk in.
func (q *queue) buffer() []byte {
	if n := len(q.free); n > 0 {
		b := q.free[n-1]
		q.free = q.free[:n-1]
		return b[:0]
	}
	return nil
}

// push puts a chunk behind all that are due no later, and never before one that is being read.
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

func (q *queue) pop() {
	if b := q.chunks[0].data; b != nil && len(q.free) < 8 {
		q.free = append(q.free, b)
	}
	n := copy(q.chunks, q.chunks[1:])
	q.chunks[n] = chunk{}
	q.chunks = q.chunks[:n]
}

// drop forgets what a slot has not shown yet.
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

func (q *queue) reset() {
	clear(q.chunks)
	q.chunks, q.halted = q.chunks[:0], false
	q.signal()
}

// take moves what is due into buf from n on. done says that the transfer is over; otherwise wait is how long the next chunk
// has to go, negative when there is none.
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
			return n, true, 0, nil // the zero-length packet goes into this transfer
		case !q.omit && k > 0:
			return n, true, 0, nil // and into the next one: the chunk stays, with nothing left
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
