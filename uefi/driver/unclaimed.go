package driver

import (
	"fmt"

	"tamaccid/baremetal/usbhost"
	"tamaccid/ccid"
	"tamaccid/ccid/usb"
)

// A device that is no reader has no driver on a host controller that this driver runs. A message
// names each one once, as the reason why, for example, a keyboard does not work.

// classes are names of devices by their interface class, subclass and protocol (USB-IF, defined
// class codes). The first row that matches counts.
var classes = []struct {
	class, subClass, protocol uint8
	anySub, anyProtocol       bool
	name                      string
}{
	{class: 3, subClass: 1, protocol: 1, name: "keyboard"},
	{class: 3, subClass: 1, protocol: 2, name: "mouse"},
	{class: 3, anySub: true, anyProtocol: true, name: "input device"},
	{class: 8, anySub: true, anyProtocol: true, name: "storage device"},
	{class: 2, anySub: true, anyProtocol: true, name: "network or serial adapter"},
}

// kind is the kind of a device by one of its interfaces.
func kind(i usb.Interface) string {
	for _, c := range classes {
		if c.class == i.Class && (c.anySub || c.subClass == i.SubClass) &&
			(c.anyProtocol || c.protocol == i.Protocol) {
			return c.name
		}
	}
	return "device"
}

// warn prints a message for a device without a reader among its interfaces, at its first interface.
func (h *host) warn(i *usbhost.Interface) {
	dev := i.Device()
	all, _ := usb.Interfaces(dev.Config) // what could be read of it
	for _, s := range all {
		if _, ok := ccid.Match(dev.Config, s.Number); ok || s.Number < i.Descriptor().Number {
			return
		}
	}
	printMessage("the %s %q (%s) cannot be used: its host controller is driven directly",
		kind(i.Descriptor()), title(dev), dev.Path)
}

// maxTitle bounds the name of a device in a message (policy).
const maxTitle = 64

// title is the name of a device: its product string, its manufacturer string or its numbers.
func title(dev *usb.Device) string {
	for _, s := range []string{dev.Product, dev.Manufacturer} {
		if s = usb.Text(s, maxTitle); s != "" {
			return s
		}
	}
	vendor, product, _ := dev.ID()
	return fmt.Sprintf("%04x:%04x", vendor, product)
}

// report prints errors of the bus.
func (h *host) report(e usbhost.Event) {
	switch e.Kind {
	case usbhost.Found, usbhost.Removed, usbhost.ControllerAdded:
	default:
		printMessage("%v", e)
	}
}
