package ccid

import (
	"encoding/binary"
	"fmt"
)

// ClassDescriptor is the smart card device class descriptor (CCID 1.1, table 5.1-1).
type ClassDescriptor struct {
	Version           uint16 // bcdCCID
	MaxSlotIndex      uint8
	VoltageSupport    uint8
	Protocols         uint32
	DefaultClock      uint32 // kHz
	MaximumClock      uint32 // kHz
	ClocksSupported   uint8
	DataRate          uint32 // bit/s
	MaxDataRate       uint32
	DataRates         uint8
	MaxIFSD           uint32
	SynchProtocols    uint32
	Mechanical        uint32
	Features          Features
	MaxMessageLength  uint32 // dwMaxCCIDMessageLength, header included
	ClassGetResponse  uint8
	ClassEnvelope     uint8
	LcdLines          uint8
	LcdCharacters     uint8
	PINSupport        uint8
	MaxBusySlots      uint8
	DescriptorTypeRaw uint8
}

// classDescriptorSize is bLength (CCID 1.1, table 5.1-1).
const classDescriptorSize = 0x36

// Types of the class descriptor: the one of CCID 1.1, 5.1, and 0xFF, which readers of class 0xFF
// use.
const (
	typeFunctional = 0x21
	typeVendor     = 0xFF
)

// ParseClassDescriptor reads a class descriptor. Bytes after the first 54 are ignored.
// ErrDescriptor is the error for fewer, and for a type other than 0x21 or 0xFF.
func ParseClassDescriptor(b []byte) (ClassDescriptor, error) {
	if len(b) < classDescriptorSize || int(b[0]) < classDescriptorSize {
		return ClassDescriptor{}, fmt.Errorf("%w: class descriptor of %d bytes", ErrDescriptor,
			len(b))
	}
	if b[1] != typeFunctional && b[1] != typeVendor {
		return ClassDescriptor{}, fmt.Errorf("%w: class descriptor of type %#02x", ErrDescriptor,
			b[1])
	}
	le := binary.LittleEndian
	return ClassDescriptor{
		DescriptorTypeRaw: b[1],
		Version:           le.Uint16(b[2:]),
		MaxSlotIndex:      b[4],
		VoltageSupport:    b[5],
		Protocols:         le.Uint32(b[6:]),
		DefaultClock:      le.Uint32(b[10:]),
		MaximumClock:      le.Uint32(b[14:]),
		ClocksSupported:   b[18],
		DataRate:          le.Uint32(b[19:]),
		MaxDataRate:       le.Uint32(b[23:]),
		DataRates:         b[27],
		MaxIFSD:           le.Uint32(b[28:]),
		SynchProtocols:    le.Uint32(b[32:]),
		Mechanical:        le.Uint32(b[36:]),
		Features:          Features(le.Uint32(b[40:])),
		MaxMessageLength:  le.Uint32(b[44:]),
		ClassGetResponse:  b[48],
		ClassEnvelope:     b[49],
		LcdCharacters:     b[50],
		LcdLines:          b[51],
		PINSupport:        b[52],
		MaxBusySlots:      b[53],
	}, nil
}

// Features is dwFeatures (CCID 1.1, table 5.1-1).
type Features uint32

// Bits of dwFeatures.
const (
	FeatureAutoATR        Features = 0x00000002 // parameter configuration based on the ATR
	FeatureAutoActivation Features = 0x00000004 // activation on insertion
	FeatureAutoVoltage    Features = 0x00000008
	FeatureAutoClock      Features = 0x00000010
	FeatureAutoBaud       Features = 0x00000020
	FeatureAutoParameters Features = 0x00000040 // negotiation made by the reader
	// PPS made by the reader according to the parameters
	FeatureAutoPPS      Features = 0x00000080
	FeatureClockStop    Features = 0x00000100
	FeatureNAD          Features = 0x00000200
	FeatureAutoIFSD     Features = 0x00000400
	FeatureTPDU         Features = 0x00010000
	FeatureShortAPDU    Features = 0x00020000
	FeatureExtendedAPDU Features = 0x00040000
	FeatureWakeUp       Features = 0x00100000
)

// Has reports whether all bits of f are set.
func (f Features) Has(bits Features) bool { return f&bits == bits }

// Level is the exchange level: how much of the card's protocol is left to the host (CCID 1.1, 3.2).
type Level uint8

// The exchange levels.
const (
	LevelCharacter Level = iota
	LevelTPDU
	LevelShortAPDU
	LevelExtendedAPDU
)

// String is the name of the level.
func (l Level) String() string {
	switch l {
	case LevelCharacter:
		return "character"
	case LevelTPDU:
		return "TPDU"
	case LevelShortAPDU:
		return "short APDU"
	}
	return "short and extended APDU"
}

// Level is the exchange level that f declares. Exactly one bit should be set: with several the
// highest level counts.
func (f Features) Level() Level {
	switch {
	case f.Has(FeatureExtendedAPDU):
		return LevelExtendedAPDU
	case f.Has(FeatureShortAPDU):
		return LevelShortAPDU
	case f.Has(FeatureTPDU):
		return LevelTPDU
	}
	return LevelCharacter
}

// Bits of bPINSupport (CCID 1.1, table 5.1-1).
const (
	pinVerify = 1
	pinModify = 2
)

// Bits of bVoltageSupport (CCID 1.1, table 5.1-1).
const (
	volt50 = 1
	volt30 = 2
	volt18 = 4
)

// Bits of dwMechanical (CCID 1.1, table 5.1-1).
const (
	mechanicalEject   = 2
	mechanicalCapture = 4
)
