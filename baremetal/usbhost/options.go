package usbhost

import "context"

// Options are the options of a bus.
type Options struct {
	// Attach is called in a goroutine of its own for each interface of each device, after the
	// device was configured. ctx ends when the device is removed or the bus is closed. Attach may
	// run as long as the device is there, and should return soon after ctx has ended: Bus.Remove
	// and Bus.Close wait for it, so it must not call them. It is not called for hubs.
	Attach func(ctx context.Context, i *Interface)
	// Report, if set, is called with each event. Calls do not overlap. It must not block, nor call
	// Bus.Remove or Bus.Close.
	Report func(Event)
	// Choose selects one of several configurations of a device by its index in configs, each a
	// whole configuration descriptor as read from the device. If it is nil or returns an index out
	// of range, the bus selects the first configuration with an interface that is not
	// vendor-specific, else the first one, and one with bConfigurationValue 0 only if there is no
	// other.
	Choose func(descriptor []byte, configs [][]byte) int
}
