package driver

import (
	"context"
	"errors"
	"slices"

	"tamaccid/baremetal/usbhost"
	"tamaccid/ccid"
	"tamaccid/ccid/usb"
	"tamaccid/uefi"
)

// attach runs the life of a reader on a host controller that this driver drives, from the moment it
// is plugged in until it is unplugged. Other devices are reported.
func (d *Driver) attach(ctx context.Context, h *host, i *usbhost.Interface) {
	defer func() { // a panic costs this reader, and not the driver
		if v := recover(); v != nil {
			say("%s: %v", i.Device().Path, v)
		}
	}()
	err := ccid.Serve(ctx, directInterface{i}, ccid.Service{
		Options:  ccid.Options{Notifications: true, Timing: d.options.timing()},
		Units:    &d.units,
		Attached: func(r *ccid.Reader) error { return d.offerAll(h, i, r) },
		Detached: func(r *ccid.Reader) { d.withdrawGone(h, r) },
		Retry: func(err error, failed int) bool {
			short := errors.Is(err, error(uefi.OutOfResources))
			if short && failed == 1 {
				say("%s: %v", i.Device().Path, err)
			}
			return short
		},
	})
	switch {
	case errors.Is(err, ccid.ErrNotReader):
		h.warn(i)
	case err != nil && !errors.Is(err, errClosing):
		say("%s: %v", i.Device().Path, err)
	}
}

// directInterface is an interface that is claimed only while there is memory for a reader.
type directInterface struct{ *usbhost.Interface }

// ClaimSetting implements ccid.USBInterface. EFI_OUT_OF_RESOURCES is worth another attempt.
func (i directInterface) ClaimSetting(ctx context.Context, alt uint8) (usb.Transport, error) {
	if !room() {
		return nil, uefi.OutOfResources
	}
	t, err := i.Interface.ClaimSetting(ctx, alt)
	if err != nil {
		return nil, err
	}
	return tap(t), nil
}

// errClosing is why no reader is offered any more: the driver is about to release the host
// controller.
var errClosing = errors.New("driver: host controller is being closed")

// offerAll installs the protocol for each slot of a reader. What it has begun when it fails,
// withdrawGone ends.
func (d *Driver) offerAll(h *host, i *usbhost.Interface, r *ccid.Reader) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := h.controller
	if h.closing {
		return errClosing
	}
	for _, o := range slices.Clone(c.slots) {
		if o.reader.gone {
			_ = d.withdraw(c, o) // one that could not be removed before may have the same device path
		}
	}
	tellSurplus(r)
	base, err := interfacePath(h.path, i.Location(), i.Descriptor().Number)
	if err != nil {
		return err
	}
	all, err := slotPaths(r, base, base)
	if err != nil {
		return err
	}
	h.open = append(h.open, r)
	c.paths = append(c.paths, all...)
	for _, p := range all {
		if _, err := d.offer(c, p); err != nil {
			return err
		}
	}
	return nil
}

// withdrawGone removes the slots of a reader that has gone for good. A slot whose protocol a
// program still has open stays, and answers EFI_DEVICE_ERROR.
func (d *Driver) withdrawGone(h *host, r *ccid.Reader) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := h.controller
	h.open = slices.DeleteFunc(h.open, func(o *ccid.Reader) bool { return o == r })
	c.paths = slices.DeleteFunc(c.paths, func(p slotPath) bool { return p.slot.Reader() == r })
	for _, o := range slices.Backward(slices.Clone(c.slots)) {
		if s, ok := o.reader.slot.(*ccid.Slot); ok && s.Reader() == r && d.withdraw(c, o) != nil {
			o.reader.leave()
		}
	}
}

// portBits and portMask select a port in a route string (USB 3.2, 8.9).
const (
	portBits = 4
	portMask = 1<<portBits - 1
)

// interfacePath is the device path of an interface: a USB node for each hub on the way and one for
// the device, with the port of the parent, counted from 0 as edk2's UsbBusDxe does, and the
// interface (UEFI 2.11, 10.3.4.5).
func interfacePath(controller uefi.DevicePath, at usbhost.Location, number uint8) (uefi.DevicePath, error) {
	port, route := at.RootPort, at.Route
	for path := controller; ; route >>= portBits {
		n := uefi.Node{Type: uefi.MessagingNode, SubType: usbNode, Data: []byte{port - 1, 0}}
		if at.Tier == 0 {
			n.Data[1] = number
			return path.Append(n)
		}
		var err error
		if path, err = path.Append(n); err != nil {
			return nil, err
		}
		at.Tier--
		port = uint8(route & portMask)
	}
}
