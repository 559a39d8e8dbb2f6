package card

import "time"

// The card's side of T=0 (ISO 7816-3, 10).
//
//	state     | event                        | action
//	idle      | five header characters       | direction of the data by Applet.Takes
//	          |   command data (P3 > 0)      | ACK; receiving
//	          |   response data, or none     | execute; ACK + data + SW, or SW alone; idle
//	          |   unknown, invalid           | SW; idle
//	receiving | P3 characters, or one with   | next ACK, or execute; SW; idle
//	          |   T0Options.OneByOne         |
//	any       | reset                        | idle
//
// NULL procedure bytes precede an answer whose processing takes longer than T0Options.Null.

// Case1 is the answer of a T=0 card to P3 = 00 if it has data: the header does not show whether 256
// bytes or none are expected.
type Case1 uint8

// The answers to P3 = 00.
const (
	Case1GetResponse Case1 = iota // 61xx
	Case1WrongLe                  // 6Cxx
)

// T0Options describe a card's behaviour at T=0.
type T0Options struct {
	// OneByOne uses a procedure byte INS XOR FF for each data byte (ISO 7816-3, 10.3.3).
	OneByOne bool
	// Nulls is the number of NULL bytes before the first procedure byte of each command.
	Nulls int
	// Null is the time between two NULL bytes during processing. 0 means DefaultNull.
	Null time.Duration
	// Case1 is the answer to P3 = 00 if there is data.
	Case1 Case1
	// ShortRead answers a too large Le of case 2 with 61xx instead of 6Cxx.
	ShortRead bool
	// Respond, if set, replaces the answer to a header, for hostile procedure bytes. The card sends
	// the result and becomes idle. A nil result means the normal answer.
	Respond func(header []byte) []byte
}

// DefaultNull is well below the waiting time at the default rate: 960 x 10 x 372 / 3.57 MHz is 1 s
// (ISO 7816-3, 10.2).
const DefaultNull = 400 * time.Millisecond

// Procedure bytes (ISO 7816-3, 10.3.3).
const procNULL = 0x60

type t0 struct {
	chip      *Chip
	buf       []byte // header, then data
	receiving bool
	expected  int // length of buf with all data that ACKs have requested
	out       []byte
	bursts    []Burst
}

func (t *t0) reset() { t.buf, t.receiving = t.buf[:0], false }

func (t *t0) options() *T0Options { return &t.chip.o.T0 }

func (t *t0) send(in []byte) []Burst {
	const headerTPDU = 5 // CLA INS P1 P2 P3 (ISO 7816-3, 10.3.2)
	t.out, t.bursts = t.out[:0], t.bursts[:0]
	t.buf = append(t.buf, in...)
	if !t.receiving {
		if len(t.buf) < headerTPDU {
			return nil
		}
		t.buf = t.buf[:headerTPDU] // a card does not receive while it processes
		return t.header()
	}
	if len(t.buf) < t.expected {
		return nil
	}
	t.buf = t.buf[:t.expected]
	p3 := int(t.buf[4])
	if len(t.buf) < headerTPDU+p3 {
		return t.ack(1)
	}
	t.receiving = false
	sw, work := t.run(t.buf[headerTPDU:])
	t.buf = t.buf[:0]
	return t.status(sw, work)
}

// header processes a header.
func (t *t0) header() []Burst {
	cla, ins, p3 := t.buf[0], t.buf[1], t.buf[4]
	if f := t.options().Respond; f != nil {
		if answer := f(t.buf); answer != nil {
			t.buf = t.buf[:0]
			return t.chip.reply(answer, 0)
		}
	}
	for range t.options().Nulls {
		t.push(procNULL, 0)
	}
	takes, ok := t.direction(cla, ins)
	switch {
	case ins&0xF0 == 0x60 || ins&0xF0 == 0x90: // invalid (ISO 7816-3, 10.3.2)
		t.buf = t.buf[:0]
		return t.status(swNoINS, 0)
	case !ok:
		t.buf = t.buf[:0]
		return t.status(swNoINS, 0)
	case takes && p3 > 0:
		t.receiving, t.expected = true, len(t.buf)
		if t.options().OneByOne {
			return t.ack(1)
		}
		return t.ack(int(p3))
	case takes:
		sw, work := t.run(nil)
		t.buf = t.buf[:0]
		return t.status(sw, work)
	}
	return t.read()
}

