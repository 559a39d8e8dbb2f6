package reader

import (
	"time"

	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/ifd"
	"tamaccid/ccid/usb"
)

// slot is one slot.
//
//	state     | event                  | action
//	absent    | card inserted          | notification; inactive, or active with AutoActivation
//	inactive  | IccPowerOn             | cold reset at each voltage; active, or an error
//	active    | IccPowerOn             | warm reset; new parameters
//	active    | IccPowerOff            | inactive
//	any       | card removed           | open answer becomes "mute"; notification; absent
//	any       | power of reader lost   | inactive or absent; chains are dropped
//	busy      | command but Abort      | "slot busy"
//	any       | ABORT request          | "aborted" for each command but Abort with its bSeq
//	aborting  | Abort with that bSeq   | open answer is dropped; status
type slot struct {
	r      *Reader
	number uint8

	line     ifd.Line
	t1       ifd.T1
	active   bool
	changed  bool // since the last notification
	stopped  bool // clock
	volts    card.Voltage
	info     card.Info
	protocol byte
	params   [t1Parameters]byte // abProtocolDataStructure of the protocol in use
	classes  ifd.Classes
	fresh    bool // no exchange since the reset: a PPS is possible
	ifsdDone bool

	busy     time.Time // the slot is busy until then
	stuck    bool      // the slot is busy until Abort: an answer was lost
	aborting bool
	abortSeq byte

	chain []byte // part of a command APDU
	rest  []byte // rest of a response APDU
	resp  []byte
}

// newSlot returns slot n of a reader.
func newSlot(r *Reader, n uint8) *slot {
	c := r.class()
	classes := ifd.Classes{GetResponse: c.ClassGetResponse, Envelope: c.ClassEnvelope}
	s := &slot{r: r, number: n, classes: classes}
	s.t1.Line = &s.line
	return s
}

// place inserts a card or, with nil, removes it.
func (s *slot) place(c card.Card) {
	old := s.line.Card
	if old == nil && c == nil {
		return
	}
	s.powerOff()
	s.line.Card = c
	s.changed = true
	if old != nil && s.isBusy() && s.r.d.present {
		s.interrupt()
	}
	if c != nil && s.r.class().Features&AutoActivation != 0 && s.r.d.present {
		s.reset()
	}
	s.r.notify()
}

// interrupt replaces an answer that is not due yet by an error.
func (s *slot) interrupt() {
	q := s.r.d.in[s.r.in]
	if q == nil {
		return
	}
	for i := range q.chunks {
		c := &q.chunks[i]
		open := c.slot == s.number && !c.moved && !c.due.IsZero()
		if open && len(c.data) >= headerSize && c.data[7]&cmdExtension == 0 {
			b := appendHeader(nil, c.data[0], c.data[5], c.data[6], cmdFailed|s.status(),
				errMute, 0)
			q.drop(s.number)
			q.push(chunk{data: b, slot: s.number})
			break
		}
	}
	s.busy = time.Time{}
}

// powerOff deactivates the card.
func (s *slot) powerOff() {
	if s.active {
		s.line.Card.Off()
	}
	s.active, s.stopped = false, false
	s.chain, s.rest = s.chain[:0], nil
}

// status returns bmICCStatus.
func (s *slot) status() byte {
	switch {
	case s.line.Card == nil:
		return iccAbsent
	case !s.active:
		return iccInactive
	}
	return iccActive
}

// Values of bClockStatus (CCID 1.1, table 6.2-4).
const (
	clockRunning    = 0
	clockStoppedLow = 1
)

// clock returns bClockStatus.
func (s *slot) clock() byte {
	if s.stopped {
		return clockStoppedLow
	}
	return clockRunning
}

// lastByte returns the byte after bError of an answer without data.
func (s *slot) lastByte(kind byte) byte {
	switch answerKind(kind) {
	case SlotStatus:
		return s.clock()
	case Parameters:
		return s.protocol
	}
	return 0
}

// isBusy reports whether a command is in progress.
func (s *slot) isBusy() bool {
	return s.stuck || !s.busy.IsZero() && time.Now().Before(s.busy)
}

