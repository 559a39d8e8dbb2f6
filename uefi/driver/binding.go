package driver

import (
	"errors"
	"time"
	"unsafe"

	"tamaccid/ccid/usb"
	"tamaccid/uefi"
	"tamaccid/uefi/gate"
)

// The events of a controller (UEFI 2.11, 11.1), for a USB interface of firmware's USB stack, and
// for a host controller that the driver runs itself, without firmware's USB stack:
//
//	event                    USB interface                         host controller
//	Supported                opens EFI_USB_IO_PROTOCOL, reads      opens EFI_PCI_IO_PROTOCOL, reads
//	                         descriptors, closes it                the class code, closes it
//	Supported, managed       EFI_SUCCESS if a child is missing     the same
//	Start                    opens it BY_DRIVER, opens the         opens it BY_DRIVER, on request
//	                         reader, installs the protocol: slot   EXCLUSIVE, which stops firmware's
//	                         0 on the controller, each other       driver; starts the bus, waits for
//	                         slot on a child                       devices, at most startLimit
//	Start, no answer in      installs the protocol for slot 0;     -
//	startLimit, or timers    the first call opens the reader
//	stand still              (see postponed.go)
//	Start, managed           creates the missing children that     the same
//	                         RemainingDevicePath selects, or all
//	a reader is plugged in   -                                     opens it, installs the protocol:
//	                                                               each slot on a child
//	a reader is unplugged    firmware calls Stop                   removes its slots' handles
//	Stop with children       removes these slots' handles          the same
//	Stop, no children left   removes slot 0, closes reader and     stops bus and controller, closes
//	                         EFI_USB_IO_PROTOCOL                   EFI_PCI_IO_PROTOCOL; no driver
//	                                                               manages the controller then
//	Unload                   the same for all controllers, then    the same; connects firmware's
//	                         the driver's own protocols            driver
//	end of boot services     -                                     stops the controller
//
// A slot whose protocol cannot be uninstalled goes on working, and Stop fails. If its reader has
// gone its functions return EFI_DEVICE_ERROR, and the next attempt removes it. Stop fails too while
// firmware does not end the polling of an interrupt endpoint. Unload fails while firmware has a
// pointer into the image: a protocol, an event, an interrupt endpoint that it polls.

// version is that of the driver binding: at least 0x10, from which on drivers are not part of the
// platform (UEFI 2.11, 11.1).
const version = 0x10

// startLimit is how long Start may take, or an attempt to open a reader outside of a function call
// (policy).
const startLimit = time.Second

// notificationLook is the time limit of one read of notifications where firmware cannot poll
// (policy: firmware's shortest time).
const notificationLook = time.Millisecond

// pollDelay is how much later a notification is delivered by firmware than by a pending read: twice
// the period of the timer with which firmware looks for finished transfers, once for this transfer
// and once for the one before, which it restarts only then (policy: 50 ms, more than any edk2 has;
// edk2-stable202605: 1 ms, rounded up to the tick of its timer, 10 ms on OVMF).
const pollDelay = 2 * 50 * time.Millisecond

func (d *Driver) openByDriver(
	h uefi.Handle, guid *uefi.GUID, also uefi.OpenAttributes,
) (addr uintptr, err error) {
	return d.boot.OpenProtocol(h, guid, d.image, h, uefi.OpenByDriver|also)
}

// closeTries is how often the driver tries to close a protocol (policy). An opening that stays
// keeps this driver from the controller; that for a removed child keeps firmware from calling Stop
// for the controller, since it calls Stop for the child first.
const closeTries = 2

func (d *Driver) close(h uefi.Handle, guid *uefi.GUID) { d.closeFor(h, guid, h) }

// closeFor ends an opening for a child, or for the controller itself.
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
	if notSupported(err) {
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
	} else if err = d.startInterface(h); notSupported(err) {
		err = d.startHost(h)
	}
	var failed *startError
	if errors.As(err, &failed) {
		d.printOnce(h, failed.error)
	}
	return driverStatus(err)
}

// startError is an error of a controller that the driver supports and could not start.
type startError struct{ error }

func (e *startError) Unwrap() error { return e.error }

// notSupported reports whether the driver does not support a controller. A controller that it
// supports may fail with the same status.
func notSupported(err error) bool {
	var failed *startError
	return errors.Is(err, uefi.Unsupported) && !errors.As(err, &failed)
}

// driverStatus is the status of OpenProtocol, as Supported and Start must return it (UEFI 2.11,
// 11.1.2, 11.1.3). For a controller that could not be started for lack of memory it is
// EFI_OUT_OF_RESOURCES.
func driverStatus(err error) uefi.Status {
	var failed *startError
	var st uefi.Status
	switch {
	case err == nil:
		return uefi.Success
	case errors.As(err, &failed) && errors.Is(err, uefi.OutOfResources):
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
		return uefi.DeviceError // children are stopped first
	}
	if d.shut(c) != nil {
		return uefi.DeviceError
	}
	delete(d.printed, c.handle)
	return uefi.Success
}

func (d *Driver) stopChildren(c *controller, n, buffer uintptr) uefi.Status {
	if n > uintptr(len(c.slots)) || !gate.Readable(buffer, n*unsafe.Sizeof(uefi.Handle(0))) {
		return uefi.DeviceError
	}
	for _, h := range unsafe.Slice(uefi.At[uefi.Handle](buffer), int(n)) {
		var child *installedSlot
		for _, o := range c.slots {
			if o.handle == h && o.path != nil {
				child = o
			}
		}
		if child == nil || d.uninstall(c, child) != nil {
			return uefi.DeviceError
		}
	}
	return uefi.Success
}

// shut removes the remaining slots of c, closes its readers and its protocol. After an error c goes
// on working, and shut can be tried again.
func (d *Driver) shut(c *controller) error { return d.shutWithin(c, d.newShutdown(c)) }

// shutWithin is shut for one of several controllers, which share a time limit.
func (d *Driver) shutWithin(c *controller, s *shutdown) error {
	if err := d.unlisten(c); err != nil {
		return err
	}
	if err := d.uninstallAll(c); err != nil {
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

// release ends what Start has taken for a controller: its protocol, and the number of its reader.
func (d *Driver) release(c *controller) {
	if c.host == nil {
		d.units.Release(c.unit)
	}
	d.close(c.handle, c.guid)
}

// listen makes firmware poll the interrupt endpoint of a USB interface, where firmware can.
// Elsewhere the class driver asks the reader for its state.
func (c *controller) listen() error {
	if c.transport == nil {
		return nil
	}
	return c.transport.Listen(notificationSize(declaredSlots(c.reader)))
}

// unlisten ends the polling. After an error firmware may go on polling: it calls into the image and
// writes to memory of the driver. If the device has been removed, another attempt is of no use: the
// controller is released, the memory and the image stay.
func (d *Driver) unlisten(c *controller) error {
	if c.transport == nil {
		return nil
	}
	err := c.transport.Unlisten()
	if err == nil {
		return nil
	}
	d.printOnce(c.handle, err)
	if errors.Is(err, usb.ErrGone) {
		d.polled = append(d.polled, c.transport)
		return nil
	}
	return err
}
