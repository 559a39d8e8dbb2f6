package driver

import (
	"errors"
	"time"
	"unsafe"

	"tamaccid/ccid/usb"
	"tamaccid/uefi"
	"tamaccid/uefi/gate"
)

// The driver's life with a controller (in the words of UEFI 2.11, 11.1). A USB interface of firmware's USB stack, and a host
// controller that the driver runs itself, without firmware's USB stack:
//
//	event                     USB interface                            host controller
//	Supported                 opens EFI_USB_IO_PROTOCOL, reads         opens EFI_PCI_IO_PROTOCOL, reads the class
//	                          descriptors, closes it                   code, closes it
//	Supported, managed        EFI_SUCCESS if a child is missing        the same
//	Start                     opens it BY_DRIVER, opens the reader,    opens it BY_DRIVER, on request EXCLUSIVE: that ends
//	                          installs the protocol: slot 0 on the     firmware's use of it; starts the bus, waits
//	                          controller, each other slot on a child   for what is plugged in, at most startLimit
//	Start, no answer in       installs the protocol for slot 0; the    -
//	startLimit, or timers     reader is opened by the first member
//	stand still               (see postponed.go)
//	Start, managed            makes the missing children that          the same
//	                          RemainingDevicePath names, or all
//	reader comes              -                                        opens it, installs the protocol: each slot on a child
//	reader goes               firmware calls Stop                      removes its slots' handles
//	Stop with children        removes these slots' handles             the same
//	Stop, no children left    removes slot 0, closes reader and        stops bus and controller, closes
//	                          EFI_USB_IO_PROTOCOL                      EFI_PCI_IO_PROTOCOL; nobody manages the controller then
//	Unload                    the same for all controllers, then       the same; then firmware's driver is asked to
//	                          the driver's own protocols               take the controller back
//	end of boot services      -                                        the controller is stopped
//
// A slot whose protocol cannot be uninstalled goes on working, and Stop fails. When its reader has
// gone it answers so, and is removed when that is tried again. Stop fails too while firmware does
// not end the polling of an interrupt endpoint. Unload fails while firmware has a pointer into the
// image: a protocol, an event, an interrupt endpoint that it polls.

// version is the driver binding's: at least 0x10, which is where drivers that
// are not the platform's begin (UEFI 2.11, 11.1).
const version = 0x10

// startLimit is how long Start may take, or an attempt to open a reader outside of a member that
// somebody waits for (policy).
const startLimit = time.Second

// notificationLook is how long a reader is asked for notifications where firmware cannot do that by itself (policy: the shortest
// time that firmware knows).
const notificationLook = time.Millisecond

// pollDelay is how much later than from a reader that is read all the time a notification comes
// from firmware: twice the period of the timer with which it looks for finished transfers, once for
// this one and once for the one before, which it begins anew only then (policy: 50 ms, more than
// any edk2 has; edk2-stable202605: 1 ms, rounded up to the tick of its timer, 10 ms on OVMF).
const pollDelay = 2 * 50 * time.Millisecond

func (d *Driver) openByDriver(h uefi.Handle, guid *uefi.GUID, also uefi.OpenAttributes) (addr uintptr, err error) {
	return d.boot.OpenProtocol(h, guid, d.image, h, uefi.OpenByDriver|also)
}

// closeTries is how often firmware is asked to close a protocol (policy). One that stays open keeps
// this driver from the controller, and for a child that has gone it keeps Stop from the controller,
// since firmware asks for that child first.
const closeTries = 2

func (d *Driver) close(h uefi.Handle, guid *uefi.GUID) { d.closeFor(h, guid, h) }

// closeFor ends the use of a protocol for a child, or for the controller itself.
func (d *Driver) closeFor(h uefi.Handle, guid *uefi.GUID, child uefi.Handle) {
	for range closeTries {
		if d.boot.CloseProtocol(h, guid, d.image, child) == nil {
			return
		}
	}
}

// supported is EFI_DRIVER_BINDING_PROTOCOL.Supported (UEFI 2.11, 11.1.2).
func (d *Driver) supported(a *gate.Args) uefi.Status {
	h := uefi.Handle(a.At(1))
	if c := d.bound[h]; c != nil {
		if len(d.missing(c, a.At(2))) == 0 {
			return uefi.AlreadyStarted
		}
		return uefi.Success
	}
	err := d.supportsInterface(h)
	if err == error(uefi.Unsupported) {
		err = d.supportsHost(h, a.At(2))
	}
	return driverStatus(err)
}

