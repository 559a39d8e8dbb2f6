package card

import "time"

// EchoAID and SlowAID are the AIDs of Echo and Slow.
var (
	EchoAID = []byte{0xF0, 't', 'a', 'm', 'a', 'c', 'c', 'i', 'd', 0x01}
	SlowAID = []byte{0xF0, 't', 'a', 'm', 'a', 'c', 'c', 'i', 'd', 0x02}
)

// Echo is an applet that answers 80 EE P1 P2 Lc data Le with the data, up to 65,535 bytes.
type Echo struct{}

const insEcho = 0xEE

// AID implements Applet.
func (Echo) AID() []byte { return EchoAID }

// Takes implements Applet.
func (Echo) Takes(_, ins byte) (takes, ok bool) { return true, ins == insEcho }

// Process implements Applet.
func (Echo) Process(c *Command, out []byte) ([]byte, uint16, time.Duration) {
	switch {
	case c.CLA != 0x80:
		return out, swNoCLA, 0
	case c.INS != insEcho:
		return out, swNoINS, 0
	}
	return append(out, c.Data...), swOK, 0
}

// Slow is an applet that answers 80 A0 P1 P2 with 90 00 after P1P2 milliseconds.
type Slow struct{}

const insSlow = 0xA0

// AID implements Applet.
func (Slow) AID() []byte { return SlowAID }

// Takes implements Applet.
func (Slow) Takes(_, ins byte) (takes, ok bool) { return false, ins == insSlow }

// Process implements Applet.
func (Slow) Process(c *Command, out []byte) ([]byte, uint16, time.Duration) {
	switch {
	case c.CLA != 0x80:
		return out, swNoCLA, 0
	case c.INS != insSlow:
		return out, swNoINS, 0
	}
	return out, swOK, time.Duration(int(c.P1)<<8|int(c.P2)) * time.Millisecond
}
