package sclib

import "strings"

// A ShareMode says who else may use the reader while a Card is connected (PC/SC part 5, SCardConnect).
type ShareMode uint32

const (
	ShareExclusive ShareMode = 1 // SCARD_SHARE_EXCLUSIVE: nobody else
	ShareShared    ShareMode = 2 // SCARD_SHARE_SHARED: other shared connections
	ShareDirect    ShareMode = 3 // SCARD_SHARE_DIRECT: the reader, with or without a card; no APDUs
)

func (m ShareMode) valid() bool { return m >= ShareExclusive && m <= ShareDirect }

// A Protocol is a set of card protocols (SCARD_PROTOCOL_*), or the one that is in use.
type Protocol uint32

const (
	ProtocolUndefined Protocol = 0 // none negotiated
	ProtocolT0        Protocol = 1 // ISO/IEC 7816-3:2006, 10
	ProtocolT1        Protocol = 2 // ISO/IEC 7816-3:2006, 11
	ProtocolRaw       Protocol = 4 // the bytes as they are
	ProtocolAny                = ProtocolT0 | ProtocolT1
)

// String names the protocols of the set: "T=0", "T=0 or T=1".
func (p Protocol) String() string {
	var names []string
	for _, known := range []struct {
		bit  Protocol
		name string
	}{{ProtocolT0, "T=0"}, {ProtocolT1, "T=1"}, {ProtocolRaw, "raw"}} {
		if p&known.bit != 0 {
			names = append(names, known.name)
		}
	}
	if len(names) == 0 {
		return "undefined"
	}
	return strings.Join(names, " or ")
}

// A Disposition says what happens to the card when it is given back, or what a Reconnect does first
// (SCARD_LEAVE_CARD, SCARD_RESET_CARD, SCARD_UNPOWER_CARD, SCARD_EJECT_CARD).
type Disposition uint32

const (
	LeaveCard   Disposition = 0 // nothing
	ResetCard   Disposition = 1 // warm reset
	UnpowerCard Disposition = 2 // power off; a Reconnect powers on again: cold reset
	EjectCard   Disposition = 3 // power off and eject, where the reader can
)

// CardState describes a slot and its card, a set of bits with the values of pcsc-lite (SCARD_ABSENT, ...).
type CardState uint32

const (
	CardUnknown    CardState = 0x01 // SCARD_UNKNOWN: the reader does not say
	CardAbsent     CardState = 0x02 // SCARD_ABSENT
	CardPresent    CardState = 0x04 // SCARD_PRESENT
	CardSwallowed  CardState = 0x08 // SCARD_SWALLOWED: present, not powered
	CardPowered    CardState = 0x10 // SCARD_POWERED
	CardNegotiable CardState = 0x20 // SCARD_NEGOTIABLE: powered, protocol not chosen yet
	CardSpecific   CardState = 0x40 // SCARD_SPECIFIC: powered, protocol chosen
)

// Has reports whether all bits of want are set.
func (s CardState) Has(want CardState) bool { return s&want == want }

// String says the state in words.
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

const (
	// MaxATR is the longest answer to reset (ISO/IEC 7816-3:2006, 8.1: TS and at most 32 characters).
	MaxATR = 33
	// MaxCommand is the longest extended command APDU: header, three bytes Lc, 65,535 data bytes, two bytes Le
	// (ISO/IEC 7816-3:2006, 12.1).
	MaxCommand = 4 + 3 + 65535 + 2
	// MaxResponse is the longest response APDU: 65,536 data bytes and the status word (ISO/IEC 7816-3:2006, 12.1).
	MaxResponse = 65536 + 2
	// maxControl bounds what Control and GetAttrib read; pcsc-lite's MAX_BUFFER_SIZE_EXTENDED is of this size too (policy).
	maxControl = MaxResponse
)
