// Package smartcard is EFI_SMART_CARD_READER_PROTOCOL: its binary layout and constants for drivers
// that produce it, and Reader for programs that use it, with any producer.
//
//	readers, err := smartcard.Readers()
//	r := readers[0]
//	active, err := r.Connect(smartcard.AccessCard, smartcard.ColdReset, smartcard.T0|smartcard.T1)
//	n, err := r.Transmit(command, response)
//	err = r.Disconnect(smartcard.Unpower)
//
// Specifications: UEFI 2.11, 37.6 ("UEFI"); PC/SC Workgroup specification
// 2.01.14, part 3 (attributes) and part 10 (control codes).
package smartcard

import "tamaccid/uefi"

// GUID is EFI_SMART_CARD_READER_PROTOCOL_GUID (UEFI 2.11, 37.6.1).
var GUID = uefi.MustGUID("2a4d1adf-21dc-4b81-a42f-8b8ee2380060")

// Table is EFI_SMART_CARD_READER_PROTOCOL (UEFI 2.11, 37.6.1). Its functions, in C:
//
//	SCardConnect(This, UINT32 AccessMode, UINT32 CardAction, UINT32 PreferredProtocols,
//		UINT32 *ActiveProtocol)
//	SCardDisconnect(This, UINT32 CardAction)
//	SCardStatus(This, CHAR16 *ReaderName, UINTN *ReaderNameLength, UINT32 *State,
//		UINT32 *CardProtocol, UINT8 *Atr, UINTN *AtrLength)
//	SCardTransmit(This, UINT8 *CAPDU, UINTN CAPDULength, UINT8 *RAPDU, UINTN *RAPDULength)
//	SCardControl(This, UINT32 ControlCode, UINT8 *InBuffer, UINTN InBufferLength,
//		UINT8 *OutBuffer, UINTN *OutBufferLength)
//	SCardGetAttrib(This, UINT32 Attrib, UINT8 *OutBuffer, UINTN *OutBufferLength)
type Table struct {
	Connect    uintptr
	Disconnect uintptr
	Status     uintptr
	Transmit   uintptr
	Control    uintptr
	GetAttrib  uintptr
}

// AccessMode is what a connection is for (UEFI 2.11, 37.6.2).
type AccessMode uint32

// Access modes (UEFI 2.11, 37.6.2: SCARD_AM_READER, SCARD_AM_CARD).
const (
	AccessReader AccessMode = 1
	AccessCard   AccessMode = 2
)

// Action is what happens to the card on connection or disconnection (UEFI 2.11, 37.6.2).
type Action uint32

// Card actions (UEFI 2.11, 37.6.2: SCARD_CA_). Unpower and Eject are for Disconnect only.
const (
	NoReset   Action = 0
	ColdReset Action = 1
	WarmReset Action = 2
	Unpower   Action = 3
	Eject     Action = 4
)

// Protocol is a transmission protocol, or a mask of several (UEFI 2.11, 37.6.2).
type Protocol uint32

// Protocols (UEFI 2.11, 37.6.2: SCARD_PROTOCOL_).
const (
	Undefined Protocol = 0
	T0        Protocol = 1
	T1        Protocol = 2
	Raw       Protocol = 4
)

func (p Protocol) String() string {
	switch p {
	case Undefined:
		return "undefined"
	case T0:
		return "T=0"
	case T1:
		return "T=1"
	case Raw:
		return "raw"
	case T0 | T1:
		return "T=0 or T=1"
	}
	return "unknown protocol"
}

// State is the state of the card in a reader (UEFI 2.11, 37.6.4).
type State uint32

// States (UEFI 2.11, 37.6.4: SCARD_UNKNOWN and so on).
const (
	Unknown  State = 0
	Absent   State = 1
	Inactive State = 2 // there, without power
	Active   State = 3 // there, with power
)

func (s State) String() string {
	switch s {
	case Absent:
		return "absent"
	case Inactive:
		return "inactive"
	case Active:
		return "active"
	}
	return "unknown"
}

// ControlCode is SCARD_CTL_CODE(n) (UEFI 2.11, 37.6.6; PC/SC part 10).
func ControlCode(n uint32) uint32 { return 0x42000000 + n }

// GetFeatureRequest is CM_IOCTL_GET_FEATURE_REQUEST, SCARD_CTL_CODE(3400), the one control code
// that the specification defines (UEFI 2.11, 37.6.6; PC/SC part 10, 2.2).
const GetFeatureRequest uint32 = 0x42000000 + 3400
