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
		Report: func(message string) { printMessage("%s", message) },
	})
}

// supportsHost returns nil if a handle with EFI_PCI_IO_PROTOCOL is a host controller that the
// driver takes. remaining is a device path to something on it, or 0.
func (d *Driver) supportsHost(h uefi.Handle, remaining uintptr) error {
	if d.options.usb == usbFirmware || !onUSB(remaining) {
		return uefi.Unsupported
	}
	if d.options.usb == usbDirect {
		// Start disconnects firmware's driver. Supported must not change anything.
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

// onUSB reports whether a remaining device path is 0, empty, or begins with a node of a USB device.
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
	return n.Type == uefi.MessagingNode && (n.SubType == usbNode || n.SubType == usbClassNode ||
		n.SubType == usbWWIDNode)
}

// startHost takes a host controller, with usb=direct from firmware's driver, and waits for the
// readers on it.
func (d *Driver) startHost(h uefi.Handle) error {
	exclusive := uefi.OpenAttributes(0)
	switch d.options.usb {
	case usbFirmware:
		return uefi.Unsupported
	case usbDirect:
		exclusive = uefi.OpenExclusive
		if err := d.stopReadersOn(h); err != nil {
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
	io := uefi.PCIIOAt(addr)
	driver := pcihost.Driver(io)
	if driver == nil {
		return uefi.Unsupported
	}
	f, err := pcihost.Open(io, driver)
	if err != nil {
		return &startError{err}
	}
	if err := d.openHost(c, f); err != nil {
		return &startError{err}
	}
	d.bound[h] = c
	ctx, cancel := limited(startLimit)
	defer cancel()
	// What takes longer goes on in the background.
	d.withoutLock(func() { _ = c.host.bus.Settle(ctx) })
	return nil
}

// withoutLock releases the lock during f, so that goroutines can install and uninstall protocols.
func (d *Driver) withoutLock(f func()) {
	d.mu.Unlock()
	defer d.mu.Lock()
	f()
}

// stopReadersOn stops the readers of firmware's USB stack that are on the host controller h.
// Firmware's driver is about to be disconnected from h; the Stop that this would cause is refused
// while a call is in progress.
func (d *Driver) stopReadersOn(h uefi.Handle) error {
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

// openHost makes the host of a controller. After an error the function is closed.
func (d *Driver) openHost(c *controller, f *pcihost.Function) error {
	h := &host{controller: c, function: f, memory: f.Memory(), halt: func() {}}
	running := false
	defer func() { // after a panic too
		if c.host == nil {
			d.unwatch(h)
			h.release(running)
		}
	}()
	if h.path = d.boot.DevicePathOf(c.handle); h.path == nil {
		return errors.New("host controller without a device path")
	}
	if err := d.watch(h); err != nil {
		return err
	}
	hc, err := newHostController(f, h.memory)
	if err != nil {
		return err
	}
	h.halt, h.name = func() { hc.Halt(); hc.Wipe() }, uefi.UTF16(hc.Name())
	h.bus = usbhost.New(usbhost.Options{
		Choose: ccid.Choose,
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

// closeHost stops c's host controller and the readers on it.
func (d *Driver) closeHost(c *controller) {
	h := c.host
	h.closing = true
	// The goroutines of readers end now. Their slots are removed already.
	running := false
	d.withoutLock(func() {
		if err := h.bus.Close(); err != nil {
			running = true
			printMessage("%v", err)
		}
	})
	d.unwatch(h)
	h.release(running)
}

// release frees memory and function. A controller that may still be running keeps both, without bus
// mastering: it must not write to memory that is used otherwise.
func (h *host) release(running bool) {
	err := h.function.Quiet()
	if !running {
		h.memory.Close()
		err = errors.Join(err, h.function.Close())
	}
	if err != nil {
		printMessage("%v: %v", h.function, err)
	}
}
