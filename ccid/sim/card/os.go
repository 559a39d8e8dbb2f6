package card

import (
	"bytes"
	"time"
)

// An Applet is an application on a card. Everything it gets comes from the reader's side and is checked by it.
type Applet interface {
	// AID is the name that SELECT looks for (ISO 7816-4, 8.2.1.2).
	AID() []byte

	// Takes says, for a command at T=0, whether its P3 is a length of data that follows (true) or of data wanted (false):
	// nothing on the line tells (ISO 7816-3, 10.3.2). ok is false for an instruction that the applet does not know.
	Takes(cla, ins byte) (takes, ok bool)

	// Process executes a command. Response data is appended to out; the status word and the time that the card works follow.
	// c.Data and out are the card's.
	Process(c *Command, out []byte) (data []byte, sw uint16, work time.Duration)
}

// A Resetter is an Applet with state that a reset ends.
type Resetter interface{ Reset() }

// system is the card's operating system: applet selection, GET RESPONSE and ENVELOPE over T=0, delivery of an answer in the
// portions that the reader asks for.
type system struct {
	applets  []Applet
	selected Applet

	cmd  Command // the command at hand
	resp []byte  // data of the last command
	left int     // how much of it, at its end, has not been fetched
	sw   uint16  // status once all is fetched

	envelope     []byte // command APDU in the making
	envelopeDone bool   // it was executed when it was complete, and an empty ENVELOPE may still close it
	strict       bool   // only an empty ENVELOPE ends a command (ISO 7816-4, 11.7.2: "end of data string")
}

// Instructions of the operating system (ISO 7816-4, table 4).
const (
	insSelect      = 0xA4
	insGetResponse = 0xC0
	insEnvelope    = 0xC2

	selectByName = 0x04 // P1 of SELECT (ISO 7816-4, 11.2.2)
)

// maxEnvelope bounds a command collected by ENVELOPE: an extended one of case 4 (ISO 7816-3, 12.1.3).
const maxEnvelope = headerSize + 3 + 65535 + 2

func (s *system) reset() {
	s.resp, s.left, s.sw = s.resp[:0], 0, 0
	s.envelope, s.envelopeDone = s.envelope[:0], false
	s.selected = nil
	if len(s.applets) > 0 {
		s.selected = s.applets[0]
	}
	for _, a := range s.applets {
		if r, ok := a.(Resetter); ok {
			r.Reset()
		}
	}
}

// execute runs one command and leaves its answer in s.resp, all of it still to be fetched.
func (s *system) execute(c *Command) (sw uint16, work time.Duration) {
	s.resp, s.left = s.resp[:0], 0
	switch {
	case c.CLA == 0xFF: // reserved for PPS (ISO 7816-4, 5.4.1)
		sw = swNoCLA
	case c.INS == insSelect && c.P1 == selectByName && c.CLA == 0:
		sw = s.selectApplet(c.Data)
	case s.selected == nil:
		sw = swNoINS
	default:
		s.resp, sw, work = s.selected.Process(c, s.resp)
	}
	s.left, s.sw = len(s.resp), sw
	return sw, work
}

func (s *system) selectApplet(name []byte) uint16 {
	for _, a := range s.applets {
		if len(name) > 0 && bytes.HasPrefix(a.AID(), name) {
			s.selected = a
			return swOK
		}
	}
	return swNotFound
}

// unread is the part of the answer that has not been fetched.
func (s *system) unread() []byte { return s.resp[len(s.resp)-s.left:] }

// apdu executes a whole command APDU and appends the whole response APDU to out: what T=1 carries.
func (s *system) apdu(b, out []byte) ([]byte, time.Duration) {
	var err error
	c := &s.cmd
	if *c, err = ParseCommand(b); err != nil {
		return append(out, swWrongLength>>8, swWrongLength&0xFF), 0
	}
	var sw uint16
	var work time.Duration
	switch {
	case c.INS == insGetResponse && s.left > 0:
		sw = s.sw
	case c.INS == insEnvelope:
		return s.envelopeAPDU(c, out)
	default:
		sw, work = s.execute(c)
	}
	give := s.left
	if c.HasLe && give > c.Ne {
		give = c.Ne
	}
	out = append(out, s.unread()[:give]...)
	s.left -= give
	if s.left > 0 {
		sw = swMore | uint16(lowByte(s.left))
	}
	return append(out, byte(sw>>8), byte(sw)), work
}

// lowByte codes a length in the second status byte: 256 and more are 00 (ISO 7816-4, 5.6).
func lowByte(n int) byte {
	if n >= maxShort {
		return 0
	}
	return byte(n)
}

func (s *system) envelopeAPDU(c *Command, out []byte) ([]byte, time.Duration) {
	hasLe, ne := c.HasLe, c.Ne // of the ENVELOPE: c is the inner command afterwards
	sw, work := s.collect(c.Data)
	give := s.left
	if hasLe && give > ne {
		give = ne
	}
	if sw == swOK {
		out = append(out, s.unread()[:give]...)
		s.left -= give
		sw = s.sw
		if s.left > 0 {
			sw = swMore | uint16(lowByte(s.left))
		}
	}
	return append(out, byte(sw>>8), byte(sw)), work
}

// collect takes the data of an ENVELOPE command, and executes the command that it carries when that is complete: by its own
// length fields, or for a strict card at the empty ENVELOPE that ends the string.
func (s *system) collect(part []byte) (sw uint16, work time.Duration) {
	if len(part) == 0 && s.envelopeDone {
		s.envelopeDone = false
		return swOK, 0
	}
	s.envelopeDone = false
	if len(s.envelope)+len(part) > maxEnvelope {
		s.envelope = s.envelope[:0]
		return swWrongLength, 0
	}
	s.envelope = append(s.envelope, part...)
	var err error
	c := &s.cmd
	*c, err = ParseCommand(s.envelope)
	complete := err == nil && (c.Extended || len(part) == 0)
	if s.strict {
		complete = len(part) == 0
	}
	if !complete {
		s.resp, s.left, s.sw = s.resp[:0], 0, swOK
		if len(part) == 0 {
			s.envelope = s.envelope[:0]
			return swWrongLength, 0
		}
		return swOK, 0
	}
	s.envelope = s.envelope[:0]
	if err != nil || c.INS == insEnvelope {
		s.resp, s.left, s.sw = s.resp[:0], 0, swWrongLength
		return swWrongLength, 0
	}
	_, work = s.execute(c)
	s.envelopeDone = len(part) > 0
	if c.HasLe && s.left > c.Ne { // the rest is not wanted
		s.resp = s.resp[:c.Ne]
		s.left = c.Ne
	}
	return swOK, work
}
