package ccid

import "tamaccid/ccid/scard"

// The numbers that a caller of this package needs most, under short names. Package scard defines
// them, and has those of attributes and control codes.
type (
	// State is the state of a slot and its card.
	State = scard.State
	// Protocol is a set of transmission protocols, or the one in use.
	Protocol = scard.Protocol
	// Action is what happens to a card at Connect and Disconnect.
	Action = scard.Action
)

// The states of a slot, the protocols and the actions.
const (
	Unknown  = scard.Unknown
	Absent   = scard.Absent
	Inactive = scard.Inactive // a card is present and not powered
	Active   = scard.Active   // a card is present and powered

	Undefined = scard.Undefined
	T0        = scard.T0
	T1        = scard.T1
	Raw       = scard.Raw // offered by no slot

	Leave     = scard.Leave
	ColdReset = scard.ColdReset
	WarmReset = scard.WarmReset
	Unpower   = scard.Unpower
	Eject     = scard.Eject
)

// number is t of T=t (ISO/IEC 7816-3:2006, 8.2.3). p is a single protocol.
func number(p Protocol) uint8 {
	if p == T1 {
		return 1
	}
	return 0
}

// protocolOf is the inverse of number.
func protocolOf(t uint8) Protocol {
	switch t {
	case 0:
		return T0
	case 1:
		return T1
	}
	return Undefined
}
