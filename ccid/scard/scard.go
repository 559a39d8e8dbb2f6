// Package scard holds the numbers of PC/SC, each defined once: protocols, the state of a slot, what
// is done to a card, attributes, features and control codes. The class driver (ccid), the library
// (sclib) and EFI_SMART_CARD_READER_PROTOCOL (uefi/smartcard) share them, so that none of these
// values is converted on its way through them.
//
// Specifications: PC/SC Specification 2.01, parts 3 (attributes), 5 (dispositions) and 10
// (features, control codes); UEFI 2.11, 37.6 (state of a slot, card actions).
package scard

import "strings"

// Protocol is a set of transmission protocols, or the one in use (SCARD_PROTOCOL_*). The values of
// PC/SC and of UEFI 2.11, 37.6.2 are the same.
type Protocol uint32

// The protocols.
const (
	Undefined Protocol = 0 // none negotiated
	T0        Protocol = 1 // ISO/IEC 7816-3:2006, clause 10
	T1        Protocol = 2 // ISO/IEC 7816-3:2006, clause 11
	Raw       Protocol = 4 // no slot of this module offers it
)

// String names the protocols of the set: "T=0", "T=0 or T=1". Unknown bits are left out.
func (p Protocol) String() string {
	var names []string
	for _, known := range [...]struct {
		bit  Protocol
		name string
	}{{T0, "T=0"}, {T1, "T=1"}, {Raw, "raw"}} {
		if p&known.bit != 0 {
			names = append(names, known.name)
		}
	}
	if len(names) == 0 {
		return "undefined"
	}
	return strings.Join(names, " or ")
}

// State is the state of a slot and its card (UEFI 2.11, 37.6.4: SCARD_UNKNOWN and so on). The
// SCARD_* states of PC/SC are another set of numbers: sclib.State.
type State uint32

// The states of a slot.
const (
	Unknown  State = 0
	Absent   State = 1
	Inactive State = 2 // a card is present and not powered
	Active   State = 3 // a card is present and powered
)

// String is the state in words.
func (s State) String() string {
	switch s {
	case Absent:
		return "no card"
	case Inactive:
		return "card not powered"
	case Active:
		return "card powered"
	}
	return "unknown"
}

// Action is what happens to a card at connection and disconnection (UEFI 2.11, 37.6.2: SCARD_CA_*).
type Action uint32

// The actions. Unpower and Eject are for disconnection only.
const (
	Leave     Action = 0
	ColdReset Action = 1
	WarmReset Action = 2
	Unpower   Action = 3
	Eject     Action = 4
)

// Disposition is PC/SC's number for what happens to a card (PC/SC part 5; SCARD_LEAVE_CARD,
// SCARD_RESET_CARD, SCARD_UNPOWER_CARD, SCARD_EJECT_CARD). It differs from Action, which has two
// kinds of reset.
type Disposition uint32

// The dispositions.
const (
	LeaveCard   Disposition = 0
	ResetCard   Disposition = 1
	UnpowerCard Disposition = 2
	EjectCard   Disposition = 3
)

// AtConnect is the action for a disposition with which a connection begins: a card that is to be
// reset is reset warm, and one that is to lose its power is powered again, which is a cold reset.
func (d Disposition) AtConnect() Action {
	switch d {
	case LeaveCard:
		return Leave
	case ResetCard:
		return WarmReset
	}
	return ColdReset
}

// AtDisconnect is the action for a disposition with which a connection ends.
func (d Disposition) AtDisconnect() Action {
	switch d {
	case ResetCard:
		return WarmReset
	case UnpowerCard:
		return Unpower
	case EjectCard:
		return Eject
	}
	return Leave
}
