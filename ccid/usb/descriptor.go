package usb

import (
	"errors"
	"fmt"
)

// Descriptor types (USB 2.0, table 9-5; USB 3.2, table 9-6).
const (
	TypeDevice               = 1
	TypeConfiguration        = 2
	TypeString               = 3
	TypeInterface            = 4
	TypeEndpoint             = 5
	TypeInterfaceAssociation = 11
	TypeEndpointCompanion    = 48
)

// Lengths of the standard descriptors (USB 2.0, tables 9-8, 9-10, 9-12, 9-13). An endpoint's may be
// longer (audio: 9).
const (
	DeviceSize        = 18
	ConfigurationSize = 9
	InterfaceSize     = 9
	EndpointSize      = 7
	CompanionSize     = 6 // USB 3.2, 9.6.7
)

// ErrDescriptor is the error for a descriptor that is shorter than its type requires, or than its
// length byte.
var ErrDescriptor = errors.New("usb: malformed descriptor")

func le16(b []byte, at int) uint16 { return uint16(b[at]) | uint16(b[at+1])<<8 }

// ParseDevice reads a device descriptor (USB 2.0, 9.6.1). Bytes after the first 18 are ignored.
func ParseDevice(b []byte) (DeviceDescriptor, error) {
	if len(b) < DeviceSize || b[0] < DeviceSize || b[1] != TypeDevice {
		return DeviceDescriptor{}, fmt.Errorf("%w: device descriptor of %d bytes", ErrDescriptor,
			len(b))
	}
	return DeviceDescriptor{
		USBVersion: le16(b, 2), Class: b[4], SubClass: b[5], Protocol: b[6], MaxPacketSize0: b[7],
		Vendor: le16(b, 8), Product: le16(b, 10), Version: le16(b, 12),
		ManufacturerIdx: b[14], ProductIdx: b[15], SerialIdx: b[16], Configurations: b[17],
	}, nil
}

// Descriptors walks the descriptors in b, calling f with each whole one until f returns false. It
// stops with ErrDescriptor at a length byte of 0 or 1, or one that reaches beyond the end of b.
func Descriptors(b []byte, f func(d []byte) bool) error {
	for len(b) > 0 {
		n := int(b[0])
		if n < 2 || n > len(b) {
			return fmt.Errorf("%w: length %d with %d bytes left", ErrDescriptor, n, len(b))
		}
		if !f(b[:n:n]) {
			return nil
		}
		b = b[n:]
	}
	return nil
}

// Configuration returns what follows the configuration descriptor in b, up to wTotalLength if b has
// so many bytes (USB 2.0, 9.6.3). ErrDescriptor is the error if b does not start with a
// configuration descriptor.
func Configuration(b []byte) (rest []byte, err error) {
	if len(b) < ConfigurationSize || b[1] != TypeConfiguration || int(b[0]) < ConfigurationSize ||
		int(b[0]) > len(b) {
		return nil, fmt.Errorf("%w: no configuration descriptor", ErrDescriptor)
	}
	if total := int(le16(b, 2)); total >= int(b[0]) && total < len(b) {
		b = b[:total]
	}
	return b[b[0]:], nil
}

// Interface is an interface descriptor with the endpoints and other descriptors that belong to it
// (USB 2.0, 9.6.5).
type Interface struct {
	Number     uint8
	AltSetting uint8
	Class      uint8
	SubClass   uint8
	Protocol   uint8
	NameIdx    uint8
	Endpoints  []Endpoint
	// Other holds the class and vendor descriptors after this interface, after its endpoints too,
	// in their order: the first maxOther.
	Other [][]byte
}

// maxOther bounds them (policy: a device may fill its configuration with descriptors of two bytes;
// a reader has a few).
const maxOther = 64

// TransferType is how an endpoint transfers data (USB 2.0, table 9-13, bmAttributes).
type TransferType uint8

// The transfer types.
const (
	ControlTransfer     TransferType = 0
	IsochronousTransfer TransferType = 1
	BulkTransfer        TransferType = 2
	InterruptTransfer   TransferType = 3
)

// Endpoint is an endpoint descriptor (USB 2.0, 9.6.6).
type Endpoint struct {
	Address       uint8 // with the direction in bit 7
	Type          TransferType
	MaxPacketSize uint16 // without the bits for additional transactions
	Interval      uint8
	// MaxBurst is how many packets more than one are transferred at a time at most: bMaxBurst of
	// SuperSpeed (USB 3.2, 9.6.7), or the additional transactions of a high-speed periodic endpoint
	// (USB 2.0, table 9-13, wMaxPacketSize bits 12:11).
	MaxBurst uint8
	// BytesPerInterval is wBytesPerInterval of a periodic SuperSpeed endpoint (USB 3.2, 9.6.7), in
	// bytes; 0 without a companion descriptor.
	BytesPerInterval uint16
}

// In reports whether the endpoint sends to the host.
func (e Endpoint) In() bool { return e.Address&DirIn != 0 }

// Interfaces parses all the interfaces in a configuration's descriptors, alternate settings being
// entries of their own. What precedes a malformed descriptor is returned together with
// ErrDescriptor.
func Interfaces(config []byte) ([]Interface, error) {
	rest, err := Configuration(config)
	if err != nil {
		return nil, err
	}
	var all []Interface
	err = Descriptors(rest, func(d []byte) bool {
		last := len(all) - 1
		switch {
		case d[1] == TypeInterface && len(d) >= InterfaceSize:
			all = append(all, Interface{Number: d[2], AltSetting: d[3], Class: d[5], SubClass: d[6],
				Protocol: d[7], NameIdx: d[8]})
		case last < 0 || d[1] == TypeInterface || d[1] == TypeInterfaceAssociation:
			// before the first interface, too short, or of no use to a class driver
		case d[1] == TypeEndpointCompanion:
			// It follows its endpoint (USB 3.2, 9.6.7).
			if n := len(all[last].Endpoints); n > 0 && len(d) >= CompanionSize {
				e := &all[last].Endpoints[n-1]
				e.MaxBurst, e.BytesPerInterval = min(d[2], maxBurst), le16(d, 4)
			}
		case d[1] == TypeEndpoint && len(d) >= EndpointSize:
			all[last].Endpoints = append(all[last].Endpoints, parseEndpoint(d))
		case len(all[last].Other) < maxOther:
			all[last].Other = append(all[last].Other, d)
		}
		return true
	})
	return all, err
}

// maxBurst is the largest bMaxBurst (USB 3.2, table 9-27), maxTransactions the largest number of
// additional transactions (USB 2.0, table 9-13: 11b is reserved).
const (
	maxBurst        = 15
	maxTransactions = 2
)

func parseEndpoint(d []byte) Endpoint {
	size := le16(d, 4)
	e := Endpoint{Address: d[2], Type: TransferType(d[3] & 3), MaxPacketSize: size & 0x7FF,
		Interval: d[6]}
	if e.Type == InterruptTransfer || e.Type == IsochronousTransfer {
		e.MaxBurst = min(uint8(size>>11&3), maxTransactions)
	}
	return e
}

// FindInterface returns the interface of config with this number and alternate setting.
func FindInterface(config []byte, number, alt uint8) (Interface, error) {
	all, err := Interfaces(config)
	for _, i := range all {
		if i.Number == number && i.AltSetting == alt {
			return i, nil
		}
	}
	if err == nil {
		err = fmt.Errorf("%w: no interface %d, alternate setting %d", ErrDescriptor, number, alt)
	}
	return Interface{}, err
}
