// Package ifd is the interface device's side of a virtual card's contacts: what the firmware of a smart card reader
// does between a command of its host and the characters on the line. It is written apart from the class driver, so
// that neither can hide the other's mistakes.
//
// Nothing sleeps here. A Line adds up the time that a card takes; who shows the answer to a host decides when.
//
// Specification: ISO/IEC 7816-3:2006 (ISO 7816-3).
package ifd

import (
	"errors"
	"time"

	"tamaccid/ccid/sim/card"
)

// Reasons why an exchange with a card failed.
var (
	// ErrMute is a card that says nothing, or stops before the end.
	ErrMute = errors.New("ifd: card is mute")
	// ErrParity is a character whose parity stayed wrong.
	ErrParity = errors.New("ifd: parity error")
	// ErrProcedure is a procedure byte that means nothing at this point.
	ErrProcedure = errors.New("ifd: procedure byte conflict")
	// ErrLength is a TPDU, block or APDU from the host whose length contradicts itself.
	ErrLength = errors.New("ifd: wrong length")
	// ErrOverrun is a card that sends more than can be taken.
	ErrOverrun = errors.New("ifd: too much data")
	// ErrProtocol is a card that breaks the rules of T=1 until retries end.
	ErrProtocol = errors.New("ifd: protocol error")
)

// Line is the I/O line between an interface device and one card.
type Line struct {
	Card card.Card
	// Rate is the TA1 that the device's clock divider is set to.
	Rate byte
	// CRC says that T=1 blocks end with a CRC.
	CRC bool

	// Spent is how long the card has taken since Start. Asked are the moments, in that time, at which it asked for more
	// time, by a T=0 NULL or a T=1 S(WTX request) that the device answered itself.
	Spent time.Duration
	Asked []Extension

	bursts []card.Burst
	parity bool
	header [tpduHeader]byte // here and not on the stack: the card gets a slice of it
}

// Extension is one request for more time.
type Extension struct {
	At time.Duration
	// Multiplier is T=1's, 1 at T=0.
	Multiplier byte
}

// Start begins the account of an exchange.
func (l *Line) Start() {
	l.Spent, l.Asked, l.parity = 0, l.Asked[:0], false
}

// Send puts characters on the line. What the card sent before and nobody read is lost.
func (l *Line) Send(b []byte) {
	l.bursts = nil
	if l.Card != nil {
		l.bursts = l.Card.Send(l.Rate, b)
	}
}

// Read appends up to n characters to out and says whether all of them came.
func (l *Line) Read(out []byte, n int) ([]byte, bool) {
	for n > 0 {
		if len(l.bursts) == 0 {
			return out, false
		}
		b := &l.bursts[0]
		l.Spent += b.After
		b.After = 0
		l.parity = l.parity || b.Parity
		k := min(n, len(b.Bytes))
		out = append(out, b.Bytes[:k]...)
		b.Bytes = b.Bytes[k:]
		n -= k
		if len(b.Bytes) == 0 {
			l.bursts = l.bursts[1:]
		}
	}
	return out, true
}

// Parity says whether a character with wrong parity was read since Start.
func (l *Line) Parity() bool { return l.parity }

func (l *Line) extend(multiplier byte) {
	l.Asked = append(l.Asked, Extension{At: l.Spent, Multiplier: multiplier})
}
