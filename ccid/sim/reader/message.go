package reader

import "encoding/binary"

// headerSize is the length of a bulk message's header (CCID 1.1, 6).
const headerSize = 10

// Bulk messages to the reader (CCID 1.1, table 6.1-1).
const (
	SetParameters    = 0x61
	IccPowerOn       = 0x62
	IccPowerOff      = 0x63
	GetSlotStatus    = 0x65
	Secure           = 0x69
	T0APDU           = 0x6A
	Escape           = 0x6B
	GetParameters    = 0x6C
	ResetParameters  = 0x6D
	IccClock         = 0x6E
	XfrBlock         = 0x6F
	Mechanical       = 0x71
	Abort            = 0x72
	SetDataRateClock = 0x73
)

// Bulk and interrupt messages from the reader (CCID 1.1, tables 6.2-1 and 6.3-1).
const (
	DataBlock        = 0x80
	SlotStatus       = 0x81
	Parameters       = 0x82
	EscapeAnswer     = 0x83
	DataRateClock    = 0x84
	NotifySlotChange = 0x50
	HardwareError    = 0x51
)

// Values of bmICCStatus (CCID 1.1, table 6.2-3).
const (
	iccActive   = 0
	iccInactive = 1
	iccAbsent   = 2
)

// Values of bmCommandStatus, in place (CCID 1.1, table 6.2-3).
const (
	cmdFailed    = 0x40
	cmdExtension = 0x80
)

// Values of bError (CCID 1.1, table 6.2-2). 1 to 127 are the offset of a wrong field.
const (
	errUnsupported  = 0x00
	badLength       = 1
	badSlot         = 5
	badField7       = 7
	badField8       = 8
	errAborted      = 0xFF
	errMute         = 0xFE
	errParity       = 0xFD
	errOverrun      = 0xFC
	errHardware     = 0xFB
	errTS           = 0xF8
	errTCK          = 0xF7
	errProcedure    = 0xF4
	errPINTimeout   = 0xF0
	errPINCancelled = 0xEF
	errBusy         = 0xE0
	firstParameter  = 10 // offset of the first byte of abProtocolDataStructure
)

// Chaining of an extended APDU (CCID 1.1, 6.1.4 wLevelParameter and 6.2.1 bChainParameter).
const (
	chainWhole    = 0x00
	chainBegin    = 0x01
	chainEnd      = 0x02
	chainMiddle   = 0x03
	chainContinue = 0x10
)

// messageLength returns the length of a message by its header, limited to 1 GiB so that an int of
// 32 bits holds it.
func messageLength(m []byte) int {
	n := binary.LittleEndian.Uint32(m[1:])
	if n > 1<<30 {
		n = 1 << 30
	}
	return headerSize + int(n)
}

// command is a message to the reader.
type command struct {
	kind, slot, seq byte
	specific        [3]byte // bytes 7 to 9
	data            []byte
}

// parseCommand parses a message of at least headerSize bytes.
func parseCommand(m []byte) command {
	return command{kind: m[0], slot: m[5], seq: m[6], specific: [3]byte(m[7:10]),
		data: m[headerSize:]}
}

// answerKind returns the message type of the answer to a command (CCID 1.1, table 6.1-1).
func answerKind(kind byte) byte {
	switch kind {
	case IccPowerOn, XfrBlock, Secure:
		return DataBlock
	case GetParameters, ResetParameters, SetParameters:
		return Parameters
	case Escape:
		return EscapeAnswer
	case SetDataRateClock:
		return DataRateClock
	}
	return SlotStatus
}

// appendHeader begins a message from the reader. finish sets its length.
func appendHeader(b []byte, kind, slot, seq, status, code, last byte) []byte {
	return append(b, kind, 0, 0, 0, 0, slot, seq, status, code, last)
}

// finish sets dwLength.
func finish(b []byte) { binary.LittleEndian.PutUint32(b[1:], uint32(len(b)-headerSize)) }
