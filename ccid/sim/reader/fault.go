package reader

import (
	"encoding/binary"
	"time"

	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/usb"
)

// Moment is a point at which a fault can strike.
type Moment uint8

// The moments, in the order of one exchange.
const (
	AtOut     Moment = iota + 1 // a transfer has come to an OUT endpoint; Message is its bytes
	AtCommand                   // a whole command is there and has not been executed
	AtAnswer                    // it has been executed, its answers have not been shown
	AtControl                   // a control request
	AtNotify                    // a message for the interrupt endpoint
)

// Event is one moment in the life of a device. Actions change it.
type Event struct {
	Moment   Moment
	Device   *Device
	Reader   *Reader // nil at a control request
	Endpoint uint8
	Setup    usb.Setup // AtControl

	// Message is the transfer, the command, the control request's data, or the notification.
	Message []byte
	// Answers, AtAnswer, are what the reader is about to send for Message.
	Answers []Answer

	Reply   []byte // AtControl: this instead of the device's own answer
	Err     error  // AtOut, AtControl: the transfer fails like this
	Blocked bool   // AtOut, AtControl: NAK for ever
	Swallow bool   // the message is lost, or not executed
}

// Answer is one transfer's worth of data on an IN endpoint.
type Answer struct {
	Bytes []byte
	After time.Duration // counted from the command
	Err   error         // instead of the bytes
	Never bool          // it is lost
}

// Kind is the message type of an event's command, 0 when it has none.
func (e *Event) Kind() byte {
	if (e.Moment == AtCommand || e.Moment == AtAnswer) && len(e.Message) >= headerSize {
		return e.Message[0]
	}
	return 0
}

// Fault is one line of a script: where it strikes, how often, and what it does. Lines are independent: several may strike at one
// event, in their order.
type Fault struct {
	At Moment
	// Command, when not zero, is the message type at which it strikes (AtCommand and AtAnswer).
	Command byte
	// If, when not nil, must agree too.
	If func(*Event) bool
	// Skip is how many events that match pass first; Times how many are struck then, 0 standing for one, Forever for all.
	Skip, Times int
	Do          []Action

	struck int
}

// Forever as Fault.Times strikes at every event.
const Forever = -1

// Action does something to an event.
type Action func(*Event)

// Inject adds lines to the device's script.
func (d *Device) Inject(lines ...Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range lines {
		line := lines[i]
		d.script = append(d.script, &line)
	}
}

// Heal empties the script, and un-sticks what it has left stuck.
func (d *Device) Heal() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.script = nil
	for _, r := range d.readers {
		if r == nil {
			continue
		}
		for _, s := range r.slots {
			s.stuck = false
		}
	}
}

// Pending says how many lines have strikes left, lines without an end aside: a test's check that its faults happened.
func (d *Device) Pending() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, f := range d.script {
		if f.Times != Forever && f.struck < max(f.Times, 1) {
			n++
		}
	}
	return n
}

func (d *Device) faults(e *Event) {
	for _, f := range d.script {
		if f.At != e.Moment || f.Command != 0 && f.Command != e.Kind() || f.If != nil && !f.If(e) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		if f.Times != Forever && f.struck >= max(f.Times, 1) {
			continue
		}
		f.struck++
		for _, do := range f.Do {
			do(e)
		}
	}
}

// Stall answers the transfer with STALL: at the OUT endpoint or a control request, else on the IN endpoint in place of
// the answer.
func Stall() Action { return fail(usb.ErrStall) }

// Corrupt is a transfer that fails on the wire.
func Corrupt() Action { return fail(usb.ErrTransfer) }

// Babble is a device that sends more than it may.
func Babble() Action { return fail(usb.ErrBabble) }

func fail(err error) Action {
	return func(e *Event) {
		if e.Moment == AtOut || e.Moment == AtControl {
			e.Err = err
			return
		}
		e.Answers = []Answer{{Err: err}}
		e.Swallow = e.Moment == AtCommand
	}
}

// Block makes the endpoint answer NAK for ever.
func Block() Action { return func(e *Event) { e.Blocked = true } }

// Lose loses the transfer, the command, or the answers. A lost answer leaves the slot busy until it is aborted.
func Lose() Action {
	return func(e *Event) {
		e.Swallow = true
		for i := range e.Answers {
			e.Answers[i].Never = true
		}
	}
}

// Delay shows the answers later.
func Delay(d time.Duration) Action {
	return func(e *Event) {
		for i := range e.Answers {
			e.Answers[i].After += d
		}
	}
}

// Edit changes the bytes of the last answer, a notification, or of a transfer or command on its way in.
func Edit(f func([]byte) []byte) Action {
	return func(e *Event) {
		if n := len(e.Answers); n > 0 {
			e.Answers[n-1].Bytes = f(e.Answers[n-1].Bytes)
			return
		}
		e.Message = f(append([]byte(nil), e.Message...))
	}
}

func editAt(at int, f func(byte) byte) Action {
	return Edit(func(b []byte) []byte {
		if at < len(b) {
			b[at] = f(b[at])
		}
		return b
	})
}

