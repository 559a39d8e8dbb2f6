package reader

import (
	"time"

	"tamaccid/ccid/usb"
)

// Requests of an ICCD over the control endpoint (ICCD 1.0, tables 6.2-1 and 6.3-1).
const (
	iccdPowerOn    = 0x62
	iccdPowerOff   = 0x63
	iccdXfrBlock   = 0x65
	iccdDataBlock  = 0x6F
	iccdSlotStatus = 0x81 // version B
	iccdICCStatus  = 0xA0 // version A
)

// Values of the status byte of version A (ICCD 1.0, 6.2.5).
const (
	statusReset = 0x00 // no data is available
	statusData  = 0x10
	statusSW    = 0x20
	statusBusy  = 0x40
	statusMute  = 0x80
)

// Values of bResponseType of version B (ICCD 1.0, 6.3.5); 1, 2, 3 and 10h are those of
// bChainParameter.
const (
	responseStatus = 0x40
	responsePoll   = 0x80
)

// iccdState is the state between two control requests.
type iccdState struct {
	pending []byte // data block, or for version B the data of the response type
	kind    byte   // its response type, version B
	due     time.Time
	mute    bool
	status  byte // bmICCStatus and bmCommandStatus of version B
	code    byte
	err     error // of a fault

	// Version A at character level: the card has acknowledged the header, and the number of bytes
	// left.
	ack    bool
	left   int
	header [tpduHeader]byte
}

// iccd executes a class request of a smart card that is a USB device. The card is in its only slot.
func (r *Reader) iccd(version Kind, setup usb.Setup, data []byte) ([]byte, error) {
	s := r.slots[0]
	if err := r.control.err; err != nil && setup.In() {
		r.control.err = nil
		return nil, err
	}
	if version == ICCDA {
		return r.versionA(s, setup, data)
	}
	return r.versionB(s, setup, data)
}

// work returns the time until the pending answer is available.
func (c *iccdState) work() time.Duration {
	if c.due.IsZero() {
		return 0
	}
	return time.Until(c.due)
}

// run executes a request as a CCID command for slot 0 and returns the answer, or nil if it is lost.
func (r *Reader) run(kind byte, specific [3]byte, data []byte) (answer []byte) {
	message := appendHeader(nil, kind, 0, 0, specific[0], specific[1], specific[2])
	message = append(message, data...)
	finish(message)
	r.control = iccdState{}
	if _, ok := r.execute(message, true); !ok || len(r.answers) == 0 {
		return nil
	}
	last := r.answers[len(r.answers)-1] // the poll answers replace time extensions
	if last.Err != nil {
		r.control.err = last.Err
		return nil
	}
	if last.Never || len(last.Bytes) < headerSize {
		r.control.due = time.Now().Add(time.Hour)
		return nil
	}
	if last.After > 0 {
		r.control.due = time.Now().Add(last.After)
	}
	return last.Bytes
}

// versionA executes a request of version A (ICCD 1.0, 6.2).
func (r *Reader) versionA(s *slot, setup usb.Setup, data []byte) ([]byte, error) {
	switch {
	case setup.In() && setup.Request == iccdPowerOn:
		answer := r.run(IccPowerOn, [3]byte{}, nil)
		if answer == nil || answer[7]&cmdFailed != 0 {
			r.control.mute = true
			return nil, usb.ErrStall
		}
		return answer[headerSize:], nil
	case !setup.In() && setup.Request == iccdPowerOff:
		r.run(IccPowerOff, [3]byte{}, nil)
		return nil, nil
	case !setup.In() && setup.Request == iccdXfrBlock:
		if r.control.work() > 0 {
			return nil, usb.ErrStall
		}
		if r.class().Level() == Character {
			r.phase(s, data)
			return nil, nil
		}
		answer := r.run(XfrBlock, [3]byte{}, data)
		if answer == nil || answer[7]&cmdFailed != 0 {
			r.control.mute = true
			return nil, nil
		}
		r.control.pending = answer[headerSize:]
		return nil, nil
	case setup.In() && setup.Request == iccdDataBlock && r.control.ack:
		return r.dataPhase(s, int(setup.Length)), nil
	case setup.In() && setup.Request == iccdDataBlock:
		if r.control.pending == nil || r.control.work() > 0 {
			return nil, usb.ErrStall
		}
		b := r.control.pending[:min(len(r.control.pending), int(setup.Length))]
		if r.control.pending = r.control.pending[len(b):]; len(r.control.pending) == 0 {
			r.control.pending = nil
		}
		return b, nil
	case setup.In() && setup.Request == iccdICCStatus:
		return []byte{r.control.statusA()}, nil
	}
	return nil, usb.ErrStall
}

// statusA returns the status byte of version A.
func (c *iccdState) statusA() byte {
	switch {
	case c.work() > 0:
		return statusBusy
	case c.mute:
		return statusMute
	case c.ack:
		return statusData
	case len(c.pending) > 2:
		return statusData
	case len(c.pending) > 0:
		return statusSW
	}
	return statusReset
}

// versionB executes a request of version B (ICCD 1.0, 6.3).
func (r *Reader) versionB(s *slot, setup usb.Setup, data []byte) ([]byte, error) {
	switch {
	case !setup.In() && setup.Request == iccdPowerOn:
		r.keep(r.run(IccPowerOn, [3]byte{byte(setup.Value)}, nil))
		return nil, nil
	case !setup.In() && setup.Request == iccdPowerOff:
		r.keep(r.run(IccPowerOff, [3]byte{}, nil))
		return nil, nil
	case !setup.In() && setup.Request == iccdXfrBlock:
		if r.control.work() > 0 {
			return nil, usb.ErrStall
		}
		r.keep(r.run(XfrBlock, [3]byte{byte(setup.Value), byte(setup.Value >> 8)}, data))
		return nil, nil
	case setup.In() && setup.Request == iccdDataBlock:
		if wait := r.control.work(); wait > 0 {
			const unit = 10 * time.Millisecond // wTimeToPoll
			n := min(max(int(wait/unit), 1), 0xFFFF)
			return []byte{responsePoll, byte(n), byte(n >> 8)}, nil
		}
		if r.control.kind == responseStatus {
			return []byte{responseStatus, r.control.status, r.control.code}, nil
		}
		return append([]byte{r.control.kind}, r.control.pending...), nil
	case setup.In() && setup.Request == iccdSlotStatus:
		return []byte{s.status() | r.control.status&0xC0, r.control.code, s.clock()}, nil
	}
	return nil, usb.ErrStall
}

// keep makes a CCID answer the answer to the next data block request.
func (r *Reader) keep(answer []byte) {
	if answer == nil {
		return
	}
	c := &r.control
	c.status, c.code, c.kind = answer[7], answer[8], answer[9]
	switch {
	case answer[0] != DataBlock, answer[7]&cmdFailed != 0:
		c.kind = responseStatus
	default:
		c.pending = answer[headerSize:]
	}
}
