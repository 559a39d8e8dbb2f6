package reader

import (
	"encoding/binary"
	"unicode/utf16"

	"tamaccid/ccid/usb"
)

// Constants of descriptors.
const (
	classDescriptorSize = 54   // CCID 1.1, table 5.1-1
	classDescriptorType = 0x21 // CCID 1.1, 5.1

	selfPoweredNot = 0x80 // bmAttributes, bus powered (USB 2.0, table 9-10)
	maxPower       = 50   // bMaxPower, units of 2 mA
	english        = 0x0409

	companionSize = 6 // USB 3.2, 9.6.7
)

// Indexes of strings. The name of function n is nameString+n.
const (
	manufacturerString = 1 + iota
	productString
	serialString
	nameString
)

// Bytes returns the class descriptor, 54 bytes. A kind of 0 means 21h.
func (c *Class) Bytes(kind uint8) []byte {
	if kind == 0 {
		kind = classDescriptorType
	}
	b := append(make([]byte, 0, classDescriptorSize), classDescriptorSize, kind)
	b, _ = binary.Append(b, binary.LittleEndian, c) // no error: all fields have fixed sizes
	return b
}

// speed returns the speed. The default is full speed.
func (m *Model) speed() usb.Speed {
	if m.Speed == usb.SpeedUnknown {
		return usb.SpeedFull
	}
	return m.Speed
}

// packetSize returns the size of bulk packets (USB 2.0, 5.8.3; USB 3.2, 9.6.6). Low speed has no
// bulk endpoints; for a device that declares some it is the size of interrupt packets.
func (m *Model) packetSize() uint16 {
	if m.PacketSize != 0 {
		return m.PacketSize
	}
	switch m.speed() {
	case usb.SpeedLow:
		return 8
	case usb.SpeedHigh:
		return 512
	case usb.SpeedSuper:
		return 1024
	}
	return 64
}

// index returns i, or 0 for an empty string.
func index(present string, i uint8) uint8 {
	if present == "" {
		return 0
	}
	return i
}

// DeviceDescriptor returns the device descriptor (USB 2.0, table 9-8).
func (m *Model) DeviceDescriptor() []byte {
	version, packet0 := uint16(0x0200), uint8(64)
	switch m.speed() {
	case usb.SpeedLow:
		version, packet0 = 0x0110, 8
	case usb.SpeedSuper:
		version, packet0 = 0x0300, 9 // 2^9 (USB 3.2, table 9-11)
	}
	le := binary.LittleEndian
	b := []byte{usb.DeviceSize, usb.TypeDevice}
	b = le.AppendUint16(b, version)
	b = append(b, 0, 0, 0, packet0)
	b = le.AppendUint16(b, m.Vendor)
	b = le.AppendUint16(b, m.Product)
	b = le.AppendUint16(b, m.Version)
	return append(b, index(m.Manufacturer, manufacturerString),
		index(m.ProductName, productString), index(m.Serial, serialString), 1)
}

// endpoints are the endpoint addresses of a function, 0 for none. Numbers start at 1 and increase
// with the interfaces: bulk OUT and bulk IN have the same number, the interrupt endpoint has the
// next.
type endpoints struct{ out, in, interrupt uint8 }

// endpoints returns the endpoint addresses of a function.
func (m *Model) endpoints(function int) endpoints {
	next := uint8(1)
	for i := range m.Functions {
		var e endpoints
		f := &m.Functions[i]
		if f.CCID != nil && f.Endpoints >= 2 {
			e.out, e.in = next, next|usb.DirIn
			next++
		}
		if f.Endpoints == 1 || f.Endpoints >= 3 {
			e.interrupt = next | usb.DirIn
			next++
		}
		if i == function {
			return e
		}
	}
	return endpoints{}
}

