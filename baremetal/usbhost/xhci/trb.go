package xhci

import (
	"sync/atomic"
	"unsafe"
)

// trb is a transfer request block, TRB (xHCI 1.2, 6.4): a command, a part of a transfer, or an
// event.
type trb struct {
	parameter uint64
	status    uint32
	control   uint32
}

// The layout of a TRB.
const (
	trbSize    = 16
	trbStatus  = 8
	trbControl = 12
)

// Bits of control (xHCI 1.2, 6.4.1 - 6.4.4).
const (
	trbCycle     = 1 << 0
	trbToggle    = 1 << 1 // TC, of a link: the cycle bit changes after it
	trbShort     = 1 << 2 // ISP: interrupt on short packet
	trbEventData = 1 << 2 // ED, of a transfer event: the parameter is not a pointer
	trbChain     = 1 << 4 // CH: the TD continues
	trbIOC       = 1 << 5 // interrupt on completion
	trbImmediate = 1 << 6 // IDT: the parameter is the data
	trbPreserve  = 1 << 9 // TSP, of Reset Endpoint: the sequence number is preserved
	trbDirIn     = 1 << 16

	trbTypeShift     = 10
	trbTypeMask      = 0x3F
	trbEndpointShift = 16
	trbEndpointMask  = 0x1F
	trbSlotShift     = 24
	trbSetupShift    = 16 // TRT: the direction of the data stage
	trbSetupOut      = 2
	trbSetupIn       = 3
	trbSizeShift     = 17 // of status: TD size
	trbSizeMax       = 31
	trbResidueMask   = 0xFFFFFF // of status of an event
	trbCodeShift     = 24       // of status of an event
)

// trbType is the type of a TRB (xHCI 1.2, table 6-91).
type trbType uint32

const (
	trbNormal      trbType = 1
	trbSetupStage  trbType = 2
	trbDataStage   trbType = 3
	trbStatusStage trbType = 4
	trbLink        trbType = 6

	cmdEnableSlot        trbType = 9
	cmdDisableSlot       trbType = 10
	cmdAddressDevice     trbType = 11
	cmdConfigureEndpoint trbType = 12
	cmdEvaluateContext   trbType = 13
	cmdResetEndpoint     trbType = 14
	cmdStopEndpoint      trbType = 15
	cmdSetDequeue        trbType = 16
	cmdNoOp              trbType = 23

	eventTransfer   trbType = 32
	eventCommand    trbType = 33
	eventPort       trbType = 34
	eventController trbType = 37
)

func (t trbType) String() string {
	switch t {
	case cmdEnableSlot:
		return "Enable Slot"
	case cmdDisableSlot:
		return "Disable Slot"
	case cmdAddressDevice:
		return "Address Device"
	case cmdConfigureEndpoint:
		return "Configure Endpoint"
	case cmdEvaluateContext:
		return "Evaluate Context"
	case cmdResetEndpoint:
		return "Reset Endpoint"
	case cmdStopEndpoint:
		return "Stop Endpoint"
	case cmdSetDequeue:
		return "Set TR Dequeue Pointer"
	}
	return "unknown command"
}

// bits is the type as a field of control.
func (t trbType) bits() uint32 { return uint32(t) << trbTypeShift }

func (t trb) kind() trbType       { return trbType(t.control >> trbTypeShift & trbTypeMask) }
func (t trb) code() code          { return code(t.status >> trbCodeShift) }
func (t trb) slot() uint8         { return uint8(t.control >> trbSlotShift) }
func (t trb) endpoint() uint8     { return uint8(t.control >> trbEndpointShift & trbEndpointMask) }
func (t trb) residue() uint32     { return t.status & trbResidueMask }
func slotBits(s uint8) uint32     { return uint32(s) << trbSlotShift }
func endpointBits(d uint8) uint32 { return uint32(d) << trbEndpointShift }

// code is a completion code (xHCI 1.2, table 6-90).
type code uint8

const (
	codeInvalid          code = 0
	codeSuccess          code = 1
	codeBabble           code = 3
	codeStall            code = 6
	codeResource         code = 7
	codeBandwidth        code = 8
	codeNoSlots          code = 9
	codeSlotNotEnabled   code = 11
	codeEndpointDisabled code = 12
	codeShort            code = 13
	codeRingUnderrun     code = 14
	codeRingOverrun      code = 15
	codeContextState     code = 19
	codeEventRingFull    code = 21
	codeRingStopped      code = 24
	codeAborted          code = 25
	codeStopped          code = 26
	codeStoppedLength    code = 27 // Stopped - Length Invalid
	codeStoppedShort     code = 28 // Stopped - Short Packet
	codeSecondBandwidth  code = 35
)

// put32 and get32 access words whose order does not matter. storeWord and loadWord are for words
// with a cycle bit.
func put32(b []byte, at int, v uint32) {
	_ = b[at+3]
	b[at], b[at+1], b[at+2], b[at+3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
}

func get32(b []byte, at int) uint32 {
	_ = b[at+3]
	return uint32(b[at]) | uint32(b[at+1])<<8 | uint32(b[at+2])<<16 | uint32(b[at+3])<<24
}

func put64(b []byte, at int, v uint64) {
	put32(b, at, uint32(v))
	put32(b, at+4, uint32(v>>32))
}

func get64(b []byte, at int) uint64 { return uint64(get32(b, at)) | uint64(get32(b, at+4))<<32 }

// storeWord writes a word after all earlier writes, loadWord reads a word before all later reads.
// at is a multiple of four, and so is the address of b (hcd.Buffer).
func storeWord(b []byte, at int, v uint32) {
	b = b[at : at+4]
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&b[0])), v)
}

func loadWord(b []byte, at int) uint32 {
	b = b[at : at+4]
	return atomic.LoadUint32((*uint32)(unsafe.Pointer(&b[0])))
}
