package card

import "time"

// HelloAID is the AID of Hello.
var HelloAID = []byte{0xA0, 0x00, 0x00, 0x00, 0x62, 0x03, 0x01, 0x0C, 0x06, 0x01}

// HelloText is the answer of Hello.
const HelloText = "Hello world!"

// Hello is the applet of samples/helloworld: it answers the command 00 00 00 00 with HelloText.
type Hello struct{}

// AID implements Applet.
func (Hello) AID() []byte { return HelloAID }

// Takes implements Applet.
func (Hello) Takes(_, ins byte) (takes, ok bool) { return false, ins == 0 }

// Process implements Applet.
func (Hello) Process(c *Command, out []byte) ([]byte, uint16, time.Duration) {
	if c.CLA != 0 || c.INS != 0 {
		return out, swNoINS, 0
	}
	return append(out, HelloText...), swOK, 0
}
