package usbhost

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"tamaccid/ccid/usb"
)

// A device, from the end of its port's reset to its removal. The port's goroutine makes and removes it; in between bringUp runs in
// one of its own, so that the port can be watched meanwhile.
//
//	state       | what happens in it                              | ends with
//	recovering  | resetRecovery passes                            | NewDevice
//	addressing  | NewDevice, Address, addressRecovery             | the default address is free again
//	describing  | descriptors, strings                            |
//	configuring | Configure, SET_CONFIGURATION; of a hub also     | bringUp's return
//	            | its descriptor, SET_INTERFACE, SET_HUB_DEPTH    |
//	running     | its interfaces are offered; a hub has a branch  | remove
//
//	event             | recovering     | addressing         | describing, configuring | running
//	a step fails      | -              | hardware released  | remove                  | the port hears of it: remove
//	unplugged, over-  | ctx ends the   | ctx ends Address,  | ctx ends the request,   | remove
//	current, bus ends | wait           | hardware released  | remove                  |
//
// remove ends ctx, and with it class drivers' contexts; then the branch of a hub, with all that is behind it; then gives the
// hardware's place free, which ends all transfers, and waits for what they leave behind in a translator.
type device struct {
	bus      *Bus
	root     *root
	port     *port
	location Location
	path     string

	ctx    context.Context // ends when the device is removed
	cancel context.CancelFunc
	away   atomic.Bool

	translator *device // the hub through whose transaction translator it is reached; nil if there is none
	hardware   Device  // nil before NewDevice
	address    uint8
	descriptor []byte // of the device
	parsed     usb.DeviceDescriptor
	config     []byte
	interfaces []*Interface
	info       usb.Device // of the device, no interface in particular
	hub        *hub       // nil if it is none

	pipe0    lock // held during a control transfer
	changing lock // held while a setting is changed

	mu        sync.Mutex
	owner     *transport     // whose control transfer is under way
	transfers sync.WaitGroup // through a translator
}

// Waits of enumeration.
const (
	// resetRecovery is how long a device is left alone after a reset (USB 2.0, 7.1.7.5; USB 3.2, 9.2.6.2: 10 ms).
	resetRecovery = 10 * time.Millisecond
	// addressRecovery is how long it is left alone after SET_ADDRESS (USB 2.0, 9.2.6.3: 2 ms).
	addressRecovery = 2 * time.Millisecond
	// addressLimit is the end of NewDevice and Address, ten times what SET_ADDRESS has (USB 2.0, 9.2.6.3: 50 ms; policy).
	addressLimit = 500 * time.Millisecond
)

func newDevice(p *port, at Location) *device {
	d := &device{bus: p.branch.bus, root: p.branch.root, port: p, location: at, path: p.path(), translator: translatorOf(p.branch, at),
		pipe0: newLock(), changing: newLock()}
	d.ctx, d.cancel = context.WithCancel(p.branch.ctx)
	return d
}

// bringUp takes a device from its default state to its configuration. recover says that it was just reset. addressed is closed
// when it no longer answers at the default address.
func (d *device) bringUp(recover bool, addressed chan<- struct{}) error {
	if recover {
		if err := sleep(d.ctx, resetRecovery); err != nil {
			return err
		}
	}
	if err := d.takeAddress(); err != nil {
		return fmt.Errorf("address: %w", err)
	}
	if err := sleep(d.ctx, addressRecovery); err != nil {
		return err
	}
	close(addressed)
	if err := d.describe(); err != nil {
		return err
	}
	return d.configure()
}

