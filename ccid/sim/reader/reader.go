package reader

import (
	"time"

	"tamaccid/ccid/sim/card"
)

// Reader is one chip card interface of a Device. Its exported methods are safe for concurrent use.
type Reader struct {
	d       *Device
	index   int
	in      uint8 // bulk IN endpoint, or 0
	events  uint8 // interrupt endpoint, or 0
	slots   []*slot
	answers []Answer
	control iccdState
}

// newReader returns the reader of a function.
func newReader(d *Device, index int) *Reader {
	r := &Reader{d: d, index: index}
	e := d.model.endpoints(index)
	r.in, r.events = e.in, e.interrupt
	for i := range int(r.class().MaxSlotIndex) + 1 {
		r.slots = append(r.slots, newSlot(r, uint8(i)))
	}
	return r
}

// function and class return the descriptions of the reader.
func (r *Reader) function() *Function { return &r.d.model.Functions[r.index] }
func (r *Reader) class() *Class       { return r.function().CCID }

// Interface returns bInterfaceNumber of the reader, the argument of Device.Open.
func (r *Reader) Interface() int { return r.index }

// Slots returns the number of slots.
func (r *Reader) Slots() int { return len(r.slots) }

// maxMessage returns dwMaxCCIDMessageLength, and at least one byte more than a header.
func (r *Reader) maxMessage() int {
	return max(int(min(r.class().MaxMessageLength, 1<<30)), headerSize+1)
}

// slot returns the slot with a number, or nil.
func (r *Reader) slot(n byte) *slot {
	if int(n) >= len(r.slots) {
		return nil
	}
	return r.slots[n]
}

// Insert inserts a card into a slot, from 0. It replaces a card that is present.
func (r *Reader) Insert(slot int, c card.Card) {
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	if s := r.slot(byte(slot)); s != nil {
		s.place(c)
	}
}

// Remove removes the card from a slot.
func (r *Reader) Remove(slot int) { r.Insert(slot, nil) }

// Powered reports whether the card in a slot is active.
func (r *Reader) Powered(slot int) bool {
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	s := r.slot(byte(slot))
	return s != nil && s.active
}

// powerOn sets the state after power-on of the reader: all cards are inactive. It sends a
// notification if there are cards.
func (r *Reader) powerOn() {
	present := false
	for _, s := range r.slots {
		s.powerOff()
		s.busy, s.stuck, s.aborting = time.Time{}, false, false
		s.chain, s.rest = s.chain[:0], nil
		s.changed = s.line.Card != nil
		present = present || s.changed
	}
	r.control = iccdState{}
	if present {
		r.notify()
	}
}

// receive executes a command and puts its answers into the IN queue. exact reports that its
// transfer has no further bytes.
func (r *Reader) receive(message []byte, exact bool) {
	if s, ok := r.execute(message, exact); ok {
		r.show(s)
	}
}

// execute executes a command with its faults. The answers are in r.answers. It reports false for a
// lost command.
func (r *Reader) execute(message []byte, exact bool) (s *slot, ok bool) {
	r.answers = r.answers[:0]
	if len(r.d.script) > 0 {
		e := Event{Moment: AtCommand, Device: r.d, Reader: r, Message: message}
		if r.intercept(&e, message) || len(e.Message) < headerSize {
			return nil, false
		}
		message = e.Message
	}
	m := parseCommand(message)
	s = r.slot(m.slot)
	switch {
	case !exact:
		r.fail(m, s, badLength)
	case s == nil:
		r.fail(m, nil, badSlot)
	default:
		s.execute(m)
	}
	if len(r.d.script) > 0 {
		e := Event{
			Moment: AtAnswer, Device: r.d, Reader: r, Message: message, Answers: r.answers,
		}
		r.d.faults(&e)
		r.answers = e.Answers
	}
	return s, true
}

// intercept applies faults to a command before its execution, and reports whether the command is
// lost.
func (r *Reader) intercept(e *Event, message []byte) bool {
	r.d.faults(e)
	if r.d.present && !e.Swallow {
		return false
	}
	r.answers = append(r.answers[:0], e.Answers...)
	if s := r.slot(message[5]); s != nil {
		s.stuck = s.stuck || len(e.Answers) == 0
		r.show(s)
	}
	return true
}