// WrongType, WrongSlot and WrongSeq change a field of the answer's header.
func WrongType(v byte) Action { return editAt(0, func(byte) byte { return v }) }

// WrongSlot sets bSlot.
func WrongSlot(v byte) Action { return editAt(5, func(byte) byte { return v }) }

// WrongSeq adds to bSeq.
func WrongSeq(delta byte) Action { return editAt(6, func(v byte) byte { return v + delta }) }

// WrongStatus sets bStatus and bError.
func WrongStatus(status, code byte) Action {
	return Edit(func(b []byte) []byte {
		if len(b) >= headerSize {
			b[7], b[8] = status, code
		}
		return b
	})
}

// WrongLength sets dwLength, whatever follows.
func WrongLength(n uint32) Action {
	return Edit(func(b []byte) []byte {
		if len(b) >= headerSize {
			binary.LittleEndian.PutUint32(b[1:], n)
		}
		return b
	})
}

// Truncate cuts the answer to n bytes, header included; its dwLength stays.
func Truncate(n int) Action { return Edit(func(b []byte) []byte { return b[:min(n, len(b))] }) }

// Pad puts n bytes behind the answer; its dwLength stays.
func Pad(n int) Action { return Edit(func(b []byte) []byte { return append(b, make([]byte, n)...) }) }

// Payload puts other data into the answer, with the right dwLength.
func Payload(p []byte) Action {
	return Edit(func(b []byte) []byte {
		if len(b) < headerSize {
			return b
		}
		b = append(b[:headerSize], p...)
		finish(b)
		return b
	})
}

// ZLPFirst sends zero-length packets before the answer, ZLPAfter behind it.
func ZLPFirst(n int) Action {
	return func(e *Event) { e.Answers = append(make([]Answer, n), e.Answers...) }
}

// ZLPAfter sends zero-length packets behind the answer.
func ZLPAfter(n int) Action {
	return func(e *Event) {
		after := time.Duration(0)
		if k := len(e.Answers); k > 0 {
			after = e.Answers[k-1].After
		}
		for range n {
			e.Answers = append(e.Answers, Answer{After: after})
		}
	}
}

// Before sends other bytes first: a stale answer, say, or a message of nobody's.
func Before(b []byte) Action {
	return func(e *Event) {
		e.Answers = append([]Answer{{Bytes: append([]byte(nil), b...)}}, e.Answers...)
	}
}

// Stale repeats the answer as that of the command before, first.
func Stale() Action {
	return func(e *Event) {
		if len(e.Answers) > 0 && len(e.Answers[0].Bytes) >= headerSize {
			b := append([]byte(nil), e.Answers[0].Bytes...)
			b[6]--
			e.Answers = append([]Answer{{Bytes: b}}, e.Answers...)
		}
	}
}

// Extend sends n time extensions with a multiplier, every so often, before the answer; n of Endless never ends.
func Extend(n int, multiplier byte, every time.Duration) Action {
	return func(e *Event) {
		if len(e.Answers) == 0 || len(e.Message) < headerSize {
			return
		}
		m := parseCommand(e.Message)
		endless := n == Endless
		if endless {
			n = manyExtensions
		}
		all := make([]Answer, 0, n+len(e.Answers))
		for i := range n {
			b := appendHeader(nil, answerKind(m.kind), m.slot, m.seq, cmdExtension, multiplier, 0)
			all = append(all, Answer{Bytes: b, After: time.Duration(i+1) * every})
		}
		for _, a := range e.Answers {
			a.After += time.Duration(n) * every
			a.Never = a.Never || endless
			all = append(all, a)
		}
		e.Answers = all
	}
}

// Endless as Extend's count sends more extensions than any driver should wait for.
const (
	Endless        = -1
	manyExtensions = 1 << 14
)

// RemoveCard takes the card of the command's slot out.
func RemoveCard() Action { return Swap(nil) }

// Swap puts another card into the command's slot, with no time between the two.
func Swap(c card.Card) Action {
	return func(e *Event) {
		if e.Reader != nil && len(e.Message) >= headerSize {
			if s := e.Reader.slot(e.Message[5]); s != nil {
				s.place(c)
			}
		}
	}
}

// PowerFail takes the card's supply away, as a short circuit does: the command fails by a hardware error.
func PowerFail() Action {
	return func(e *Event) {
		if e.Reader == nil || len(e.Message) < headerSize {
			return
		}
		m := parseCommand(e.Message)
		s := e.Reader.slot(m.slot)
		if s == nil {
			return
		}
		s.powerOff()
		b := appendHeader(nil, answerKind(m.kind), m.slot, m.seq, cmdFailed|s.status(), errHardware, 0)
		e.Answers, e.Swallow = []Answer{{Bytes: b}}, true
		e.Reader.notifyHardware(m.slot, m.seq)
	}
}

// Unplug takes the reader from the bus.
func Unplug() Action { return func(e *Event) { e.Device.unplug() } }
