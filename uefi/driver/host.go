package driver

import (
	"context"
	"errors"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/hcd"
	"tamaccid/ccid"
	"tamaccid/uefi"
	"tamaccid/uefi/pcihost"
)

// A host is a USB host controller that the driver runs itself.
type host struct {
	controller *controller
	function   *pcihost.Function
	memory     *pcihost.Memory
	bus        *usbhost.Bus
	halt       func() // stops the controller and wipes transfers in flight, without a goroutine
	path       uefi.DevicePath
	name       []uint16 // with its NUL, for firmware
	open       []*ccid.Reader
	closing    bool
}

// newHostController starts the driver of a host controller. Tests replace it.
var newHostController = func(f *pcihost.Function, m hcd.Memory) (usbhost.Controller, error) {
	return f.Driver().New(f.Registers(), m, hcd.Options{
		Name:   f.String(),
		Report: func(message string) { say("%s", message) },
	})
}

// supportsHost says whether a handle with EFI_PCI_IO_PROTOCOL is a host controller that the driver would take, and remaining, a
// device path or 0, something on it.
func (d *Driver) supportsHost(h uefi.Handle, remaining uintptr) error {
	if d.options.usb == usbFirmware || !onUSB(remaining) {
		return uefi.Unsupported
	}
	if d.options.usb == usbDirect {
		// Start will ask firmware's driver to leave. Supported may change nothing.
		addr, err := d.boot.HandleProtocol(h, &uefi.PCIIOGUID)
		if err != nil {
			return err
		}
		return isHost(addr)
	}
	addr, err := d.openByDriver(h, &uefi.PCIIOGUID, 0)
	if err != nil {
		return err
	}
	defer d.close(h, &uefi.PCIIOGUID)
	return isHost(addr)
}

func isHost(addr uintptr) error {
	if pcihost.Driver(uefi.PCIIOAt(addr)) == nil {
		return uefi.Unsupported
	}
	return nil
}

// Messaging device path nodes that stand for USB devices (UEFI 2.11, 10.3.4.5, 10.3.4.6).
const (
	usbNode      = 5
	usbClassNode = 15
	usbWWIDNode  = 16
)

// onUSB says whether what is left of a device path begins on a USB host controller, or says nothing.
func onUSB(remaining uintptr) bool {
	path := uefi.DevicePathAt(remaining)
	n, _, err := path.Next()
	switch {
	case remaining == 0:
		return true
	case err != nil:
		return false
	case n.Type == uefi.EndNode:
		return true
	}
	return n.Type == uefi.MessagingNode && (n.SubType == usbNode || n.SubType == usbClassNode || n.SubType == usbWWIDNode)
}

// startHost takes a host controller, on request from firmware's driver, and waits for what is plugged in.
func (d *Driver) startHost(h uefi.Handle) error {
	exclusive := uefi.OpenAttributes(0)
	switch d.options.usb {
	case usbFirmware:
		return uefi.Unsupported
	case usbDirect:
		exclusive = uefi.OpenExclusive
		if err := d.leaveBehind(h); err != nil {
			return err
		}
	}
	addr, err := d.openByDriver(h, &uefi.PCIIOGUID, exclusive)
	if err != nil {
		return err
	}
	c := &controller{handle: h, guid: &uefi.PCIIOGUID}
	defer func() { // after a panic too
		if c.host == nil {
			d.close(h, &uefi.PCIIOGUID)
		}
	}()
	switch err := d.openHost(c, addr); {
	case err == error(uefi.Unsupported):
		return err
	case err != nil:
		return &startError{err}
	}
	d.bound[h] = c
	ctx, cancel := limited(startLimit)
	defer cancel()
	d.withoutLock(func() { _ = c.host.bus.Settle(ctx) }) // what takes longer goes on in the background
	return nil
}

// withoutLock lets goroutines change what firmware sees during f.
func (d *Driver) withoutLock(f func()) {
	d.mu.Unlock()
	defer d.mu.Lock()
	f()
}

// leaveBehind lets go of the readers that firmware has on the host controller h: firmware's driver is about to leave it, and
// would ask this driver to let go of them, while it is busy.
func (d *Driver) leaveBehind(h uefi.Handle) error {
	path := d.boot.DevicePathOf(h)
	for _, c := range d.bound {
		if c.host == nil && path.Contains(d.boot.DevicePathOf(c.handle)) {
			if d.shut(c) != nil {
				return uefi.AccessDenied
			}
		}
	}
	return nil
}

// openHost makes the host of a controller whose protocol is open at addr.
func (d *Driver) openHost(c *controller, addr uintptr) error {
	io := uefi.PCIIOAt(addr)
	driver := pcihost.Driver(io)
	if driver == nil {
		return uefi.Unsupported
	}
	path := d.boot.DevicePathOf(c.handle)
	if path == nil {
		return errors.New("host controller without a device path")
	}
	f, err := pcihost.Open(io, driver)
	if err != nil {
		return err
	}
	h := &host{controller: c, function: f, memory: f.Memory(), path: path, halt: func() {}}
	running := false
	defer func() { // after a panic too
		if c.host == nil {
			d.unwatch(h)
			h.release(running)
		}
	}()
	if err := d.watch(h); err != nil {
		return err
	}
	hc, err := newHostController(f, h.memory)
	if err != nil {
		return err
	}
	h.halt, h.name = func() { hc.Halt(); hc.Wipe() }, uefi.UTF16(hc.Name())
	h.bus = usbhost.New(usbhost.Options{
		Attach: func(ctx context.Context, i *usbhost.Interface) { d.attach(ctx, h, i) },
		Report: func(e usbhost.Event) { h.report(e) },
	})
	running = true
	if err := h.bus.Add(hc); err != nil {
		running = hc.Close() != nil
		return err
	}
	c.host = h
	return nil
}

// closeHost stops c's host controller, with all that goes on there.
func (d *Driver) closeHost(c *controller) {
	h := c.host
	h.closing = true
	// Goroutines for readers end now, and find that their slots have gone.
	running := false
	d.withoutLock(func() {
		if err := h.bus.Close(); err != nil {
			running = true
			say("%v", err)
		}
	})
	d.unwatch(h)
	h.release(running)
}

// release gives memory and function back. A controller that may be running keeps both: it must not
// write to memory that is somebody else's, and is no bus master any more.
func (h *host) release(running bool) {
	err := h.function.Quiet()
	if !running {
		h.memory.Close()
		err = errors.Join(err, h.function.Close())
	}
	if err != nil {
		say("%v: %v", h.function, err)
	}
}
