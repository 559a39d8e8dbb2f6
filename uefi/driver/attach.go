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

// attach serves a reader on a host controller that this driver runs, from the moment it is plugged
// in until it is unplugged. Other devices are reported.
func (d *Driver) attach(ctx context.Context, h *host, i *usbhost.Interface) {
	defer func() { // a panic costs this reader, and not the driver
		if v := recover(); v != nil {
			printMessage("%s: %v", i.Device().Path, v)
		}
	}()
	err := ccid.Serve(ctx, directInterface{i}, ccid.Service{
		Options:  ccid.Options{Notifications: true, Timing: d.options.timing()},
		Units:    &d.units,
		Attached: func(r *ccid.Reader) error { return d.installAll(h, i, r) },
		Detached: func(r *ccid.Reader) { d.uninstallReader(h, r) },
		Retry: func(err error, failed int) bool {
			short := errors.Is(err, uefi.OutOfResources)
			if short && failed == 1 {
				printMessage("%s: %v", i.Device().Path, err)
			}
			return short
		},
	})
	switch {
	case errors.Is(err, ccid.ErrNotReader):
		h.warn(i)
	case err != nil && !errors.Is(err, errClosing):
		printMessage("%s: %v", i.Device().Path, err)
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
	return wrapTransport(t), nil
}

// errClosing is why no protocol is installed any more: the driver is about to release the host
// controller.
var errClosing = errors.New("driver: host controller is being closed")

// installAll installs the protocol for each slot of a reader. After an error uninstallReader
// removes what was installed.
func (d *Driver) installAll(h *host, i *usbhost.Interface, r *ccid.Reader) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := h.controller
	if h.closing {
		return errClosing
	}
	for _, o := range slices.Clone(c.slots) {
		if o.reader.gone {
			// One that could not be removed before may have the same device path.
			_ = d.uninstall(c, o)
		}
	}
	reportUnusedSlots(r)
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
		if _, err := d.installSlot(c, p); err != nil {
			return err
		}
	}
	return nil
}

// uninstallReader removes the slots of a reader that was unplugged. A slot whose protocol a program
// still has open stays, and its functions return EFI_DEVICE_ERROR.
func (d *Driver) uninstallReader(h *host, r *ccid.Reader) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := h.controller
	h.open = slices.DeleteFunc(h.open, func(o *ccid.Reader) bool { return o == r })
	c.paths = slices.DeleteFunc(c.paths, func(p slotPath) bool { return p.slot.Reader() == r })
	for _, o := range slices.Backward(slices.Clone(c.slots)) {
		if s, ok := o.reader.slot.(*ccid.Slot); ok && s.Reader() == r && d.uninstall(c, o) != nil {
			o.reader.markGone()
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
func interfacePath(
	controller uefi.DevicePath, at usbhost.Location, number uint8,
) (uefi.DevicePath, error) {
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