// execute runs one command of this slot.
func (s *slot) execute(m command) {
	switch {
	case s.aborting && m.kind == Abort:
		if m.seq != s.abortSeq {
			s.r.fail(m, s, errAborted)
			return
		}
		s.abort()
		s.ok(m)
		return
	case s.aborting:
		s.r.fail(m, s, errAborted)
		return
	case m.kind == Abort: // without a control request; a reader needs both (CCID 1.1, 5.3.1)
		s.abort()
		s.ok(m)
		return
	case s.isBusy(), s.r.busySlots() >= max(int(s.r.class().MaxBusySlots), 1):
		s.r.fail(m, s, errBusy)
		return
	}
	if want, fixed := dataSize(m.kind); fixed && len(m.data) != want {
		s.r.fail(m, s, badLength)
		return
	}
	switch m.kind {
	case IccPowerOn:
		s.powerOn(m)
	case IccPowerOff:
		s.powerOff()
		s.ok(m)
	case GetSlotStatus:
		s.ok(m)
	case XfrBlock:
		s.transfer(m)
	case GetParameters, ResetParameters, SetParameters:
		s.parameters(m)
	case SetDataRateClock:
		s.rate(m)
	case Escape:
		s.escape(m)
	case Secure:
		s.secure(m)
	case IccClock:
		s.iccClock(m)
	case T0APDU:
		s.t0apdu(m)
	case Mechanical:
		s.mechanical(m)
	default:
		s.r.fail(m, s, errUnsupported)
	}
}

// dataSize returns dwLength of commands with a fixed length (CCID 1.1, 6.1).
func dataSize(kind byte) (n int, fixed bool) {
	switch kind {
	case IccPowerOn, IccPowerOff, GetSlotStatus, GetParameters, ResetParameters, IccClock,
		Mechanical, Abort:
		return 0, true
	case SetDataRateClock:
		return 8, true
	case T0APDU:
		return 2, true
	}
	return 0, false
}

// ok answers without data.
func (s *slot) ok(m command) {
	s.r.answer(s.r.reply(m, s.status(), 0, s.lastByte(m.kind)), 0)
}

// data answers with data of the card, after the time that the card has taken. Time extensions
// precede it.
func (s *slot) data(m command, payload []byte, last byte) {
	for _, x := range s.line.Extensions {
		b := s.r.reply(m, cmdExtension|s.status(), max(x.Multiplier, 1), 0)
		s.r.answer(b, x.At)
	}
	b := append(s.r.reply(m, s.status(), 0, last), payload...)
	s.r.answer(b, s.line.Spent)
}

// failed answers with the bError of an exchange with the card.
func (s *slot) failed(m command, err error) {
	code := byte(errMute)
	switch err {
	case ifd.ErrParity:
		code = errParity
	case ifd.ErrProcedure:
		code = errProcedure
	case ifd.ErrLength:
		code = badLength
	case ifd.ErrOverrun:
		code = errOverrun
	case ifd.ErrProtocol:
		code = errHardware
	}
	s.r.answer(s.r.reply(m, cmdFailed|s.status(), code, s.lastByte(m.kind)), s.line.Spent)
}

// abort drops the open answer and chains.
func (s *slot) abort() {
	if q := s.r.d.in[s.r.in]; q != nil {
		q.drop(s.number)
	}
	s.aborting, s.stuck, s.busy = false, false, time.Time{}
	s.chain, s.rest = s.chain[:0], nil
	if s.active && s.protocol == 1 {
		s.t1.Reset(int(s.params[5]))
	}
}

// abortRequest executes the ABORT control request (CCID 1.1, 5.3.1).
func (r *Reader) abortRequest(slot, seq byte) error {
	s := r.slot(slot)
	if s == nil {
		return usb.ErrStall
	}
	s.aborting, s.abortSeq = true, seq
	if q := r.d.in[r.in]; q != nil {
		q.drop(slot)
	}
	s.stuck, s.busy = false, time.Time{}
	return nil
}

// iccClock executes PC_to_RDR_IccClock (CCID 1.1, 6.1.9).
func (s *slot) iccClock(m command) {
	const stop = 1
	switch {
	case s.r.class().Features&ClockStop == 0:
		s.r.fail(m, s, errUnsupported)
	case m.specific[0] > stop:
		s.r.fail(m, s, badField7)
	case !s.active:
		s.r.fail(m, s, errMute)
	default:
		s.stopped = m.specific[0] == stop
		s.ok(m)
	}
}

// mechanical executes PC_to_RDR_Mechanical (CCID 1.1, 6.1.12).
func (s *slot) mechanical(m command) {
	const functions = 5 // CCID 1.1, 6.1.12
	switch {
	case s.r.class().Mechanical == 0:
		s.r.fail(m, s, errUnsupported)
	case m.specific[0] < 1 || m.specific[0] > functions:
		s.r.fail(m, s, badField7)
	default:
		s.ok(m)
	}
}

// escape executes PC_to_RDR_Escape (CCID 1.1, 6.1.8).
func (s *slot) escape(m command) {
	f := s.r.function().Escape
	if f != nil {
		if out, ok := f(s.number, m.data); ok {
			s.r.answer(append(s.r.reply(m, s.status(), 0, 0), out...), 0)
			return
		}
	}
	s.r.fail(m, s, errUnsupported)
}
