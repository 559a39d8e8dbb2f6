package card

import "time"

// EchoAID and SlowAID name the applets that give data back and that take their time.
var (
	EchoAID = []byte{0xF0, 't', 'a', 'm', 'a', 'c', 'c', 'i', 'd', 0x01}
	SlowAID = []byte{0xF0, 't', 'a', 'm', 'a', 'c', 'c', 'i', 'd', 0x02}
)

// Echo answers 80 EE P1 P2 Lc data Le with the data, up to 65,535 bytes.
type Echo struct{}

const insEcho = 0xEE

// AID is Applet's.
func (Echo) AID() []byte { return EchoAID }

// Takes is Applet's.
func (Echo) Takes(_, ins byte) (takes, ok bool) { return true, ins == insEcho }

// Process is Applet's.
func (Echo) Process(c *Command, out []byte) ([]byte, uint16, time.Duration) {
	switch {
	case c.CLA != 0x80:
		return out, swNoCLA, 0
	case c.INS != insEcho:
		return out, swNoINS, 0
	}
	return append(out, c.Data...), swOK, 0
}

// Slow answers 80 A0 P1 P2 after P1P2 milliseconds with 90 00.
type Slow struct{}

const insSlow = 0xA0

// AID is Applet's.
func (Slow) AID() []byte { return SlowAID }

// Takes is Applet's.
func (Slow) Takes(_, ins byte) (takes, ok bool) { return false, ins == insSlow }

// Process is Applet's.
func (Slow) Process(c *Command, out []byte) ([]byte, uint16, time.Duration) {
	switch {
	case c.CLA != 0x80:
		return out, swNoCLA, 0
	case c.INS != insSlow:
		return out, swNoINS, 0
	}
	return out, swOK, time.Duration(int(c.P1)<<8|int(c.P2)) * time.Millisecond
}
