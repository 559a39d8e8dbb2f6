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

import (
	"tamaccid/ccid/scard"
	"tamaccid/uefi"
)

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

// The numbers of the protocol that PC/SC and the class driver have too; package scard defines them.
type (
	// Action is what happens to the card on connection or disconnection (UEFI 2.11, 37.6.2).
	Action = scard.Action
	// Protocol is a transmission protocol, or a mask of several (UEFI 2.11, 37.6.2).
	Protocol = scard.Protocol
	// State is the state of the card in a reader (UEFI 2.11, 37.6.4).
	State = scard.State
)

// Card actions (UEFI 2.11, 37.6.2: SCARD_CA_), protocols (37.6.2: SCARD_PROTOCOL_) and states
// (37.6.4: SCARD_UNKNOWN and so on). Unpower and Eject are for Disconnect only.
const (
	NoReset   = scard.Leave
	ColdReset = scard.ColdReset
	WarmReset = scard.WarmReset
	Unpower   = scard.Unpower
	Eject     = scard.Eject

	Undefined = scard.Undefined
	T0        = scard.T0
	T1        = scard.T1
	Raw       = scard.Raw

	Unknown  = scard.Unknown
	Absent   = scard.Absent
	Inactive = scard.Inactive // present, without power
	Active   = scard.Active   // present, with power
)

// GetFeatureRequest is CM_IOCTL_GET_FEATURE_REQUEST, SCARD_CTL_CODE(3400), the one control code
// that the specification defines (UEFI 2.11, 37.6.6; PC/SC part 10, 2.2).
const GetFeatureRequest = scard.GetFeatureRequest
