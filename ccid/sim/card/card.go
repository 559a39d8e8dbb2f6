// Package card holds virtual smart cards. A card here is what its contacts show: a reset answered by an ATR, and
// characters both ways. So one card serves every kind of reader: one that passes characters, one that speaks T=0 or T=1 TPDUs,
// one that takes whole APDUs.
//
// The protocol machines (T=0 with procedure bytes, T=1 with its blocks, PPS) are the card's side only and share
// nothing with the class driver that they test. Time is not slept here: a card computes its answer at once and says how long
// it would have taken, and whoever stands for the reader decides what to do with that.
//
// Specifications: ISO/IEC 7816-3:2006 (ISO 7816-3), ISO/IEC 7816-4:2013 (ISO 7816-4).
package card

import "time"

// Voltage is one class of operating conditions, or a set of them (ISO 7816-3, 5.1.3).
type Voltage uint8

// The classes.
const (
	ClassA Voltage = 1 << iota // 5 V
	ClassB                     // 3 V
	ClassC                     // 1.8 V

	AnyClass = ClassA | ClassB | ClassC
)

// DefaultRate is the TA1 of a card that gives none: Fd = 372, Dd = 1 (ISO 7816-3, 8.1).
const DefaultRate = 0x11

// A Card is a card in a reader's contacts. Its methods are called by one reader at a time.
type Card interface {
	// Reset applies class v if the card is off, resets it and returns its answer, nil when it stays mute. cold tells a
	// cold reset from a warm one (ISO 7816-3, 6.2.2 and 6.2.3). The slice is the card's.
	Reset(cold bool, v Voltage) []byte

	// Off takes the supply away.
	Off()

	// Send puts characters on the I/O line at the transmission rate that a TA1 of rate stands for, and returns what the
	// card sends until it waits for the reader again, nil when it says nothing. A reader which uses another rate than
	// the card's is not understood. in may be empty. The result is valid until the next call.
	Send(rate byte, in []byte) []Burst
}

// Burst is a run of characters that a card sends.
type Burst struct {
	// After is how long the line was silent before the first character.
	After time.Duration
	Bytes []byte
	// Parity says that a character among them has wrong parity, and stays wrong when repeated.
	Parity bool
}