// ConfigDescriptor returns the configuration descriptor and all descriptors that follow it.
func (m *Model) ConfigDescriptor() []byte {
	b := []byte{usb.ConfigurationSize, usb.TypeConfiguration, 0, 0, uint8(len(m.Functions)), 1, 0,
		selfPoweredNot, maxPower}
	for i := range m.Functions {
		b = m.appendFunction(b, i)
	}
	binary.LittleEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

// appendFunction appends the descriptors of one interface.
func (m *Model) appendFunction(b []byte, i int) []byte {
	f := &m.Functions[i]
	if f.Setting != 0 {
		b = m.appendInterface(b, i, 0, 0)
	}
	b = m.appendInterface(b, i, f.Setting, uint8(f.Endpoints))
	b = append(b, f.Before...)
	if f.CCID != nil && !f.Behind {
		b = append(b, f.CCID.Bytes(f.DescriptorType)...)
	}
	e := m.endpoints(i)
	if e.out != 0 {
		b = m.appendEndpoint(b, e.out, usb.BulkTransfer, m.packetSize(), 0)
		b = m.appendEndpoint(b, e.in, usb.BulkTransfer, m.packetSize(), 0)
	}
	if e.interrupt != 0 {
		b = m.appendEndpoint(b, e.interrupt, usb.InterruptTransfer, interruptPacket, m.interval())
	}
	if f.CCID != nil && f.Behind {
		b = append(b, f.CCID.Bytes(f.DescriptorType)...)
	}
	return b
}

// appendInterface appends an interface descriptor (USB 2.0, table 9-12).
func (m *Model) appendInterface(b []byte, i int, setting, endpoints uint8) []byte {
	f := &m.Functions[i]
	return append(b, usb.InterfaceSize, usb.TypeInterface, uint8(i), setting, endpoints,
		f.Class, f.SubClass, uint8(f.Protocol), index(f.Name, nameString+uint8(i)))
}

// interruptPacket is the size of interrupt packets: a slot change of 28 slots, and the greatest
// size at low speed (USB 2.0, 5.7.3).
const interruptPacket = 8

// interval returns bInterval for 16 ms (USB 2.0, table 9-13: milliseconds, or 2^(n-1) microframes).
func (m *Model) interval() uint8 {
	if m.speed() >= usb.SpeedHigh {
		return 8
	}
	return 16
}

// appendEndpoint appends an endpoint descriptor and, at SuperSpeed, its companion.
func (m *Model) appendEndpoint(
	b []byte, address uint8, kind usb.TransferType, size uint16, interval uint8,
) []byte {
	b = append(b, usb.EndpointSize, usb.TypeEndpoint, address, uint8(kind), uint8(size),
		uint8(size>>8), interval)
	if m.speed() == usb.SpeedSuper {
		perInterval := uint16(0)
		if kind == usb.InterruptTransfer {
			perInterval = size
		}
		b = append(b, companionSize, usb.TypeEndpointCompanion, 0, 0, uint8(perInterval),
			uint8(perInterval>>8))
	}
	return b
}

// bosDescriptor returns the descriptors that a SuperSpeed device must have: USB 2.0 extension and
// SuperSpeed capabilities (USB 3.2, 9.6.2).
func (m *Model) bosDescriptor() []byte {
	return []byte{
		5, 0x0F, 22, 0, 2, // BOS
		7, 0x10, 0x02, 0x02, 0, 0, 0, // USB 2.0 extension: LPM
		10, 0x10, 0x03, 0, 0x0E, 0, 1, 10, 0xFF, 0x07, // SuperSpeed: full, high, super; latencies
	}
}

// stringDescriptor returns string descriptor i (USB 2.0, 9.6.7), or nil if there is none.
func (m *Model) stringDescriptor(i uint8) []byte {
	if i == 0 {
		return []byte{4, usb.TypeString, english & 0xFF, english >> 8}
	}
	s := m.text(i)
	if s == "" {
		return nil
	}
	b := []byte{0, usb.TypeString}
	for _, u := range utf16.Encode([]rune(s)) {
		if len(b) == 254 {
			break
		}
		b = append(b, uint8(u), uint8(u>>8))
	}
	b[0] = uint8(len(b))
	return b
}

// text returns string i.
func (m *Model) text(i uint8) string {
	switch i {
	case manufacturerString:
		return m.Manufacturer
	case productString:
		return m.ProductName
	case serialString:
		return m.Serial
	}
	if n := int(i) - nameString; n >= 0 && n < len(m.Functions) {
		return m.Functions[n].Name
	}
	return ""
}
