package pipe

import (
	"encoding/binary"
	"fmt"
)

// HeaderSize is the length of the header that starts every bulk message (CCID 1.1, 6).
const HeaderSize = 10

// MessageType is bMessageType.
type MessageType uint8

// Commands, bulk OUT (CCID 1.1, table 6.1-1).
const (
	IccPowerOn                   MessageType = 0x62
	IccPowerOff                  MessageType = 0x63
	GetSlotStatus                MessageType = 0x65
	XfrBlock                     MessageType = 0x6F
	GetParameters                MessageType = 0x6C
	ResetParameters              MessageType = 0x6D
	SetParameters                MessageType = 0x61
	Escape                       MessageType = 0x6B
	Secure                       MessageType = 0x69
	Mechanical                   MessageType = 0x71
	Abort                        MessageType = 0x72
	SetDataRateAndClockFrequency MessageType = 0x73
)

// Responses, bulk IN (CCID 1.1, table 6.2-1).
const (
	DataBlock                 MessageType = 0x80
	SlotStatus                MessageType = 0x81
	Parameters                MessageType = 0x82
	EscapeResponse            MessageType = 0x83
	DataRateAndClockFrequency MessageType = 0x84
)

// Notifications, interrupt IN (CCID 1.1, table 6.3-1).
const (
	NotifySlotChange MessageType = 0x50
	HardwareError    MessageType = 0x51
)

// String is the name of a command, and the number of any other message.
func (t MessageType) String() string {
	switch t {
	case IccPowerOn:
		return "IccPowerOn"
	case IccPowerOff:
		return "IccPowerOff"
	case GetSlotStatus:
		return "GetSlotStatus"
	case XfrBlock:
		return "XfrBlock"
	case GetParameters:
		return "GetParameters"
	case ResetParameters:
		return "ResetParameters"
	case SetParameters:
		return "SetParameters"
	case Escape:
		return "Escape"
	case Secure:
		return "Secure"
	case Mechanical:
		return "Mechanical"
	case Abort:
		return "Abort"
	case SetDataRateAndClockFrequency:
		return "SetDataRateAndClockFrequency"
	}
	return fmt.Sprintf("message %#02x", uint8(t))
}

// Response is the message that answers a command (CCID 1.1, table 6.1-1).
func (t MessageType) Response() MessageType {
	switch t {
	case IccPowerOn, XfrBlock, Secure:
		return DataBlock
	case GetParameters, ResetParameters, SetParameters:
		return Parameters
	case Escape:
		return EscapeResponse
	case SetDataRateAndClockFrequency:
		return DataRateAndClockFrequency
	}
	return SlotStatus
}

// Bits of bStatus (CCID 1.1, 6.2.6): the state of the card, and of the command.
const (
	ICCMask     = 0x03
	ICCActive   = 0
	ICCInactive = 1
	ICCAbsent   = 2

	StatusMask     = 0xC0
	StatusOK       = 0x00
	StatusFailed   = 0x40
	StatusTimeExt  = 0x80
	StatusReserved = 0xC0
)

// Values of bError when the command failed (CCID 1.1, table 6.2-2). 1 to 127 is the offset of a bad
// byte in the command.
const (
	CodeAborted              = 0xFF
	CodeMute                 = 0xFE
	CodeParity               = 0xFD
	CodeOverrun              = 0xFC
	CodeHardware             = 0xFB
	CodeBadTS                = 0xF8
	CodeBadTCK               = 0xF7
	CodeProtocolNotSupported = 0xF6
	CodeClassNotSupported    = 0xF5
	CodeDeactivated          = 0xF3
	CodeBusyAuto             = 0xF2
	CodePINTimeout           = 0xF0
	CodePINCancelled         = 0xEF
	CodeSlotBusy             = 0xE0
	CodeCommandNotSupported  = 0x00
	CodeOffsetPower          = 7 // bPowerSelect, bProtocolNum
	CodeOffsetLast           = 0x7F
)

// Values of bChainParameter (CCID 1.1, 6.2.1).
const (
	ChainWhole    = 0x00
	ChainBegins   = 0x01
	ChainEnds     = 0x02
	ChainGoesOn   = 0x03
	ChainContinue = 0x10
)

// Header is the start of a response (CCID 1.1, 6.2).
type Header struct {
	Type   MessageType
	Length uint32 // dwLength, bytes of payload
	Slot   uint8  // bSlot
	Seq    uint8  // bSeq
	Status uint8  // bStatus
	Error  uint8  // bError
	// Last is byte 9: bChainParameter, bClockStatus or bProtocolNum.
	Last uint8
}

// ICC is the state of the card: ICCActive, ICCInactive or ICCAbsent.
func (h Header) ICC() uint8 { return h.Status & ICCMask }

// CommandStatus is the state of the command: StatusOK and so on.
func (h Header) CommandStatus() uint8 { return h.Status & StatusMask }

// parseHeader reads the header of a response. The caller compares Length with what has arrived.
func parseHeader(b []byte) (h Header, ok bool) {
	if len(b) < HeaderSize {
		return Header{}, false
	}
	return Header{
		Type: MessageType(b[0]), Length: binary.LittleEndian.Uint32(b[1:]), Slot: b[5], Seq: b[6],
		Status: b[7], Error: b[8], Last: b[9],
	}, true
}

// PutHeader writes the header of a message into the first ten bytes of b (CCID 1.1, 6.1). p are
// bytes 7 to 9.
func PutHeader(b []byte, t MessageType, length int, slot, seq uint8, p [3]byte) {
	_ = b[HeaderSize-1]
	b[0] = byte(t)
	binary.LittleEndian.PutUint32(b[1:], uint32(length))
	b[5], b[6], b[7], b[8], b[9] = slot, seq, p[0], p[1], p[2]
}
