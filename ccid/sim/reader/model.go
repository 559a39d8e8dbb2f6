// Package reader holds virtual smart card readers: USB devices of the chip card interface device class, described by data and
// holding virtual cards. One Device can be mounted directly under a class driver (it gives a usb.Transport) or behind
// QEMU (package usbredir).
//
// A reader computes an answer when the command arrives and shows it when the card would have had it ready: there are no
// goroutines in here, and without delays no sleeps.
//
// Specifications: Universal Serial Bus Device Class Specification for Integrated Circuit Cards Interface Devices 1.1
// (CCID 1.1); Universal Serial Bus Device Class Specification for USB ICC ICCD 1.0 (ICCD 1.0); Universal Serial Bus
// Specification 2.0 (USB 2.0); ISO/IEC 7816-3:2006 (ISO 7816-3).
package reader

import "tamaccid/ccid/usb"

// Model describes a USB device with readers in it.
type Model struct {
	Vendor, Product, Version          uint16
	Manufacturer, ProductName, Serial string
	Speed                             usb.Speed // SpeedUnknown stands for full speed
	PacketSize                        uint16    // of bulk endpoints; 0: what the speed demands
	Functions                         []Function
	ZLP                               ZLP
	// Strict stalls the OUT endpoint at a zero-length packet that follows a whole message, as QEMU's reader does.
	Strict bool
	// Faults are in the device's script from the beginning.
	Faults []Fault
}

// ZLP is what a device does behind a message that fills its last packet (USB 2.0, 5.8.3).
type ZLP uint8

// The habits.
const (
	// SendZLP ends it by a zero-length packet, which stays in the device until it is read.
	SendZLP ZLP = iota
	// OmitZLP sends none: the transfer ends only when the host asked for exactly so much.
	OmitZLP
)

// Kind is how a function talks (CCID 1.1, 4.1.2; ICCD 1.0, table 5-1).
type Kind uint8

// The values of bInterfaceProtocol.
const (
	BulkCCID Kind = 0
	ICCDA    Kind = 1
	ICCDB    Kind = 2
)

// Function is one interface of a device.
type Function struct {
	// Number is bInterfaceNumber of the real device. The virtual device numbers its functions from
	// 0 in their order.
	Number          uint8
	Class, SubClass uint8
	Protocol        Kind
	Name            string
	// Endpoints is bNumEndpoints: 3 with interrupt, 2 without, 1 interrupt alone and 0 for ICCD.
	Endpoints int
	// CCID is nil for an interface of another class: a composite device's keyboard, say.
	CCID *Class
	// DescriptorType is that of the class descriptor, 0 standing for 21h.
	DescriptorType uint8
	// Behind puts the class descriptor behind the last endpoint instead of behind the interface.
	Behind bool
	// Before is put between the interface and the class descriptor: other functional descriptors.
	Before []byte
	// Clocks in kHz and Rates in bit/s answer GET_CLOCK_FREQUENCIES and GET_DATA_RATES; nil stalls them.
	Clocks, Rates []uint32
	// PINPad is the person at the keypad; nil when the model has none whatever bPINSupport says.
	PINPad *PINPad
	// Escape answers PC_to_RDR_Escape; nil, or ok false, says that the command is not supported.
	Escape func(slot uint8, data []byte) (answer []byte, ok bool)
}

// Class is the class descriptor behind bDescriptorType, field for field (CCID 1.1, table 5.1-1).
type Class struct {
	Version          uint16 // bcdCCID
	MaxSlotIndex     uint8
	VoltageSupport   uint8
	Protocols        uint32
	DefaultClock     uint32 // kHz
	MaximumClock     uint32 // kHz
	NumClocks        uint8
	DataRate         uint32 // bit/s
	MaxDataRate      uint32
	NumDataRates     uint8
	MaxIFSD          uint32
	SynchProtocols   uint32
	Mechanical       uint32
	Features         uint32
	MaxMessageLength uint32
	ClassGetResponse uint8
	ClassEnvelope    uint8
	LCDLayout        uint16
	PINSupport       uint8
	MaxBusySlots     uint8
}

// Bits of Features (CCID 1.1, table 5.1-1, dwFeatures).
const (
	AutoATR         = 0x00000002 // parameters from the ATR
	AutoActivation  = 0x00000004
	AutoVoltage     = 0x00000008
	AutoClock       = 0x00000010
	AutoBaud        = 0x00000020
	AutoNegotiation = 0x00000040
	AutoPPS         = 0x00000080
	ClockStop       = 0x00000100
	NAD             = 0x00000200
	AutoIFSD        = 0x00000400
	LevelTPDU       = 0x00010000
	LevelShort      = 0x00020000
	LevelExtended   = 0x00040000
	WakeUp          = 0x00100000

	levelMask = 0x00070000
)

// Bits of Protocols.
const (
	T0 = 1
	T1 = 2
)

// Bits of PINSupport.
const (
	PINVerify = 1
	PINModify = 2
)

// Level is a reader's exchange level.
type Level uint8

// The levels (CCID 1.1, 3.2).
const (
	Character Level = iota
	TPDU
	ShortAPDU
	ExtendedAPDU
)

// Level is the level that dwFeatures names.
func (c *Class) Level() Level {
	switch {
	case c.Features&LevelExtended != 0:
		return ExtendedAPDU
	case c.Features&LevelShort != 0:
		return ShortAPDU
	case c.Features&LevelTPDU != 0:
		return TPDU
	}
	return Character
}

// Usual is the description of an everyday reader at a level: one slot, T=0 and T=1, all voltages, everything automatic but
// the negotiation of parameters, 271-byte messages.
func Usual(level Level) *Class {
	return &Class{
		Version: 0x0110, VoltageSupport: 7, Protocols: T0 | T1,
		DefaultClock: 4000, MaximumClock: 4000, DataRate: 10752, MaxDataRate: 344086, MaxIFSD: 254,
		Features:         AutoATR | AutoVoltage | AutoClock | AutoBaud | [...]uint32{0, LevelTPDU, AutoPPS | AutoIFSD | LevelShort, AutoPPS | AutoIFSD | LevelExtended}[level],
		MaxMessageLength: 271, ClassGetResponse: 0xFF, ClassEnvelope: 0xFF, MaxBusySlots: 1,
	}
}

// New describes a full-speed device with one reader at a level.
func New(level Level) Model {
	return Model{
		Vendor: 0x1209, Product: 0x0001, Version: 0x0100, Manufacturer: "tamaccid", ProductName: "Virtual Reader", Serial: "1",
		Functions: []Function{{Class: ClassCCID, Endpoints: 3, CCID: Usual(level)}},
	}
}

// ClassCCID and ClassVendor are values of bInterfaceClass (CCID 1.1, 4.1.2).
const (
	ClassCCID   = 0x0B
	ClassVendor = 0xFF
)
