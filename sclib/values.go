package sclib

import "tamaccid/ccid/scard"

// A ShareMode is the sharing of a reader while a Card is connected (PC/SC part 5, SCardConnect).
type ShareMode uint32

// The share modes.
const (
	ShareExclusive ShareMode = 1 // SCARD_SHARE_EXCLUSIVE: no other connection
	ShareShared    ShareMode = 2 // SCARD_SHARE_SHARED: other shared or direct connections
	ShareDirect    ShareMode = 3 // SCARD_SHARE_DIRECT: the reader, with or without a card; no APDUs
)

// accepts reports whether m is a share mode, and preferred has a protocol if m needs one.
func (m ShareMode) accepts(preferred Protocol) bool {
	switch m {
	case ShareExclusive, ShareShared:
		return preferred&(ProtocolAny|ProtocolRaw) != 0
	}
	return m == ShareDirect
}

// A Protocol is a set of card protocols, or the one in use (SCARD_PROTOCOL_* of pcsc-lite).
type Protocol = scard.Protocol

// The protocols.
const (
	ProtocolUndefined = scard.Undefined // none negotiated
	ProtocolT0        = scard.T0        // ISO/IEC 7816-3:2006, 10
	ProtocolT1        = scard.T1        // ISO/IEC 7816-3:2006, 11
	ProtocolRaw       = scard.Raw       // bytes without a protocol
	ProtocolAny       = ProtocolT0 | ProtocolT1
)

// A Disposition is what Disconnect, EndTransaction and Reconnect do to the card.
type Disposition = scard.Disposition

// The dispositions.
const (
	LeaveCard   = scard.LeaveCard   // SCARD_LEAVE_CARD: nothing
	ResetCard   = scard.ResetCard   // SCARD_RESET_CARD: warm reset
	UnpowerCard = scard.UnpowerCard // SCARD_UNPOWER_CARD: power off; in Reconnect cold reset
	EjectCard   = scard.EjectCard   // SCARD_EJECT_CARD: power off and eject, if the reader can
)

// CardState is the state of a slot and its card, as SCardStatus reports it: a set of bits with the
// values of pcsc-lite. The bits of GetStatusChange are those of StateFlags.
type CardState uint32

// The bits of CardState.
const (
	CardUnknown    CardState = 0x01 // SCARD_UNKNOWN: the reader reports no state
	CardAbsent     CardState = 0x02 // SCARD_ABSENT
	CardPresent    CardState = 0x04 // SCARD_PRESENT
	CardSwallowed  CardState = 0x08 // SCARD_SWALLOWED: present, not powered
	CardPowered    CardState = 0x10 // SCARD_POWERED
	CardNegotiable CardState = 0x20 // SCARD_NEGOTIABLE: powered, without a protocol
	CardSpecific   CardState = 0x40 // SCARD_SPECIFIC: powered, with a protocol
)

// Has reports whether all bits of want are set.
func (s CardState) Has(want CardState) bool { return s&want == want }

// String returns a description in words.
func (s CardState) String() string {
	switch {
	case s&CardSpecific != 0:
		return "card present and ready"
	case s&(CardPowered|CardNegotiable) != 0:
		return "card present and powered"
	case s&(CardPresent|CardSwallowed) != 0:
		return "card present"
	case s&CardAbsent != 0:
		return "no card"
	}
	return "unknown"
}

// Lengths, in bytes.
const (
	// MaxATR is the length of the longest answer to reset (ISO/IEC 7816-3:2006, 8.1: TS and at most
	// 32 characters).
	MaxATR = 33
	// MaxCommand is the length of the longest command APDU: header, three bytes of Lc, 65,535 bytes
	// of data, two bytes of Le (ISO/IEC 7816-3:2006, 12.1).
	MaxCommand = 4 + 3 + 65535 + 2
	// MaxResponse is the length of the longest response APDU: 65,536 bytes of data and the status
	// word (ISO/IEC 7816-3:2006, 12.1).
	MaxResponse = 65536 + 2
	// maxControl bounds the answers of Control and GetAttrib (policy; about pcsc-lite's
	// MAX_BUFFER_SIZE_EXTENDED).
	maxControl = MaxResponse
)
