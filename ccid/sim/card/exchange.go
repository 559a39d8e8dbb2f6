package card

import "time"

// ExchangeAID is the AID of Exchange. CombiAID is its AID on cards with two interfaces.
var (
	ExchangeAID = []byte{0xA0, 0x00, 0x00, 0x00, 0x18, 0xFF}
	CombiAID    = []byte{0xA0, 0x00, 0x00, 0x00, 0x18, 0x50}
)

// Exchange is an applet for the validation of readers, with each APDU case at each length.
//
//	80 30 00 00             case 1: 90 00
//	80 32 00 00 Lc data     case 3: 90 00, data must be 0, 1, 2, ...
//	80 34 P1 P2 Le          case 2: P1P2 bytes 0, 1, 2, ...
//	80 36 P1 P2 Lc data Le  case 4: P1P2 bytes 0, 1, 2, ...
//	80 38 00 tt             90 00 after tt times Unit
//	80 3C P1 P2 Le          as 34; the answer to a wrong Le at T=0 is 6Cxx
//	80 12 xx xx data        extended case 3: 90 00
//	80 00 04 42 Le          extended case 2: Le bytes 42
//
// With a PIN it also has the commands of PIN.
type Exchange struct {
	Name []byte        // the AID; nil means ExchangeAID
	Unit time.Duration // of the command 80 38; 0 means DefaultUnit
	PIN  *PIN          // nil means no PIN commands
}

// DefaultUnit is the default unit of the command 80 38.
const DefaultUnit = 100 * time.Millisecond

// Instructions.
const (
	insCase1    = 0x30
	insCase3    = 0x32
	insCase2    = 0x34
	insCase4    = 0x36
	insTime     = 0x38
	insWrongLe  = 0x3C
	insExtCase3 = 0x12
	insExtCase2 = 0x00
)

// AID implements Applet.
func (e *Exchange) AID() []byte {
	if e.Name != nil {
		return e.Name
	}
	return ExchangeAID
}

// Takes implements Applet.
func (e *Exchange) Takes(cla, ins byte) (takes, ok bool) {
	if cla == 0x00 && e.PIN != nil {
		return e.PIN.Takes(cla, ins)
	}
	switch ins {
	case insCase3, insCase4, insExtCase3:
		return true, true
	case insCase1, insCase2, insTime, insWrongLe, insExtCase2:
		return false, true
	}
	return false, false
}

// Process implements Applet.
func (e *Exchange) Process(c *Command, out []byte) ([]byte, uint16, time.Duration) {
	if c.CLA == 0x00 && e.PIN != nil {
		return e.PIN.Process(c, out)
	}
	if c.CLA != 0x80 {
		return out, swNoCLA, 0
	}
	length := int(c.P1)<<8 | int(c.P2)
	switch c.INS {
	case insCase1:
		return out, swOK, 0
	case insCase3, insCase4:
		for i, b := range c.Data {
			if b != byte(i) {
				return out, swWrongData, 0
			}
		}
		if c.INS == insCase4 {
			out = count(out, length)
		}
		return out, swOK, 0
	case insCase2, insWrongLe:
		return count(out, length), swOK, 0
	case insTime:
		unit := e.Unit
		if unit == 0 {
			unit = DefaultUnit
		}
		return out, swOK, time.Duration(c.P2) * unit
	case insExtCase3:
		return out, swOK, 0
	case insExtCase2:
		for range c.Ne {
			out = append(out, c.P2)
		}
		return out, swOK, 0
	}
	return out, swNoINS, 0
}

// Reset implements Resetter.
func (e *Exchange) Reset() {
	if e.PIN != nil {
		e.PIN.Reset()
	}
}

// count appends n bytes 0, 1, 2, ...
func count(out []byte, n int) []byte {
	for i := range n {
		out = append(out, byte(i))
	}
	return out
}
