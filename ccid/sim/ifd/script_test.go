package ifd

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"tamaccid/ccid/sim/card"
)

// scripted is a card that expects the characters of the lines "> HEX" and answers each with those
// of the lines "< HEX" that follow it. "~" before HEX means wrong parity.
type scripted struct {
	t     *testing.T
	lines []string
}

func script(t *testing.T, text string) (*Line, *scripted) {
	c := &scripted{t: t}
	for _, l := range strings.Split(strings.TrimSpace(text), "\n") {
		c.lines = append(c.lines, strings.TrimSpace(l))
	}
	return &Line{Card: c, Rate: card.DefaultRate}, c
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return b
}

func (c *scripted) Reset(bool, card.Voltage) []byte { return nil }
func (c *scripted) Off()                            {}

func (c *scripted) Send(_ byte, in []byte) (out []card.Burst) {
	if len(c.lines) == 0 {
		c.t.Fatalf("the device sent % X after the end", in)
	}
	want, ok := strings.CutPrefix(c.lines[0], ">")
	if w := unhex(c.t, want); !ok || string(w) != string(in) {
		c.t.Fatalf("the device sent % X, expected %s", in, c.lines[0])
	}
	for c.lines = c.lines[1:]; len(c.lines) > 0 && c.lines[0][0] == '<'; c.lines = c.lines[1:] {
		text, parity := strings.CutPrefix(strings.TrimSpace(c.lines[0][1:]), "~")
		if b := unhex(c.t, text); len(b) > 0 {
			out = append(out, card.Burst{Bytes: b, Parity: parity, After: time.Millisecond})
		}
	}
	return out
}

func (c *scripted) end() {
	c.t.Helper()
	if len(c.lines) > 0 {
		c.t.Errorf("the device did not send %v", c.lines)
	}
}

func check(t *testing.T, got []byte, err error, want string, wantErr error) {
	t.Helper()
	if err != wantErr {
		t.Fatalf("error %v, expected %v", err, wantErr)
	}
	if w := unhex(t, want); string(got) != string(w) {
		t.Errorf("got % X, expected % X", got, w)
	}
}
