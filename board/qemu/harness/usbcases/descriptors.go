//go:build linux && !tamago

package usbcases

import (
	"tamaccid/ccid/sim/reader"
	"tamaccid/ccid/usb"
)

// A badDescriptor is a device whose descriptors are wrong, or whose answers to requests for them.
type badDescriptor struct {
	name  string
	kind  string
	fault reader.Fault
	// works reports that the reader must work all the same.
	works bool
	// directOnly excludes the device from machines whose firmware enumerates it: the firmware of
	// Debian 12 (edk2-stable202211) hangs when it enumerates the device while a program runs, with
	// no other driver loaded. UsbBusDxe's parser of descriptors does not end, or XhciDxe waits for
	// a timer event that never comes in the timer event that UsbBusDxe enumerates in.
	directOnly bool
}

// describe changes the answers to requests for a descriptor. f gets the whole correct one. Its
// result is cut to the requested length.
func describe(d byte, f func(b []byte) []byte) reader.Fault {
	return reader.Fault{At: reader.AtControl, Times: reader.Forever, If: asks(d),
		Do: []reader.Action{func(e *reader.Event) {
			m := e.Device.Model()
			correct := m.ConfigDescriptor()
			if d == usb.TypeDevice {
				correct = m.DeviceDescriptor()
			}
			e.Reply = f(correct)
		}}}
}

// set changes a byte.
func set(at int, v byte) func([]byte) []byte {
	return func(b []byte) []byte {
		b[at] = v
		return b
	}
}

// cut shortens a descriptor to n bytes.
func cut(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:n] } }

// Offsets of fields (USB 2.0, tables 9-8, 9-10, 9-12 and 9-13), and of the parts of a configuration
// with one reader.
const (
	length         = 0
	packetSize0    = 7
	configurations = 17
	totalLength    = 2
	theInterface   = usb.ConfigurationSize
	endpointCount  = theInterface + 4
	classPart      = theInterface + usb.InterfaceSize
	classSize      = 54 // CCID 1.1, table 5.1-1
	theEndpoint    = classPart + classSize
	packetSize     = theEndpoint + 4
	maxMessage     = classPart + 44 // dwMaxCCIDMessageLength
)

// twice appends a descriptor to itself.
func twice(b []byte) []byte { return append(b, b...) }

