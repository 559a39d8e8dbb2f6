package driver

import (
	"time"

	"tamaccid/ccid"
	"tamaccid/ccid/usb"
	"tamaccid/uefi"
	"tamaccid/uefi/usbio"
)

// Offsets of bInterfaceNumber and bInterfaceClass in an interface descriptor (USB 2.0, table 9-12).
const (
	interfaceNumber = 2
	interfaceClass  = 5
)

// supportsInterface returns nil if a handle with EFI_USB_IO_PROTOCOL is a reader that is free.
func (d *Driver) supportsInterface(h uefi.Handle) error {
	addr, err := d.openByDriver(h, &uefi.USBIOGUID, 0)
	if err != nil {
		return err
	}
	defer d.close(h, &uefi.USBIOGUID)
	// Firmware has kept this descriptor: devices of other classes receive no requests.
	desc, err := uefi.USBIOAt(addr).InterfaceDescriptor()
	if err != nil {
		return uefi.Unsupported
	}
	switch ccid.Screen(desc[interfaceClass]) {
	case ccid.CertainReader:
		return nil
	case ccid.PerhapsReader:
		if !d.timersRun() {
			d.lookLater(h)
			return uefi.Unsupported
		}
		ctx, cancel := limited(startLimit)
		defer cancel()
		config, err := usbio.Configuration(ctx, addr)
		if err != nil {
			return uefi.Unsupported
		}
		if _, ok := ccid.Match(config, desc[interfaceNumber]); ok {
			return nil
		}
	}
	return uefi.Unsupported
}

// startInterface starts a reader of firmware's USB stack: slot 0 on the handle itself, each other
// slot on a child.
func (d *Driver) startInterface(h uefi.Handle) error {
	addr, err := d.openByDriver(h, &uefi.USBIOGUID, 0)
	if err != nil {
		return err
	}
	c := &controller{handle: h, guid: &uefi.USBIOGUID, protocol: addr, unit: d.units.Take()}
	started := false
	defer func() { // after a panic too
		if !started {
			d.abandon(c)
		}
	}()
	err = d.openReader(c, startLimit)
	if outOfTime(err) {
		err = d.postpone(c, err)
	} else if err == nil {
		err = d.bind(c)
	}
	if err != nil {
		return &startError{err}
	}
	started = true
	return nil
}

// abandon undoes a Start that has failed. A slot that a program already uses goes on working until
// Stop or Unload.
func (d *Driver) abandon(c *controller) {
	if c.reader == nil && len(c.slots) == 0 {
		delete(d.bound, c.handle)
		d.release(c)
		return
	}
	d.bound[c.handle] = c
	_ = d.shut(c)
}

// openReader opens c's reader within a limit. From then on firmware polls its interrupt endpoint,
// where firmware can.
func (d *Driver) openReader(c *controller, limit time.Duration) error {
	if !d.timersRun() {
		return errTimersStand
	}
	ctx, cancel := limited(limit)
	defer cancel()
	t, err := usbio.New(ctx, c.handle, c.protocol, usbio.Options{
		Setting: ccid.Match,
		Pause:   func() bool { return d.pause(c.handle) },
	})
	if err != nil {
		return err
	}
	defer func() {
		if c.reader == nil {
			t.Close()
		}
	}()
	r, err := ccid.Open(ctx, wrapTransport(t), ccid.Options{
		Unit: c.unit, CheckNotifications: notificationLook, Timing: d.options.timing(),
	})
	if err != nil {
		return err
	}
	c.reader, c.transport = r, t
	if c.listen() == nil {
		r.Polled(c.takeNotifications, pollDelay)
	}
	return nil
}

// notificationSize is the length of a slot change notification (CCID 1.1, 6.3.1: two bits a slot),
// or of a hardware error notification (6.3.2).
func notificationSize(slots int) int { return max(1+(slots+3)/4, 4) }

// wrapTransport wraps the transport of the class driver. Only the fault injection build changes it.
var wrapTransport = func(t usb.Transport) usb.Transport { return t }

// bind installs the protocol for each slot.
func (d *Driver) bind(c *controller) (err error) {
	if c.paths, err = slotPaths(c.reader, nil, d.boot.DevicePathOf(c.handle)); err != nil {
		return err
	}
	d.bound[c.handle] = c
	reportUnusedSlots(c.reader)
	for _, p := range c.paths {
		if _, err := d.installSlot(c, p); err != nil {
			return err
		}
	}
	return nil
}