// refuse answers a message with an invalid length.
func (r *Reader) refuse(message []byte, code byte) {
	r.answers = r.answers[:0]
	m := parseCommand(message[:headerSize])
	s := r.slot(m.slot)
	r.fail(m, s, code)
	r.show(nil)
}

// show puts the answers into the IN queue. The slot is busy until the last one is due.
func (r *Reader) show(s *slot) {
	q := r.d.in[r.in]
	if q == nil || !r.d.present {
		return
	}
	var now, last time.Time
	for i := range r.answers {
		a := &r.answers[i]
		if a.Never {
			if s != nil {
				s.stuck = true
			}
			continue
		}
		c := chunk{data: a.Bytes, err: a.Err}
		if s != nil {
			c.slot = s.number
		}
		if a.After > 0 {
			if now.IsZero() {
				now = time.Now()
			}
			c.due = now.Add(a.After)
			last = c.due
		}
		q.push(c)
	}
	if s != nil && !last.IsZero() {
		s.busy = last
	}
}

// reply returns the header of an answer.
func (r *Reader) reply(m command, status, code, last byte) []byte {
	var b []byte
	if q := r.d.in[r.in]; q != nil {
		b = q.buffer()
	}
	return appendHeader(b[:0], answerKind(m.kind), m.slot, m.seq, status, code, last)
}

// answer adds an answer.
func (r *Reader) answer(b []byte, after time.Duration) {
	finish(b)
	r.answers = append(r.answers, Answer{Bytes: b, After: after})
}

// fail answers a command with an error.
func (r *Reader) fail(m command, s *slot, code byte) {
	status := byte(iccAbsent)
	last := byte(0)
	if s != nil {
		status = s.status()
		last = s.lastByte(m.kind)
	}
	r.answer(r.reply(m, cmdFailed|status, code, last), 0)
}

// busySlots returns the number of busy slots.
func (r *Reader) busySlots() int {
	n := 0
	for _, s := range r.slots {
		if s.isBusy() {
			n++
		}
	}
	return n
}

// notify sends RDR_to_PC_NotifySlotChange. It updates an earlier one that was not read yet (CCID
// 1.1, 6.3.1).
func (r *Reader) notify() {
	q := r.d.in[r.events]
	if q == nil || !r.d.present {
		return
	}
	b := make([]byte, 1+(len(r.slots)+3)/4)
	b[0] = NotifySlotChange
	for i, s := range r.slots {
		bits := byte(0)
		if s.line.Card != nil {
			bits = 1
		}
		if s.changed {
			bits |= 2
		}
		s.changed = false
		b[1+i/4] |= bits << (i % 4 * 2)
	}
	if n := len(q.chunks); n > 0 {
		last := &q.chunks[n-1]
		if !last.moved && len(last.data) == len(b) && last.data[0] == NotifySlotChange {
			for i := 1; i < len(b); i++ {
				b[i] |= last.data[i] & 0xAA // change bits stay until they are read
			}
			last.data = b
			q.signal()
			return
		}
	}
	r.event(q, b)
}

// notifyHardware sends RDR_to_PC_HardwareError, over current (CCID 1.1, 6.3.2).
func (r *Reader) notifyHardware(slot, seq byte) {
	const overCurrent = 0x01
	if q := r.d.in[r.events]; q != nil && r.d.present {
		r.event(q, []byte{HardwareError, slot, seq, overCurrent})
	}
}

// event sends a message of the interrupt endpoint.
func (r *Reader) event(q *queue, b []byte) {
	if len(r.d.script) > 0 {
		e := Event{Moment: AtNotify, Device: r.d, Reader: r, Endpoint: r.events, Message: b}
		r.d.faults(&e)
		if e.Swallow {
			return
		}
		if e.Answers != nil {
			for _, a := range e.Answers {
				q.push(chunk{data: a.Bytes, err: a.Err})
			}
			return
		}
		b = e.Message
	}
	q.push(chunk{data: b})
}

// Notify sends any bytes from the interrupt endpoint.
func (r *Reader) Notify(b []byte) {
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	if q := r.d.in[r.events]; q != nil && r.d.present {
		q.push(chunk{data: append([]byte(nil), b...)})
	}
}
