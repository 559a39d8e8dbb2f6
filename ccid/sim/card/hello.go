package card

import "time"

// HelloAID names the applet that says hello.
var HelloAID = []byte{0xA0, 0x00, 0x00, 0x00, 0x62, 0x03, 0x01, 0x0C, 0x06, 0x01}

// HelloText is what it says.
const HelloText = "Hello world!"

// Hello is the applet of every first smart card program: the command 00 00 00 00 answers HelloText.
type Hello struct{}

// AID is Applet's.
func (Hello) AID() []byte { return HelloAID }

// Takes is Applet's.
func (Hello) Takes(_, ins byte) (takes, ok bool) { return false, ins == 0 }

// Process is Applet's.
func (Hello) Process(c *Command, out []byte) ([]byte, uint16, time.Duration) {
	if c.CLA != 0 || c.INS != 0 {
		return out, swNoINS, 0
	}
	return append(out, HelloText...), swOK, 0
}
