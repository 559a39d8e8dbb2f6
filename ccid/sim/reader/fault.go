package reader

import (
	"encoding/binary"
	"time"

	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/usb"
)

// Moment is a point of an exchange at which a fault can occur.
type Moment uint8

// The moments, in the order of one exchange.
const (
	AtOut     Moment = iota + 1 // a transfer to an OUT endpoint
	AtCommand                   // a complete command, before its execution
	AtAnswer                    // after the execution, before the answers are sent
	AtControl                   // a control request
	AtNotify                    // a message of the interrupt endpoint
)

// Event is an event to which faults apply. Actions change it.
type Event struct {
	Moment   Moment
	Device   *Device
	Reader   *Reader   // nil for AtControl
	Endpoint uint8     // for AtOut and AtNotify
	Setup    usb.Setup // for AtControl

	// Message is the transfer, the command, the control request's data, or the notification.
	Message []byte
	// Answers are the answers to Message, for AtAnswer.
	Answers []Answer

	Reply   []byte // AtControl: replaces the device's answer
	Err     error  // AtOut, AtControl: the error of the transfer
	Blocked bool   // AtOut, AtControl: NAK without end
	Swallow bool   // the message is lost, or not executed
}

// Answer is one message of an IN endpoint.
type Answer struct {
	Bytes []byte
	After time.Duration // since the command
	Err   error         // of the transfer, instead of Bytes
	Never bool          // the answer is lost
}

// Kind returns the message type of the command of AtCommand and AtAnswer, and 0 for other events.
func (e *Event) Kind() byte {
	if (e.Moment == AtCommand || e.Moment == AtAnswer) && len(e.Message) >= headerSize {
		return e.Message[0]
	}
	return 0
}

// Fault is one fault of a device: the events that it matches, their number, and its actions. Faults
// are independent. Several may apply to one event, in the order of Inject.
type Fault struct {
	// At is the moment.
	At Moment
	// Command, if not zero, is the message type of the command (AtCommand and AtAnswer).
	Command byte
	// If, if set, is a further condition.
	If func(*Event) bool
	// Skip is the number of matching events before the first that the fault applies to. Times is
	// the number of events that it applies to: 0 means one, Forever means all.
	Skip, Times int
	// Do are the actions, in their order.
	Do []Action

	applied int
}

// Forever is the value of Fault.Times for all events.
const Forever = -1

// Action changes an event.
type Action func(*Event)

// Inject adds faults to the device.
func (d *Device) Inject(faults ...Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range faults {
		d.script = append(d.script, &f)
	}
}

// Heal removes all faults, and ends the busy state of slots whose answers were lost.
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

// Pending returns the number of faults that have not yet applied to Times events. It does not count
// those with Forever. Tests use it to check that their faults occurred.
func (d *Device) Pending() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, f := range d.script {
		if f.Times != Forever && f.applied < max(f.Times, 1) {
			n++
		}
	}
	return n
}

// faults applies the matching faults to an event.
func (d *Device) faults(e *Event) {
	for _, f := range d.script {
		if f.At != e.Moment || f.Command != 0 && f.Command != e.Kind() || f.If != nil && !f.If(e) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		if f.Times != Forever && f.applied >= max(f.Times, 1) {
			continue
		}
		f.applied++
		for _, do := range f.Do {
			do(e)
		}
	}
}

// Stall answers with STALL: the OUT transfer or the control request, or at other moments the IN
// transfer instead of the answer.
func Stall() Action { return fail(usb.ErrStall) }

// Corrupt makes the transfer fail with a transmission error, as Stall with STALL.
func Corrupt() Action { return fail(usb.ErrTransfer) }

// Babble makes the device send more than the host requested, as Stall sends STALL.
func Babble() Action { return fail(usb.ErrBabble) }

// fail makes a transfer fail with an error.
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

// Block makes the endpoint answer NAK without end (AtOut, AtControl).
func Block() Action { return func(e *Event) { e.Blocked = true } }

// Lose loses the transfer, the command, the notification or the answers. After a lost command or
// answer the slot is busy until it is aborted.
func Lose() Action {
	return func(e *Event) {
		e.Swallow = true
		for i := range e.Answers {
			e.Answers[i].Never = true
		}
	}
}

