package ccid

import (
	"slices"

	"tamaccid/ccid/usb"
)

// Interface classes (CCID 1.1, 4.4; USB 2.0, table 9-12 for the vendor-specific class).
const (
	classSmartCard = 0x0B
	classVendor    = 0xFF
)

// Likelihood is what one interface descriptor shows without the rest of the configuration.
type Likelihood uint8

// The likelihoods.
const (
	NotReader     Likelihood = iota
	PerhapsReader            // Match decides
	CertainReader            // Match matches
)

// Screen judges an interface by bInterfaceClass of its current setting. It is for hosts that must
// not send requests to devices of other classes in order to read more descriptors: such a host does
// not find a reader whose current setting is of another class.
func Screen(class uint8) Likelihood {
	switch class {
	case classSmartCard:
		return CertainReader
	case classVendor:
		return PerhapsReader
	}
	return NotReader
}

// Choose returns the index of the first configuration with a reader, -1 if no configuration has
// one. Each of configs is a configuration descriptor with all that follows it. It is the option
// Choose of package usbhost: a device may have its reader in a configuration other than the first.
// The device descriptor is not used.
func Choose(_ []byte, configs [][]byte) int {
	return slices.IndexFunc(configs, func(config []byte) bool {
		all, _ := usb.Interfaces(config)
		return slices.ContainsFunc(all, func(i usb.Interface) bool {
			_, ok := Match(config, i.Number)
			return ok
		})
	})
}

// Match reports whether an interface of a configuration is a reader, and in which alternate
// setting: the first one that Probe accepts. An interface of the smart card class that Probe
// accepts in no setting matches in its first setting of that class, so that Open reports what is
// wrong with the descriptors. config is the configuration descriptor with all that follows it;
// Match makes no traffic.
func Match(config []byte, number uint8) (alt uint8, ok bool) {
	all, _ := usb.Interfaces(config) // what precedes a malformed descriptor
	for _, i := range all {
		if i.Number != number {
			continue
		}
		if _, err := probe(i); err == nil {
			return i.AltSetting, true
		}
		if !ok && i.Class == classSmartCard {
			alt, ok = i.AltSetting, true
		}
	}
	return alt, ok
}
