package card

import (
	"bytes"
	"time"
)

// PINAID is the AID of PIN.
var PINAID = []byte{0xF0, 't', 'a', 'm', 'a', 'c', 'c', 'i', 'd', 0x03}

// PIN is an applet for card holder verification: VERIFY (ISO 7816-4, 11.6.6), CHANGE REFERENCE DATA
// (11.6.8), and a dump of the last PIN block, which a real card does not have and tests of PIN pads
// need.
//
//	00 20 00 xx 08 block         VERIFY; without data: 90 00 if verified, else the tries left, 63 Cx
//	00 24 00 xx Lc old new       CHANGE REFERENCE DATA, both of the same length
//	00 40 00 00 Le               the last data field of these commands
type PIN struct {
	// Reference is the correct PIN block, in the format of the data field.
	Reference []byte
	// Tries is the number of consecutive wrong PINs that block the PIN. 0 means 3.
	Tries int
	// Always accepts each block, for tests of a reader's PIN formats.
	Always bool
	// Work is the card's processing time for a block.
	Work time.Duration

	wrong    int
	verified bool
	last     []byte
}

const (
	insVerify = 0x20
	insChange = 0x24
	insDump   = 0x40

	defaultTries = 3
)

// AID implements Applet.
func (p *PIN) AID() []byte { return PINAID }

// Takes implements Applet.
func (p *PIN) Takes(_, ins byte) (takes, ok bool) {
	switch ins {
	case insVerify, insChange:
		return true, true
	case insDump:
		return false, true
	}
	return false, false
}

// Reset implements Resetter: it ends the verified state, and keeps the count of tries.
func (p *PIN) Reset() { p.verified = false }

// left returns the number of tries left.
func (p *PIN) left() int {
	n := p.Tries
	if n == 0 {
		n = defaultTries
	}
	return n - p.wrong
}

// Process implements Applet.
func (p *PIN) Process(c *Command, out []byte) ([]byte, uint16, time.Duration) {
	switch c.INS {
	case insVerify:
		if len(c.Data) == 0 {
			if p.verified {
				return out, swOK, 0
			}
			return out, swPINTries | uint16(p.left()&0x0F), 0
		}
		return out, p.verify(c.Data, c.Data), p.Work
	case insChange:
		half := len(c.Data) / 2
		if half == 0 || len(c.Data)%2 != 0 {
			return out, swWrongLength, 0
		}
		sw := p.verify(c.Data[:half], c.Data)
		if sw == swOK {
			p.Reference = append([]byte(nil), c.Data[half:]...)
		}
		return out, sw, p.Work
	case insDump:
		return append(out, p.last...), swOK, 0
	}
	return out, swNoINS, 0
}

// verify compares a block with the reference and returns the status word. all is the data field.
func (p *PIN) verify(block, all []byte) uint16 {
	p.last = append(p.last[:0], all...)
	if p.left() <= 0 {
		return swBlocked
	}
	if !p.Always && !bytes.Equal(block, p.Reference) {
		p.verified = false
		p.wrong++
		if p.left() <= 0 {
			return swBlocked
		}
		return swPINTries | uint16(p.left()&0x0F)
	}
	p.wrong, p.verified = 0, true
	return swOK
}