// takeAddress moves the device to the addressed state. One at a time may be on its way there, USB 3 devices too (NewDevice).
func (d *device) takeAddress() error {
	if err := d.root.addressing.acquire(d.ctx, d.ctx); err != nil {
		return err
	}
	defer d.root.addressing.release()
	ctx, cancel := context.WithTimeout(d.ctx, addressLimit)
	defer cancel()
	hardware, err := d.root.controller.NewDevice(ctx, d.location)
	if err == nil {
		d.address, err = hardware.Address(ctx)
		if err != nil {
			hardware.Release()
			d.clearPipe0(0, err) // it was at the default address
		} else {
			d.hardware = hardware
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = usb.ErrTimeout
	}
	return err
}

// configure chooses the endpoints and puts the device into its configuration.
func (d *device) configure() error {
	if err := d.hardware.Configure(d.ctx, d.endpoints(nil, 0)); err != nil {
		return fmt.Errorf("endpoints: %w", err)
	}
	if err := d.command(usb.ToDevice, usb.RequestSetConfiguration, uint16(configurationValue(d.config)), 0); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if d.parsed.Class == classHub {
		return d.configureHub()
	}
	return nil
}

// endpoints are those of all interfaces in their settings, but for the interface not, which is left out (setting < 0) or in
// another one.
func (d *device) endpoints(not *Interface, setting int) (all []usb.Endpoint) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, i := range d.interfaces {
		index := i.current
		if i == not {
			index = setting
		}
		if index >= 0 {
			all = append(all, i.settings[index].Endpoints...)
		}
	}
	return all
}

// setInterface puts an interface that nobody has claimed into another setting (USB 2.0, 9.4.10). Its endpoints begin with DATA0
// even where both settings have them (9.1.1.5). It is called with changing held.
func (d *device) setInterface(ctx context.Context, i *Interface, index int) error {
	if err := d.hardware.Configure(ctx, d.endpoints(i, -1)); err != nil {
		return err
	}
	err := d.hardware.Configure(ctx, d.endpoints(i, index))
	if err == nil {
		s := &i.settings[index]
		_, err = d.request(ctx, usb.Setup{RequestType: usb.DirOut | usb.TypeStandard | usb.ToInterface,
			Request: usb.RequestSetInterface, Value: uint16(s.AltSetting), Index: uint16(s.Number)}, nil)
	}
	if err != nil {
		// Back to where it was. Its endpoints may have begun anew on one side only, which is the best that can be had.
		_ = d.hardware.Configure(d.ctx, d.endpoints(nil, 0))
		return err
	}
	d.mu.Lock()
	i.current = index
	d.mu.Unlock()
	return nil
}

// offer shows the interfaces to the class drivers.
func (d *device) offer() {
	if d.bus.options.Attach == nil {
		return
	}
	for _, i := range d.interfaces {
		d.bus.begin()
		d.root.drivers.Go(func() {
			defer i.Ready()
			d.bus.options.Attach(d.ctx, i)
		})
	}
}

// remove ends the device and everything behind it.
func (d *device) remove() {
	d.mu.Lock()
	d.away.Store(true) // no transfer begins any more
	d.mu.Unlock()
	d.cancel()
	if d.hub != nil {
		d.hub.branch.close()
	}
	if d.hardware != nil {
		d.hardware.Release()
	}
	d.transfers.Wait() // until a translator is clear: the next device may have the same address
}

// own notes whose control transfer is under way.
func (d *device) own(t *transport) {
	d.mu.Lock()
	d.owner = t
	d.mu.Unlock()
}

// cancelControl ends a transport's control transfer, and nobody else's.
func (d *device) cancelControl(t *transport) {
	d.mu.Lock()
	if d.owner == t {
		d.hardware.Cancel(0)
	}
	d.mu.Unlock()
}

// describeSelf is what Bus.Devices tells.
func (d *device) describeSelf() DeviceInfo {
	info := DeviceInfo{Device: &d.info, Controller: d.root.controller, Location: d.location}
	if d.hub != nil {
		info.HubPorts = len(d.hub.branch.ports)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, i := range d.interfaces {
		info.Interfaces = append(info.Interfaces, InterfaceInfo{Descriptor: i.settings[i.current], Claimed: i.claimed != nil})
	}
	return info
}
