// Package reader has virtual smart card readers: USB devices of the chip card interface device
// class, described by data, with virtual cards. [Device.Open] attaches one to a class driver in the
// same program, package usbredir to a virtual machine. [Device.Inject] adds faults.
//
// A reader computes an answer when the command arrives, and sends it when the card would have
// answered. It has no goroutines, and does not sleep if there are no delays.
//
// Specifications: Universal Serial Bus Device Class Specification for Integrated Circuit Cards
// Interface Devices 1.1 (CCID 1.1); Universal Serial Bus Device Class Specification for USB ICC
// ICCD 1.0 (ICCD 1.0); Universal Serial Bus Specification 2.0 (USB 2.0); ISO/IEC 7816-3:2006 (ISO
// 7816-3).
package reader

import "tamaccid/ccid/usb"

// Model describes a USB device with readers.
type Model struct {
	Vendor, Product, Version          uint16 // idVendor, idProduct, bcdDevice
	Manufacturer, ProductName, Serial string
	Speed                             usb.Speed // SpeedUnknown means full speed
	PacketSize                        uint16    // of bulk endpoints; 0 means that of the speed
	Functions                         []Function
	ZLP                               ZLP
	// Strict stalls the OUT endpoint after a zero-length packet that follows a complete message, as
	// QEMU's usb-ccid does.
	Strict bool
	// Faults are injected into each device of the model.
	Faults []Fault
}

// ZLP is the behaviour of a device after a message that fills its last packet (USB 2.0, 5.8.3).
type ZLP uint8

// The behaviours.
const (
	// SendZLP ends the message with a zero-length packet.
	SendZLP ZLP = iota
	// OmitZLP sends no zero-length packet: the transfer ends only if the host requested this
	// length.
	OmitZLP
)

// Kind is the message transport of a function (CCID 1.1, 4.1.2; ICCD 1.0, table 5-1).
type Kind uint8

// The values of bInterfaceProtocol.
const (
	BulkCCID Kind = 0 // bulk endpoints
	ICCDA    Kind = 1 // control requests of version A
	ICCDB    Kind = 2 // control requests of version B
)

// Function is one interface of a device.
type Function struct {
	// Number is bInterfaceNumber of the real device. The virtual device numbers its functions from
	// 0 in their order.
	Number uint8
	// Setting is the alternate setting that the other fields describe. If it is not 0, setting 0
	// precedes it, with the same class, without endpoints and without a class descriptor. The
	// device is in setting 0 until the host selects another one (USB 2.0, 9.1.1.5).
	Setting         uint8
	Class, SubClass uint8  // bInterfaceClass, bInterfaceSubClass
	Protocol        Kind   // bInterfaceProtocol
	Name            string // of iInterface
	// Endpoints is bNumEndpoints: 3 with an interrupt endpoint, 2 without it, 1 for an interrupt
	// endpoint alone, and 0 for an ICCD without it.
	Endpoints int
	// CCID is the class descriptor. It is nil for an interface of another class.
	CCID *Class
	// DescriptorType is the type of the class descriptor. 0 means 21h.
	DescriptorType uint8
	// Behind puts the class descriptor after the last endpoint descriptor.
	Behind bool
	// Before are descriptors between those of the interface and of the class.
	Before []byte
	// Clocks in kHz and Rates in bit/s are the answers to GET_CLOCK_FREQUENCIES and GET_DATA_RATES.
	// If they are nil, the requests stall.
	Clocks, Rates []uint32
	// PINPad is the keypad. If it is nil, PC_to_RDR_Secure is not supported.
	PINPad *PINPad
	// Escape answers PC_to_RDR_Escape. If it is nil or ok is false, the command is not supported.
	Escape func(slot uint8, data []byte) (answer []byte, ok bool)
}

// Class has the fields of the class descriptor after bDescriptorType (CCID 1.1, table 5.1-1).
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

// Bits of Class.Features (CCID 1.1, table 5.1-1, dwFeatures).
const (
	AutoATR         = 0x00000002
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
)

// Bits of Class.Protocols.
const (
	T0 = 1
	T1 = 2
)

// Bits of Class.PINSupport.
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

// Level returns the exchange level of Features.
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

// Usual returns the class descriptor of a typical reader at a level: one slot, T=0 and T=1, all
// voltages, all automatic functions but the negotiation of parameters, messages of up to 271 bytes.
func Usual(level Level) *Class {
	features := [...]uint32{
		0, LevelTPDU, AutoPPS | AutoIFSD | LevelShort, AutoPPS | AutoIFSD | LevelExtended,
	}
	return &Class{
		Version: 0x0110, VoltageSupport: 7, Protocols: T0 | T1,
		DefaultClock: 4000, MaximumClock: 4000, DataRate: 10752, MaxDataRate: 344086, MaxIFSD: 254,
		Features:         AutoATR | AutoVoltage | AutoClock | AutoBaud | features[level],
		MaxMessageLength: 271, ClassGetResponse: 0xFF, ClassEnvelope: 0xFF, MaxBusySlots: 1,
	}
}

// New returns the model of a full-speed device with one reader, of class descriptor Usual.
func New(level Level) Model {
	return Model{
		Vendor: 0x1209, Product: 0x0001, Version: 0x0100, Manufacturer: "tamaccid",
		ProductName: "Virtual Reader", Serial: "1",
		Functions: []Function{{Class: ClassCCID, Endpoints: 3, CCID: Usual(level)}},
	}
}

// ClassCCID and ClassVendor are values of bInterfaceClass (CCID 1.1, 4.1.2).
const (
	ClassCCID   = 0x0B
	ClassVendor = 0xFF
)
