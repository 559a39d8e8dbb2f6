package ccid

import "encoding/binary"

// headerSize is the length of the header that starts every bulk message (CCID 1.1, 6).
const headerSize = 10

// messageType is bMessageType.
type messageType uint8

// Commands, bulk OUT (CCID 1.1, table 6.1-1).
const (
	msgIccPowerOn       messageType = 0x62
	msgIccPowerOff      messageType = 0x63
	msgGetSlotStatus    messageType = 0x65
	msgXfrBlock         messageType = 0x6F
	msgGetParameters    messageType = 0x6C
	msgResetParameters  messageType = 0x6D
	msgSetParameters    messageType = 0x61
	msgEscape           messageType = 0x6B
	msgSecure           messageType = 0x69
	msgMechanical       messageType = 0x71
	msgAbort            messageType = 0x72
	msgSetDataRateClock messageType = 0x73
)

// Responses, bulk IN (CCID 1.1, table 6.2-1).
const (
	msgDataBlock     messageType = 0x80
	msgSlotStatus    messageType = 0x81
	msgParameters    messageType = 0x82
	msgEscapeReply   messageType = 0x83
	msgDataRateClock messageType = 0x84
)

// Notifications, interrupt IN (CCID 1.1, table 6.3-1).
const (
	msgNotifySlotChange messageType = 0x50
	msgHardwareError    messageType = 0x51
)

// reply is the response that a command is answered with (CCID 1.1, table 6.1-1).
func (t messageType) reply() messageType {
	switch t {
	case msgIccPowerOn, msgXfrBlock, msgSecure:
		return msgDataBlock
	case msgGetParameters, msgResetParameters, msgSetParameters:
		return msgParameters
	case msgEscape:
		return msgEscapeReply
	case msgSetDataRateClock:
		return msgDataRateClock
	}
	return msgSlotStatus
}

// Bits of bStatus (CCID 1.1, 6.2.6).
const (
	iccStatusMask     = 0x03
	iccActive         = 0
	iccInactive       = 1
	iccAbsent         = 2
	cmdStatusMask     = 0xC0
	cmdStatusOK       = 0x00
	cmdStatusFailed   = 0x40
	cmdStatusTimeExt  = 0x80
	cmdStatusReserved = 0xC0
)

// header is the start of a response (CCID 1.1, 6.2).
type header struct {
	typ    messageType
	length uint32 // dwLength
	slot   uint8
	seq    uint8
	status uint8
	error  uint8
	// last is byte 9: bChainParameter, bClockStatus or bProtocolNum.
	last uint8
}

// parseHeader reads the header of a response. It says nothing of the payload: the caller compares length with what arrived.
func parseHeader(b []byte) (h header, ok bool) {
	if len(b) < headerSize {
		return header{}, false
	}
	return header{
		typ: messageType(b[0]), length: binary.LittleEndian.Uint32(b[1:]), slot: b[5], seq: b[6],
		status: b[7], error: b[8], last: b[9],
	}, true
}

// putHeader writes the header of a command into the first ten bytes of b (CCID 1.1, 6.1).
func putHeader(b []byte, t messageType, length int, slot, seq uint8, p [3]byte) {
	_ = b[headerSize-1]
	b[0] = byte(t)
	binary.LittleEndian.PutUint32(b[1:], uint32(length))
	b[5], b[6], b[7], b[8], b[9] = slot, seq, p[0], p[1], p[2]
}

func (h header) icc() uint8 { return h.status & iccStatusMask }
func (h header) cmd() uint8 { return h.status & cmdStatusMask }
