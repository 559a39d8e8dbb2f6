package card

import (
	"bytes"
	"time"
)

// An Applet is an application on a card. It checks its input, which comes from the reader.
type Applet interface {
	// AID returns the name for SELECT (ISO 7816-4, 8.2.1.2).
	AID() []byte

	// Takes reports whether P3 of a T=0 command is the length of its data (true) or of the response
	// data (false), which the header does not show (ISO 7816-3, 10.3.2). ok is false for an unknown
	// instruction.
	Takes(cla, ins byte) (takes, ok bool)

	// Process executes a command. It appends the response data to out and returns the status word
	// and the card's processing time. The card owns c.Data and out.
	Process(c *Command, out []byte) (data []byte, sw uint16, work time.Duration)
}

// A Resetter is an Applet with state that a reset ends.
type Resetter interface {
	// Reset ends the state.
	Reset()
}

// system is the card's operating system: applet selection, GET RESPONSE, ENVELOPE, and answers in
// several parts.
type system struct {
	applets  []Applet
	selected Applet

	cmd  Command // the present command
	resp []byte  // data of the last command
	left int     // the number of bytes at its end that were not sent
	sw   uint16  // status word after the last byte

	envelope     []byte // part of a command APDU
	envelopeDone bool   // it was complete and executed; an empty ENVELOPE may follow
	strict       bool   // only an empty ENVELOPE ends a command (ISO 7816-4, 11.7.2)
}

// Instructions of the operating system (ISO 7816-4, table 4).
const (
	insSelect      = 0xA4
	insGetResponse = 0xC0
	insEnvelope    = 0xC2

	selectByName = 0x04 // P1 of SELECT (ISO 7816-4, 11.2.2)
)

// maxEnvelope bounds a command in ENVELOPEs: extended case 4 (ISO 7816-3, 12.1.3).
const maxEnvelope = headerSize + 3 + 65535 + 2

// reset selects the first applet and drops all commands and answers.
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

// execute executes one command. The response data is in s.resp, and none of it is sent.
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

// selectApplet selects the first applet whose AID begins with a name.
func (s *system) selectApplet(name []byte) uint16 {
	for _, a := range s.applets {
		if len(name) > 0 && bytes.HasPrefix(a.AID(), name) {
			s.selected = a
			return swOK
		}
	}
	return swNotFound
}

// unread returns the part of the response data that was not sent.
func (s *system) unread() []byte { return s.resp[len(s.resp)-s.left:] }

// apdu executes a command APDU and appends the response APDU to out, as for T=1.
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

// lowByte encodes a length in SW2: 256 and more are 00 (ISO 7816-4, 5.6).
func lowByte(n int) byte {
	if n >= maxShort {
		return 0
	}
	return byte(n)
}

// envelopeAPDU executes an ENVELOPE command APDU and appends its response to out.
func (s *system) envelopeAPDU(c *Command, out []byte) ([]byte, time.Duration) {
	hasLe, ne := c.HasLe, c.Ne // of the ENVELOPE: collect puts the inner command into c
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

// collect appends the data of an ENVELOPE command, and executes the inner command when it is
// complete: by its length fields, or in strict mode by an empty ENVELOPE.
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
	if c.HasLe && s.left > c.Ne { // the rest is not requested
		s.resp = s.resp[:c.Ne]
		s.left = c.Ne
	}
	return swOK, work
}
