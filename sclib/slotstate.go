package sclib

import "tamaccid/ccid/scard"

// StateOf is PC/SC's state of a slot, for backends whose readers have the state of UEFI 2.11,
// 37.6.4, and the protocol that is in use.
func StateOf(slot scard.State, active Protocol) CardState {
	switch slot {
	case scard.Absent:
		return CardAbsent
	case scard.Inactive:
		return CardPresent | CardSwallowed
	case scard.Active:
		if active == ProtocolUndefined {
			return CardPresent | CardPowered | CardNegotiable
		}
		return CardPresent | CardPowered | CardSpecific
	}
	return CardUnknown
}
