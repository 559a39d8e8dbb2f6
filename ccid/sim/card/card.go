// Package card has virtual smart cards. A card is modelled at its contacts: it answers a reset with
// an ATR, and exchanges characters. The same card therefore works in each kind of reader: character
// level, TPDU level with T=0 and T=1, and APDU level.
//
// The protocol machines (T=0 with procedure bytes, T=1 with its blocks, PPS) are the card's side,
// and share no code with the class driver that they test. A card does not sleep: it returns its
// answer at once, together with the time that it would have taken. The caller, a virtual reader,
// decides what to do with that time.
//
// [Named] returns the cards of the catalogue, [New] a card with other properties, [Noise] a card
// with a bad contact.
//
// Specifications: ISO/IEC 7816-3:2006 (ISO 7816-3), ISO/IEC 7816-4:2013 (ISO 7816-4).
package card

import "time"

// Voltage is one class of operating conditions, or a set of them (ISO 7816-3, 5.1.3).
type Voltage uint8

// The classes of operating conditions.
const (
	ClassA Voltage = 1 << iota // 5 V
	ClassB                     // 3 V
	ClassC                     // 1.8 V

	AnyClass = ClassA | ClassB | ClassC // all of them
)

// DefaultRate is the TA1 of a card that sends none: Fd = 372, Dd = 1 (ISO 7816-3, 8.1).
const DefaultRate = 0x11

// A Card is a card at a reader's contacts. One reader at a time calls its methods.
type Card interface {
	// Reset applies class v if the card is off, resets it and returns its answer, or nil if it is
	// mute. It is a cold or a warm reset (ISO 7816-3, 6.2.2 and 6.2.3). The card owns the slice.
	Reset(cold bool, v Voltage) []byte

	// Off deactivates the contacts (ISO 7816-3, 6.4).
	Off()

	// Send transmits characters to the card at the rate of a TA1, and returns the characters that
	// the card sends until it waits for the reader again, or nil if it sends nothing. A card does
	// not receive characters at another rate than its own. in may be empty. The result is valid
	// until the next call.
	Send(rate byte, in []byte) []Burst
}

// Burst is a sequence of characters from a card.
type Burst struct {
	// After is the time before the first character.
	After time.Duration
	// Bytes are the characters.
	Bytes []byte
	// Parity reports that a character has wrong parity, also when it is repeated.
	Parity bool
}
