// Package ifd is the interface device's side of a virtual card's contacts: the functions of a smart
// card reader's firmware between a command of the host and the characters on the line. It shares no
// code with the class driver, so that an error in one is not hidden by the same error in the other.
//
// The package does not sleep. A Line sums up the time that a card takes, and the virtual reader
// delays the answer.
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
	// ErrMute is a card that does not answer, or whose answer is incomplete.
	ErrMute = errors.New("ifd: card is mute")
	// ErrParity is a character with wrong parity.
	ErrParity = errors.New("ifd: parity error")
	// ErrProcedure is an invalid procedure byte.
	ErrProcedure = errors.New("ifd: procedure byte conflict")
	// ErrLength is a TPDU, block or APDU of the host with inconsistent lengths.
	ErrLength = errors.New("ifd: wrong length")
	// ErrOverrun is a card that sends too much data.
	ErrOverrun = errors.New("ifd: too much data")
	// ErrProtocol is a card that violates T=1 in all retries.
	ErrProtocol = errors.New("ifd: protocol error")
)

// Line is the I/O line between an interface device and one card.
type Line struct {
	// Card is the card, or nil.
	Card card.Card
	// Rate is the device's transmission rate, as a TA1.
	Rate byte
	// CRC makes T=1 blocks end with a CRC instead of an LRC.
	CRC bool

	// Spent is the time that the card has taken since Start.
	Spent time.Duration
	// Extensions are the card's requests for more time since Start: NULL bytes of T=0, and S(WTX
	// request)s of T=1 that the device has answered.
	Extensions []Extension

	bursts []card.Burst
	parity bool
	header [tpduHeader]byte // a field, so that it needs no allocation for each command
}

// Extension is one request for more time.
type Extension struct {
	// At is the time since Start.
	At time.Duration
	// Multiplier is INF of the S(WTX request), and 1 at T=0.
	Multiplier byte
}

// Start begins an exchange: it resets Spent, Extensions and Parity.
func (l *Line) Start() {
	l.Spent, l.Extensions, l.parity = 0, l.Extensions[:0], false
}

// Send sends characters to the card. Characters of the card that were not read are lost.
func (l *Line) Send(b []byte) {
	l.bursts = nil
	if l.Card != nil {
		l.bursts = l.Card.Send(l.Rate, b)
	}
}

// Read appends up to n characters of the card to out and reports whether there were n.
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

// Parity reports whether a character with wrong parity was read since Start.
func (l *Line) Parity() bool { return l.parity }

// extend records a request for more time.
func (l *Line) extend(multiplier byte) {
	l.Extensions = append(l.Extensions, Extension{At: l.Spent, Multiplier: multiplier})
}
