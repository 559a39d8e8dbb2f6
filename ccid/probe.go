package ccid

import (
	"fmt"

	"tamaccid/ccid/internal/pipe"
	"tamaccid/ccid/usb"
)

// Kind is bInterfaceProtocol: how messages travel (CCID 1.1, 4.4; ICCD 1.0, 4.3).
type Kind uint8

// The kinds of device.
const (
	KindBulk  Kind = 0
	KindICCDA Kind = 1
	KindICCDB Kind = 2
)

// String is the name of the kind.
func (k Kind) String() string {
	switch k {
	case KindICCDA:
		return "ICCD version A"
	case KindICCDB:
		return "ICCD version B"
	}
	return "CCID"
}

// Interface is the content of the descriptors of a reader.
type Interface struct {
	Number, AltSetting uint8
	Kind               Kind
	Class              ClassDescriptor
	// BulkOut, BulkIn and Interrupt are the endpoints; the address is zero where there is none.
	BulkOut, BulkIn, Interrupt usb.Endpoint
}

// Probe reads the descriptors of an interface of a configuration in one alternate setting. It makes
// no traffic. ErrDescriptor means that the interface is not a reader in this setting: its class is
// neither 0x0B, nor 0xFF with a class descriptor of a reader, or it lacks endpoints that it needs.
func Probe(config []byte, number, alt uint8) (Interface, error) {
	found, err := usb.FindInterface(config, number, alt)
	if err != nil {
		return Interface{}, fmt.Errorf("%w: %w", ErrDescriptor, err)
	}
	return probe(found)
}

func probe(found usb.Interface) (i Interface, err error) {
	if found.Class != classSmartCard && found.Class != classVendor {
		return Interface{}, fmt.Errorf("%w: interface class %#02x", ErrDescriptor, found.Class)
	}
	i = Interface{Number: found.Number, AltSetting: found.AltSetting}
	if i.Class, err = findClass(found); err != nil {
		return Interface{}, err
	}
	if found.Class == classVendor && !plausible(i.Class) {
		return Interface{}, fmt.Errorf("%w: vendor interface without a reader's descriptor",
			ErrDescriptor)
	}
	for _, e := range found.Endpoints {
		if e.MaxPacketSize == 0 {
			continue
		}
		switch {
		case e.Type == usb.BulkTransfer && e.In() && i.BulkIn.Address == 0:
			i.BulkIn = e
		case e.Type == usb.BulkTransfer && !e.In() && i.BulkOut.Address == 0:
			i.BulkOut = e
		case e.Type == usb.InterruptTransfer && e.In() && i.Interrupt.Address == 0:
			i.Interrupt = e
		}
	}
	bulk := i.BulkIn.Address != 0 && i.BulkOut.Address != 0
	switch {
	case bulk:
		// Some readers claim an ICCD protocol but have the bulk pipes; their messages are CCID's.
		i.Kind = KindBulk
	case found.Protocol == uint8(KindICCDA) || found.Protocol == uint8(KindICCDB):
		i.Kind = Kind(found.Protocol)
	default:
		return Interface{}, fmt.Errorf("%w: no bulk endpoints", ErrDescriptor)
	}
	return i, nil
}

// findClass looks for the class descriptor among all that follows the interface, its endpoints
// included: 0x21 first, then any other type that is long enough. CCID 1.1, 5.1 puts the descriptor
// after the interface; libccid 1.8.2 (ccid_usb.c, get_ccid_device_descriptor) looks behind the
// endpoints too.
func findClass(i usb.Interface) (ClassDescriptor, error) {
	for _, want := range [...]byte{typeFunctional, typeVendor} {
		for _, d := range i.Other {
			if d[1] != want {
				continue
			}
			if c, err := ParseClassDescriptor(d); err == nil && plausible(c) {
				return c, nil
			}
		}
	}
	for _, d := range i.Other { // with class 0x0B, undefined bits of dwFeatures are harmless
		c, err := ParseClassDescriptor(d)
		if err == nil && i.Class == classSmartCard && c.MaxMessageLength > pipe.HeaderSize {
			return c, nil
		}
	}
	return ClassDescriptor{}, fmt.Errorf("%w: no class descriptor", ErrDescriptor)
}

// plausible distinguishes a class descriptor from another functional descriptor of the same type
// and length: messages have room for more than a header, and the bits of dwFeatures that no
// revision defines are zero.
func plausible(c ClassDescriptor) bool {
	return c.MaxMessageLength > pipe.HeaderSize && c.Features&featuresUndefined == 0
}

// featuresUndefined are bits of dwFeatures that neither CCID 1.1 nor ICCD 1.0 defines.
const featuresUndefined Features = 0xFFE00000
