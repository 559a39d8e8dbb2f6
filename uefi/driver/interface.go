package driver

import (
	"tamaccid/ccid"
	"tamaccid/ccid/usb"
	"tamaccid/uefi"
	"tamaccid/uefi/usbio"
)

// The interface descriptor's bInterfaceClass (USB 2.0, 9.6.5; CCID 1.1, 4.4).
const (
	interfaceClass = 5
	classSmartCard = 0x0B
	classVendor    = 0xFF
)

// supportsInterface says whether a handle with EFI_USB_IO_PROTOCOL is a reader that is free.
func (d *Driver) supportsInterface(h uefi.Handle) error {
	addr, err := d.openByDriver(h, &uefi.USBIOGUID, 0)
	if err != nil {
		return err
	}
	defer d.close(h, &uefi.USBIOGUID)
	// Firmware has this descriptor at hand: other devices see no traffic of ours.
	desc, err := uefi.USBIOAt(addr).InterfaceDescriptor()
	if err != nil {
		return uefi.Unsupported
	}
	switch desc[interfaceClass] {
	case classSmartCard:
		return nil
	case classVendor: // a reader's, if it has a reader's class descriptor
		t, err := usbio.New(h, addr)
		if err != nil {
			return uefi.Unsupported
		}
		defer t.Close()
		dev := t.Device()
		if _, err := ccid.Probe(dev.Config, dev.Interface, dev.AltSetting); err == nil {
			return nil
		}
	}
	return uefi.Unsupported
}

// startInterface takes a reader of firmware's USB stack: slot 0 on the handle itself, each other slot on a child.
func (d *Driver) startInterface(h uefi.Handle) error {
	addr, err := d.openByDriver(h, &uefi.USBIOGUID, 0)
	if err != nil {
		return err
	}
	r, hear, err := d.openReader(h, addr)
	if err != nil {
		d.close(h, &uefi.USBIOGUID)
		return &startError{err}
	}
	if err := d.bind(&controller{handle: h, guid: &uefi.USBIOGUID, reader: r}, hear); err != nil {
		return &startError{err}
	}
	return nil
}

// openReader brings a reader up. Firmware polls its interrupt endpoint from then on; hear takes what it has to tell.
func (d *Driver) openReader(h uefi.Handle, addr uintptr) (r *ccid.Reader, hear func(), err error) {
	ctx, cancel := limited(startLimit)
	defer cancel()
	t, err := usbio.New(h, addr)
	if err != nil {
		return nil, nil, err
	}
	r, err = ccid.Open(ctx, tap(t), ccid.Options{Unit: d.unit, CheckNotifications: notificationLook})
	if err != nil {
		t.Close()
		return nil, nil, err
	}
	d.unit++
	if t.Listen(notificationSize(len(r.Slots()))) == nil {
		hear = func() { t.Notifications(r.Deliver) }
	}
	return r, hear, nil
}

// notificationSize is the length of a slot change notification (CCID 1.1, 6.3.1: two bits a slot), or of a hardware error's (6.3.2).
func notificationSize(slots int) int { return max(1+(slots+3)/4, 4) }

// tap stands between the class driver and the transport. Only the test build
// puts something there.
var tap = func(t usb.Transport) usb.Transport { return t }

// bind installs the protocol for each slot, or lets go of the reader. After an
// error a slot that somebody uses already goes on working until Stop or Unload.
func (d *Driver) bind(c *controller, hear func()) error {
	d.bound[c.handle] = c
	for i, s := range c.reader.Slots() {
		var path uefi.DevicePath
		var err error
		if i > 0 {
			path, err = d.boot.DevicePathOf(c.handle).Append(controllerNode(uint32(i)))
		}
		if err == nil {
			_, err = d.offer(c, path, s, hear)
		}
		if err != nil {
			d.shut(c)
			return err
		}
	}
	return nil
}
