package usb

// Setup is the eight-byte packet that starts a control transfer (USB 2.0, 9.3).
type Setup struct {
	RequestType uint8
	Request     uint8
	Value       uint16
	Index       uint16
	Length      uint16
}

// Bits of Setup.RequestType (USB 2.0, table 9-2).
const (
	DirOut = 0x00
	DirIn  = 0x80

	TypeStandard = 0x00
	TypeClass    = 0x20
	TypeVendor   = 0x40

	ToDevice    = 0x00
	ToInterface = 0x01
	ToEndpoint  = 0x02
)

// Standard requests (USB 2.0, table 9-4).
const (
	RequestGetStatus        = 0
	RequestClearFeature     = 1
	RequestSetFeature       = 3
	RequestSetAddress       = 5
	RequestGetDescriptor    = 6
	RequestGetConfiguration = 8
	RequestSetConfiguration = 9
	RequestGetInterface     = 10
	RequestSetInterface     = 11
)

// FeatureEndpointHalt is the feature selector that ClearHalt clears (USB 2.0, table 9-6).
const FeatureEndpointHalt = 0

// SetupSize is the length of a setup packet on the wire (USB 2.0, 9.3).
const SetupSize = 8

// In reports whether the data stage goes from the device to the host.
func (s Setup) In() bool { return s.RequestType&DirIn != 0 }

// Bytes is the packet in its format on the wire.
func (s Setup) Bytes() [SetupSize]byte {
	return [SetupSize]byte{
		s.RequestType, s.Request,
		byte(s.Value), byte(s.Value >> 8),
		byte(s.Index), byte(s.Index >> 8),
		byte(s.Length), byte(s.Length >> 8),
	}
}

// ParseSetup is the inverse of Bytes.
func ParseSetup(b [SetupSize]byte) Setup {
	return Setup{
		RequestType: b[0],
		Request:     b[1],
		Value:       uint16(b[2]) | uint16(b[3])<<8,
		Index:       uint16(b[4]) | uint16(b[5])<<8,
		Length:      uint16(b[6]) | uint16(b[7])<<8,
	}
}
