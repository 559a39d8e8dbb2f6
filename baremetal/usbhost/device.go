package usbhost

import (
	"context"
	"sync"
	"sync/atomic"

	"tamaccid/ccid/usb"
)

// A device exists from the end of its port's reset until its removal. The goroutine of its port
// creates and removes it. Between these, enumeration runs in a goroutine of its own, so that the
// port can be observed at the same time.
//
//	state       | activity                                        | ends with
//	recovering  | waits for resetRecovery                         | NewDevice
//	addressing  | NewDevice, Address, addressRecovery             | release of the default address
//	describing  | reads descriptors and strings                   |
//	configuring | Configure, SET_CONFIGURATION; for a hub also    | the end of enumeration
//	            | its descriptor, SET_INTERFACE, SET_HUB_DEPTH    |
//	running     | interfaces are offered; a hub has ports         | remove
//
//	event             | recovering   | addressing        | describing,           | running
//	                  |              |                   | configuring           |
//	a step fails      | -            | hardware released | remove                | port.fail: remove
//	unplugged, over-  | ctx ends the | ctx ends Address, | ctx ends the request, | remove
//	current, bus ends | wait         | hardware released | remove                |
//
// remove ends ctx, and so the contexts of class drivers. Then it removes all devices behind a hub.
// Then it releases the controller's resources, which ends all transfers, and waits until buffers of
// a transaction translator are clear.
type device struct {
	controller Controller
	number     uint8 // of the controller
	port       devicePort
	location   Location
	path       string

	ctx    context.Context // ends when the device is removed
	cancel context.CancelFunc
	away   atomic.Bool // removed: no more transfers

	translator *device // the hub whose transaction translator serves it, or nil
	hardware   Device  // nil before NewDevice
	address    uint8
	descriptor []byte // device descriptor
	parsed     usb.DeviceDescriptor
	config     []byte // configuration descriptor
	interfaces []*Interface
	info       usb.Device // with the first interface
	downstream downstream // the devices behind a hub; nil for other devices

	pipe0    lock // held during a control transfer
	changing lock // held during a change of an alternate setting

	mu        sync.Mutex
	owner     any            // the transport whose control transfer is in progress, or nil
	transfers sync.WaitGroup // transfers through a translator
}

// devicePort is the port of a device, as the device uses it.
type devicePort interface {
	// inspect checks whether the device is still connected, after a failed transfer. When it
	// returns, the device was removed if it is not.
	inspect(ctx context.Context, d *device)
	// fail requests a new enumeration of the device, which does not work any more.
	fail(err error)
	// report reports an event of the port.
	report(kind EventKind, err error)
}

// downstream is a hub with all that is behind it, as its device uses it.
type downstream interface {
	// run starts to operate the hub.
	run()
	// close removes all devices behind the hub.
	close()
}

// remove ends the device and everything behind it.
func (d *device) remove() {
	d.mu.Lock()
	d.away.Store(true)
	d.mu.Unlock()
	d.cancel()
	if d.downstream != nil {
		d.downstream.close()
	}
	if d.hardware != nil {
		d.hardware.Release()
	}
	d.transfers.Wait() // the next device may get the same address
}

// beginTransfer registers a transfer that remove waits for. It reports whether the device is still
// there.
func (d *device) beginTransfer() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.away.Load() {
		return false
	}
	d.transfers.Add(1)
	return true
}

// setOwner registers the transport whose control transfer is in progress.
func (d *device) setOwner(t any) {
	d.mu.Lock()
	d.owner = t
	d.mu.Unlock()
}

// cancelControl ends the control transfer in progress if it is of transport t.
func (d *device) cancelControl(t any) {
	d.mu.Lock()
	if d.owner == t {
		d.hardware.Cancel(0)
	}
	d.mu.Unlock()
}

// Interface is one interface of a configured device. Options.Attach is called with it. Its methods
// may be called concurrently.
type Interface struct {
	device   *device
	settings []usb.Interface // at least one
	infos    []usb.Device    // of the settings
	ready    sync.Once
	done     func() // called by Ready

	// The device's mu protects these.
	current int // index of the current setting
	claimed bool
}