var badDescriptorTable = []badDescriptor{
	{name: "wTotalLength beyond the end of the configuration", kind: "short",
		fault: describe(usb.TypeConfiguration, set(totalLength+1, 0xFF)), works: true},
	{name: "wTotalLength of 0", kind: "short",
		fault: describe(usb.TypeConfiguration, set(totalLength, 0))},
	{name: "wTotalLength of the configuration descriptor alone", kind: "short",
		fault:      describe(usb.TypeConfiguration, set(totalLength, usb.ConfigurationSize)),
		directOnly: true},
	{name: "a configuration that ends in the middle of a descriptor", kind: "short",
		fault: describe(usb.TypeConfiguration, cut(classPart+5))},
	{name: "a configuration of nothing", kind: "short",
		fault: describe(usb.TypeConfiguration, cut(0))},
	{name: "a configuration that comes twice in one", kind: "short",
		fault: describe(usb.TypeConfiguration, twice), works: true},
	{name: "an interface descriptor of length 0", kind: "short",
		fault: describe(usb.TypeConfiguration, set(theInterface, 0))},
	{name: "an interface descriptor that reaches beyond the end", kind: "short",
		fault: describe(usb.TypeConfiguration, set(theInterface, 0xFF))},
	{name: "a class descriptor whose bLength includes the endpoints", kind: "short",
		fault:      describe(usb.TypeConfiguration, set(classPart, classSize+3*usb.EndpointSize)),
		directOnly: true},
	{name: "a class descriptor of two bytes", kind: "short",
		fault: describe(usb.TypeConfiguration, set(classPart, 2)), directOnly: true},
	{name: "an endpoint descriptor of length 1", kind: "short",
		fault: describe(usb.TypeConfiguration, set(theEndpoint, 1)), directOnly: true},
	{name: "more endpoints than there are descriptors", kind: "short",
		fault: describe(usb.TypeConfiguration, set(endpointCount, 30)), works: true,
		directOnly: true},
	{name: "packets of no bytes", kind: "short",
		fault: describe(usb.TypeConfiguration, set(packetSize, 0))},
	{name: "full-speed packets of 1,023 bytes", kind: "short",
		fault: describe(usb.TypeConfiguration,
			func(b []byte) []byte { return set(packetSize+1, 3)(set(packetSize, 0xFF)(b)) })},
	{name: "messages of no bytes", kind: "short",
		fault: describe(usb.TypeConfiguration, func(b []byte) []byte {
			for i := range 4 {
				b[maxMessage+i] = 0
			}
			return b
		})},
	{name: "a device descriptor of 8 bytes", kind: "short",
		fault: describe(usb.TypeDevice, cut(8))},
	{name: "a device descriptor of no bytes", kind: "high-speed",
		fault: describe(usb.TypeDevice, cut(0))},
	{name: "a device descriptor with bLength 2", kind: "short",
		fault: describe(usb.TypeDevice, set(length, 2))},
	{name: "a default pipe with packets of no bytes", kind: "short",
		fault: describe(usb.TypeDevice, set(packetSize0, 0))},
	{name: "a default pipe with packets of 255 bytes", kind: "high-speed",
		fault: describe(usb.TypeDevice, set(packetSize0, 255))},
	{name: "a default pipe with packets of 2^255 bytes at SuperSpeed", kind: "super-speed",
		fault: describe(usb.TypeDevice, set(packetSize0, 255))},
	{name: "no configurations", kind: "short",
		fault: describe(usb.TypeDevice, set(configurations, 0))},
	{name: "255 configurations", kind: "short",
		fault: describe(usb.TypeDevice, set(configurations, 255)), works: true},
	{name: "strings that stall", kind: "short",
		fault: reader.Fault{At: reader.AtControl, Times: reader.Forever, If: asks(usb.TypeString),
			Do: []reader.Action{reader.Stall()}}},
	{name: "strings of odd lengths", kind: "short",
		fault: reader.Fault{At: reader.AtControl, Times: reader.Forever, If: asks(usb.TypeString),
			Do: []reader.Action{func(e *reader.Event) {
				e.Reply = []byte{255, usb.TypeString,
					'a'}
			}}}},
	{name: "the first request for a configuration stalls", kind: "short",
		fault: reader.Fault{At: reader.AtControl, If: asks(usb.TypeConfiguration),
			Do: []reader.Action{reader.Stall()}}},
	{name: "a first request that fails on the wire", kind: "short",
		fault: reader.Fault{At: reader.AtControl,
			Do: []reader.Action{reader.Corrupt()}}, works: true, directOnly: true},
	{name: "a babble in the answer to GET_DESCRIPTOR(device)", kind: "short",
		fault: reader.Fault{At: reader.AtControl, Times: reader.Forever,
			If: asks(usb.TypeDevice), Do: []reader.Action{reader.Babble()}}},
}

// badDescriptors are tests of these devices beside a good reader, which must go on working.
var badDescriptors = func() (all []trial) {
	for _, l := range badDescriptorTable {
		all = append(all, trial{l.name, func(s *stand) {
			d := s.device("faulty", l.kind)
			struck := strike(d, l.fault)
			s.plug("faulty", "1", d)
			s.plug("good", "2", s.device("good", "short"))
			s.wait(struck)
			if l.works {
				s.expect("faulty", "good")
			}
			s.do("await good")
			s.unplug("faulty")
			s.expect("good")
		}})
	}
	// QEMU answers SET_ADDRESS for the device: package xhcitest has a device that does not answer
	// it.
	return append(all, trial{"a device that does not answer after SET_ADDRESS", func(s *stand) {
		d := s.device("mute", "short")
		struck := strike(d, reader.Fault{At: reader.AtControl, Times: reader.Forever,
			Do: []reader.Action{reader.Block()}})
		s.plug("mute", "1", d)
		s.wait(struck)
		s.plug("good", "2", s.device("good", "short"))
		s.expect("good")
		s.unplug("mute")
		d.Heal()
		s.plug("mute", "1", d)
		s.expect("mute", "good")
	}})
}()
