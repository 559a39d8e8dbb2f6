package card

import "time"

// The card's side of T=0 (ISO 7816-3, 10).
//
//	state    | event                         | does
//	idle     | five header characters        | asks the operating system which way data goes
//	         |   data comes (P3 > 0)         | ACK; to taking
//	         |   data goes, or none          | executes; ACK + data + SW, or SW alone; idle
//	         |   unknown, invalid            | SW; idle
//	taking   | P3 characters, or one where   | next ACK, or executes; SW; idle
//	         |   ACK is given one by one     |
//	any      | reset                         | idle
//
// NULL procedure bytes come before anything that takes the card longer than T0Options.Null.

// Case1 is how a T=0 card answers P3 = 00 when it has data: nothing tells it whether 256 bytes or none were asked for.
type Case1 uint8

// The answers.
const (
	Case1GetResponse Case1 = iota // 61xx
	Case1WrongLe                  // 6Cxx
)

// T0Options describe a card's manners at T=0.
type T0Options struct {
	// OneByOne asks for each data byte, and sends each, after an ACK of its own: INS XOR FF (ISO 7816-3, 10.3.3).
	OneByOne bool
	// Nulls is how many NULL bytes come before each first procedure byte, in any case.
	Nulls int
	// Null is how long the card works between two NULL bytes; 0 stands for DefaultNull.
	Null time.Duration
	// Case1 is how P3 = 00 is answered when there is data.
	Case1 Case1
	// ShortRead answers too large a Le of case 2 with 61xx rather than with 6Cxx.
	ShortRead bool
	// Respond overrides the answer to a header when not nil: hostile procedure bytes. The result is sent and the
	// machine goes idle; nil takes the usual way.
	Respond func(header []byte) []byte
}

// DefaultNull is well below the waiting time at the default rate: 960 x 10 x 372 / 3.57 MHz is 1 s (ISO 7816-3, 10.2).
const DefaultNull = 400 * time.Millisecond

// Procedure bytes (ISO 7816-3, 10.3.3).
const procNULL = 0x60

type t0 struct {
	chip   *Chip
	buf    []byte // header, then data
	taking bool
	asked  int // length of buf when everything asked for by ACKs is there
	out    []byte
	bursts []Burst
}

func (t *t0) reset() { t.buf, t.taking = t.buf[:0], false }

func (t *t0) options() *T0Options { return &t.chip.o.T0 }

func (t *t0) send(in []byte) []Burst {
	const headerTPDU = 5 // CLA INS P1 P2 P3 (ISO 7816-3, 10.3.2)
	t.out, t.bursts = t.out[:0], t.bursts[:0]
	t.buf = append(t.buf, in...)
	if !t.taking {
		if len(t.buf) < headerTPDU {
			return nil
		}
		t.buf = t.buf[:headerTPDU] // a card does not listen while it decides
		return t.header()
	}
	if len(t.buf) < t.asked {
		return nil
	}
	t.buf = t.buf[:t.asked]
	p3 := int(t.buf[4])
	if len(t.buf) < headerTPDU+p3 {
		return t.ack(1)
	}
	t.taking = false
	sw, work := t.run(t.buf[headerTPDU:])
	t.buf = t.buf[:0]
	return t.status(sw, work)
}

// header decides on a fresh header.
func (t *t0) header() []Burst {
	cla, ins, p3 := t.buf[0], t.buf[1], t.buf[4]
	if f := t.options().Respond; f != nil {
		if answer := f(t.buf); answer != nil {
			t.buf = t.buf[:0]
			return t.chip.say(answer, 0)
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
		t.taking, t.asked = true, len(t.buf)
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

// ack asks for n more characters.
func (t *t0) ack(n int) []Burst {
	t.asked += n
	ins := t.buf[1]
	if t.options().OneByOne {
		ins = ^ins
	}
	t.push(ins, 0)
	return t.flush()
}

// run executes a command that brought its data, and returns the status that belongs behind it.
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

// read executes a command that wants data, or fetches what an earlier one left.
func (t *t0) read() []Burst {
	os := &t.chip.os
	c := &os.cmd
	*c = Command{CLA: t.buf[0], INS: t.buf[1], P1: t.buf[2], P2: t.buf[3], HasLe: true, Ne: short(t.buf[4]), ByTPDU: true}
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
	case p3 == 0 && c.INS != insGetResponse && t.options().Case1 == Case1GetResponse, t.options().ShortRead && c.INS != insGetResponse:
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

// status ends a command.
func (t *t0) status(sw uint16, work time.Duration) []Burst {
	t.work(work)
	t.out = append(t.out, byte(sw>>8), byte(sw))
	return t.flush()
}

// work passes time the way T=0 allows: a NULL before each waiting time ends.
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

// push sends one character after a silence.
func (t *t0) push(b byte, after time.Duration) {
	if after > 0 {
		t.flush()
		t.bursts = append(t.bursts, Burst{After: after})
	}
	t.out = append(t.out, b)
}

// flush closes the burst in the making. Its bytes stay where they are when t.out grows into a new array later.
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
