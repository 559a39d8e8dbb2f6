package usbhost

import (
	"fmt"

	"tamaccid/ccid/usb"
)

// EventKind is the kind of an Event.
type EventKind uint8

// The kinds of events.
const (
	Found   EventKind = iota // a device was configured
	Removed                  // a configured device was disconnected
	// Enumeration of a device has failed; its port is left alone until the device is unplugged.
	Refused
	OverCurrent     // a port or hub has switched off its power because of over-current
	Unstable        // a connection does not become stable; reported once
	ControllerDied  // a host controller has failed
	ControllerAdded // a host controller was added to the bus
)

// String is the kind in words.
func (k EventKind) String() string {
	switch k {
	case Found:
		return "found"
	case Removed:
		return "removed"
	case Refused:
		return "refused"
	case OverCurrent:
		return "over-current"
	case Unstable:
		return "unstable connection"
	case ControllerDied:
		return "controller died"
	case ControllerAdded:
		return "controller added"
	}
	return "unknown event"
}

// Event is the argument of Options.Report.
type Event struct {
	Kind EventKind
	// Path is the place: the controller's name and the port numbers, "xHCI, port 2.1".
	Path string
	// Device is the device that was found or removed, nil for other events.
	Device *usb.Device
	// Err is the reason, where there is one.
	Err error
}

// String is one line for a log.
func (e Event) String() string {
	s := fmt.Sprintf("usb: %s: %s", e.Path, e.Kind)
	if e.Device != nil {
		vendor, product, _ := e.Device.ID()
		s += fmt.Sprintf(": %04x:%04x %q %q, %s",
			vendor, product, e.Device.Manufacturer, e.Device.Product, e.Device.Speed)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}