// Delay delays the answers (AtAnswer).
func Delay(d time.Duration) Action {
	return func(e *Event) {
		for i := range e.Answers {
			e.Answers[i].After += d
		}
	}
}

// Edit replaces the bytes of the last answer, of the notification, or of the transfer or command.
func Edit(f func([]byte) []byte) Action {
	return func(e *Event) {
		if n := len(e.Answers); n > 0 {
			e.Answers[n-1].Bytes = f(e.Answers[n-1].Bytes)
			return
		}
		e.Message = f(append([]byte(nil), e.Message...))
	}
}

// editAt changes one byte of the last answer.
func editAt(at int, f func(byte) byte) Action {
	return Edit(func(b []byte) []byte {
		if at < len(b) {
			b[at] = f(b[at])
		}
		return b
	})
}

// WrongType sets bMessageType of the answer.
func WrongType(v byte) Action { return editAt(0, func(byte) byte { return v }) }

// WrongSlot sets bSlot of the answer.
func WrongSlot(v byte) Action { return editAt(5, func(byte) byte { return v }) }

// WrongSeq adds delta to bSeq of the answer.
func WrongSeq(delta byte) Action { return editAt(6, func(v byte) byte { return v + delta }) }

// WrongStatus sets bStatus and bError of the answer.
func WrongStatus(status, code byte) Action {
	return Edit(func(b []byte) []byte {
		if len(b) >= headerSize {
			b[7], b[8] = status, code
		}
		return b
	})
}

// WrongLength sets dwLength of the answer, and leaves its data.
func WrongLength(n uint32) Action {
	return Edit(func(b []byte) []byte {
		if len(b) >= headerSize {
			binary.LittleEndian.PutUint32(b[1:], n)
		}
		return b
	})
}

// Truncate shortens the answer to n bytes, header included, and leaves dwLength.
func Truncate(n int) Action { return Edit(func(b []byte) []byte { return b[:min(n, len(b))] }) }

// Pad appends n zero bytes to the answer, and leaves dwLength.
func Pad(n int) Action {
	return Edit(
		func(b []byte) []byte { return append(b, make([]byte, n)...) })
}

// Payload replaces the data of the answer and sets dwLength.
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

// ZLPFirst sends n zero-length packets before the answer.
func ZLPFirst(n int) Action {
	return func(e *Event) { e.Answers = append(make([]Answer, n), e.Answers...) }
}

// ZLPAfter sends n zero-length packets after the answer.
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

// Before sends a message before the answer.
func Before(b []byte) Action {
	return func(e *Event) {
		e.Answers = append([]Answer{{Bytes: append([]byte(nil), b...)}}, e.Answers...)
	}
}

// Stale sends the answer twice, first with the bSeq of the previous command.
func Stale() Action {
	return func(e *Event) {
		if len(e.Answers) > 0 && len(e.Answers[0].Bytes) >= headerSize {
			b := append([]byte(nil), e.Answers[0].Bytes...)
			b[6]--
			e.Answers = append([]Answer{{Bytes: b}}, e.Answers...)
		}
	}
}

// Extend sends n time extensions with a multiplier before the answer, one in each period every.
// With n Endless, the answer is lost.
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

// Endless is the count of Extend for more extensions than a driver should accept.
const (
	Endless        = -1
	manyExtensions = 1 << 14
)

// RemoveCard removes the card from the command's slot.
func RemoveCard() Action { return Swap(nil) }

// Swap replaces the card in the command's slot, without time between removal and insertion.
func Swap(c card.Card) Action {
	return func(e *Event) {
		if e.Reader != nil && len(e.Message) >= headerSize {
			if s := e.Reader.slot(e.Message[5]); s != nil {
				s.place(c)
			}
		}
	}
}

// PowerFail deactivates the card, as a short circuit does: the command fails with a hardware error.
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
		b := appendHeader(nil, answerKind(m.kind), m.slot, m.seq, cmdFailed|s.status(),
			errHardware, 0)
		e.Answers, e.Swallow = []Answer{{Bytes: b}}, true
		e.Reader.notifyHardware(m.slot, m.seq)
	}
}

// Unplug detaches the device.
func Unplug() Action { return func(e *Event) { e.Device.unplug() } }