// start is EFI_DRIVER_BINDING_PROTOCOL.Start (UEFI 2.11, 11.1.3).
func (d *Driver) start(a *gate.Args) uefi.Status {
	h := uefi.Handle(a.At(1))
	var err error
	if c := d.bound[h]; c != nil {
		err = d.restore(c, a.At(2))
	} else if err = d.startInterface(h); err == error(uefi.Unsupported) {
		err = d.startHost(h)
	}
	var failed *startError
	if errors.As(err, &failed) {
		d.complain(h, failed.error)
	}
	return driverStatus(err)
}

// startError is why something that was there could not be made to work.
type startError struct{ error }

func (e *startError) Unwrap() error { return e.error }

// driverStatus passes on the status of OpenProtocol, as Supported and Start must (UEFI 2.11,
// 11.1.2, 11.1.3). What was there and could not be made to work for lack of memory is
// EFI_OUT_OF_RESOURCES.
func driverStatus(err error) uefi.Status {
	var failed *startError
	var st uefi.Status
	switch {
	case err == nil:
		return uefi.Success
	case errors.As(err, &failed) && errors.Is(err, error(uefi.OutOfResources)):
		return uefi.OutOfResources
	case errors.As(err, &failed):
		return uefi.DeviceError
	case errors.As(err, &st):
		return st
	}
	return uefi.Unsupported
}

// stop is EFI_DRIVER_BINDING_PROTOCOL.Stop (UEFI 2.11, 11.1.4).
func (d *Driver) stop(a *gate.Args) uefi.Status {
	c := d.bound[uefi.Handle(a.At(1))]
	if c == nil {
		return uefi.DeviceError
	}
	if n := a.At(2); n > 0 {
		return d.stopChildren(c, n, a.At(3))
	}
	if c.host == nil && c.children() > 0 {
		return uefi.DeviceError // they come first
	}
	if d.shut(c) != nil {
		return uefi.DeviceError
	}
	delete(d.complaints, c.handle)
	return uefi.Success
}

func (d *Driver) stopChildren(c *controller, n, buffer uintptr) uefi.Status {
	if n > uintptr(len(c.slots)) || !gate.Readable(buffer, n*unsafe.Sizeof(uefi.Handle(0))) {
		return uefi.DeviceError
	}
	for _, h := range unsafe.Slice(uefi.At[uefi.Handle](buffer), int(n)) {
		var child *offered
		for _, o := range c.slots {
			if o.handle == h && o.path != nil {
				child = o
			}
		}
		if child == nil || d.withdraw(c, child) != nil {
			return uefi.DeviceError
		}
	}
	return uefi.Success
}

// shut withdraws what is left of c and lets go of it. After an error c goes on working, and shut
// can be tried again.
func (d *Driver) shut(c *controller) error { return d.shutWithin(c, d.newShutdown(c)) }

// shutWithin is shut for a controller of several.
func (d *Driver) shutWithin(c *controller, s *shutdown) error {
	if err := d.unlisten(c); err != nil {
		return err
	}
	if err := d.withdrawAll(c); err != nil {
		_ = c.listen() // without it the reader is asked
		return err
	}
	delete(d.bound, c.handle)
	s.close(c)
	if c.host != nil {
		d.closeHost(c)
	}
	d.release(c)
	return nil
}

// release gives back what a controller has had since Start: its protocol, and the number of its
// reader.
func (d *Driver) release(c *controller) {
	if c.host == nil {
		d.units.Release(c.unit)
	}
	d.close(c.handle, c.guid)
}

// listen makes firmware poll the interrupt endpoint of a USB interface, where firmware can.
// Elsewhere the reader is asked for its state.
func (c *controller) listen() error {
	if c.transport == nil {
		return nil
	}
	return c.transport.Listen(notificationSize(declaredSlots(c.reader)))
}

// unlisten ends that. After an error firmware may go on polling: it calls into the image and writes
// to memory of the driver. Where that is so although the device has gone, trying again is of no
// use: the controller goes, the memory and the image stay.
func (d *Driver) unlisten(c *controller) error {
	if c.transport == nil {
		return nil
	}
	err := c.transport.Unlisten()
	if err == nil {
		return nil
	}
	d.complain(c.handle, err)
	if errors.Is(err, usb.ErrGone) {
		d.polled = append(d.polled, c.transport)
		return nil
	}
	return err
}
