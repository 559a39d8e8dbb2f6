package usbhost

import (
	"fmt"

	"tamaccid/ccid/usb"
)

// EventKind says what happened.
type EventKind uint8

// The kinds of events.
const (
	Found           EventKind = iota // a device is configured
	Removed                          // a configured device has gone
	Refused                          // what is on a port could not be made to work, and is left alone until it is unplugged
	OverCurrent                      // a port or hub has switched off because it was asked for too much current
	Unstable                         // a connection does not come to rest; told once
	ControllerDied                   // a host controller does not work any more
	ControllerAdded                  // a host controller is on the bus
)

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

// Event is what Options.Report hears.
type Event struct {
	Kind EventKind
	// Path says where: the controller's name and the port numbers on the way, "xHCI, port 2.1".
	Path string
	// Device is the device that was found or removed, and nil for other events.
	Device *usb.Device
	// Err is the reason, when there is one.
	Err error
}

// String is a line for a log.
func (e Event) String() string {
	s := fmt.Sprintf("usb: %s: %s", e.Path, e.Kind)
	if e.Device != nil {
		vendor, product, _ := e.Device.ID()
		s += fmt.Sprintf(": %04x:%04x %q %q, %s", vendor, product, e.Device.Manufacturer, e.Device.Product, e.Device.Speed)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// report tells Options.Report, one event at a time.
func (b *Bus) report(e Event) {
	if b.options.Report == nil {
		return
	}
	b.reporting.Lock()
	defer b.reporting.Unlock()
	b.options.Report(e)
}