// direction reports the direction of the data, as Applet.Takes does.
func (t *t0) direction(cla, ins byte) (takes, ok bool) {
	switch ins {
	case insSelect, insEnvelope:
		return true, true
	case insGetResponse:
		return false, true
	}
	if t.chip.os.selected == nil {
		return false, false
	}
	return t.chip.os.selected.Takes(cla, ins)
}

// ack requests n more characters.
func (t *t0) ack(n int) []Burst {
	t.expected += n
	ins := t.buf[1]
	if t.options().OneByOne {
		ins = ^ins
	}
	t.push(ins, 0)
	return t.flush()
}

// run executes a command with data, and returns its status word.
func (t *t0) run(data []byte) (uint16, time.Duration) {
	os := &t.chip.os
	c := &os.cmd
	*c = Command{CLA: t.buf[0], INS: t.buf[1], P1: t.buf[2], P2: t.buf[3], Data: data, ByTPDU: true}
	var sw uint16
	var work time.Duration
	if c.INS == insEnvelope {
		if sw, work = os.collect(data); sw == swOK {
			sw = os.sw
		}
	} else {
		sw, work = os.execute(c)
	}
	if os.left > 0 {
		sw = swMore | uint16(lowByte(os.left))
	}
	return sw, work
}

// read executes a command with response data, or sends the rest of an earlier response.
func (t *t0) read() []Burst {
	os := &t.chip.os
	c := &os.cmd
	*c = Command{CLA: t.buf[0], INS: t.buf[1], P1: t.buf[2], P2: t.buf[3], HasLe: true,
		Ne: short(t.buf[4]), ByTPDU: true}
	p3 := t.buf[4]
	t.buf = t.buf[:0]
	var work time.Duration
	if c.INS == insGetResponse {
		if os.left == 0 {
			return t.status(swConditions, 0)
		}
	} else {
		_, work = os.execute(c)
	}
	n := os.left
	switch {
	case n == 0:
		return t.status(os.sw, work)
	case n >= c.Ne:
		n = c.Ne
	case c.INS != insGetResponse &&
		(p3 == 0 && t.options().Case1 == Case1GetResponse || t.options().ShortRead):
		return t.status(swMore|uint16(lowByte(n)), work)
	default:
		return t.status(swWrongLe|uint16(lowByte(n)), work)
	}
	t.work(work)
	data := os.unread()[:n]
	if t.options().OneByOne {
		for _, b := range data {
			t.push(^c.INS, 0)
			t.push(b, 0)
		}
	} else {
		t.push(c.INS, 0)
		t.out = append(t.out, data...)
	}
	os.left -= n
	sw := os.sw
	if os.left > 0 {
		sw = swMore | uint16(lowByte(os.left))
	}
	t.out = append(t.out, byte(sw>>8), byte(sw))
	return t.flush()
}

// status ends a command with a status word.
func (t *t0) status(sw uint16, work time.Duration) []Burst {
	t.work(work)
	t.out = append(t.out, byte(sw>>8), byte(sw))
	return t.flush()
}

// work spends processing time, with a NULL before the end of each waiting time.
func (t *t0) work(d time.Duration) {
	step := t.options().Null
	if step <= 0 {
		step = DefaultNull
	}
	for ; d > step; d -= step {
		t.push(procNULL, step)
	}
	if d > 0 {
		t.flush()
		t.bursts = append(t.bursts, Burst{After: d})
	}
}

// push sends one character after a time.
func (t *t0) push(b byte, after time.Duration) {
	if after > 0 {
		t.flush()
		t.bursts = append(t.bursts, Burst{After: after})
	}
	t.out = append(t.out, b)
}

// flush ends the present burst. Its bytes stay in place if t.out is reallocated later.
func (t *t0) flush() []Burst {
	start := 0
	for i := range t.bursts {
		start += len(t.bursts[i].Bytes)
	}
	if start == len(t.out) {
		return t.bursts
	}
	if n := len(t.bursts); n > 0 && t.bursts[n-1].Bytes == nil {
		t.bursts[n-1].Bytes = t.out[start:len(t.out):len(t.out)]
	} else {
		t.bursts = append(t.bursts, Burst{Bytes: t.out[start:len(t.out):len(t.out)]})
	}
	return t.bursts
}
