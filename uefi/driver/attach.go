package driver

import (
	"context"
	"errors"
	"slices"
	"time"

	"tamaccid/baremetal/usbhost"
	"tamaccid/ccid"
	"tamaccid/ccid/usb"
	"tamaccid/uefi"
)

// attach is a reader's life on a host controller of our own, from its coming to its going. Other devices are named.
func (d *Driver) attach(ctx context.Context, h *host, i *usbhost.Interface) {
	setting, ok := readerSetting(i)
	if !ok {
		h.warn(i)
		return
	}
	defer func() { // a panic costs this reader, and not the driver
		if v := recover(); v != nil {
			say("%s: %v", i.Device().Path, v)
		}
	}()
	for first := true; ; first = false {
		err := d.attachOnce(ctx, h, i, setting)
		short := errors.Is(err, error(uefi.OutOfResources))
		if err != nil && ctx.Err() == nil && !errors.Is(err, errClosing) && (first || !short) {
			say("%s: %v", i.Device().Path, err)
		}
		if !short || waitForMemory(ctx, i) != nil {
			return
		}
	}
}

// attachOnce is one attempt at it. EFI_OUT_OF_RESOURCES is worth another one.
func (d *Driver) attachOnce(ctx context.Context, h *host, i *usbhost.Interface, setting uint8) error {
	if !room() {
		return uefi.OutOfResources
	}
	r, err := d.openDirect(ctx, i, setting)
	if err != nil {
		return err
	}
	defer r.Close()
	defer d.withdrawGone(h, r)
	if err := d.offerAll(h, i, r); err != nil {
		return err
	}
	i.Ready()
	<-ctx.Done()
	return nil
}

// readerSetting is the first setting in which an interface is a reader.
func readerSetting(i *usbhost.Interface) (alt uint8, ok bool) {
	for _, s := range i.Settings() {
		if isReader(i.Device().Config, s) {
			return s.AltSetting, true
		}
	}
	return 0, false
}

// isReader says whether an interface in this setting is a reader: by its class, or by a reader's class descriptor in one of the
// vendor's own class. Opening tells what is wrong with it, if anything is.
func isReader(config []byte, s usb.Interface) bool {
	switch s.Class {
	case classSmartCard:
		return true
	case classVendor:
		_, err := ccid.Probe(config, s.Number, s.AltSetting)
		return err == nil
	}
	return false
}

// backgroundLimit is how long it may take to bring up a reader that nobody waits for (policy).
const backgroundLimit = 60 * time.Second

// openDirect brings a reader up.
func (d *Driver) openDirect(ctx context.Context, i *usbhost.Interface, alt uint8) (r *ccid.Reader, err error) {
	ctx, cancel := context.WithTimeout(ctx, backgroundLimit)
	defer cancel()
	t, err := i.ClaimSetting(ctx, alt)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	unit := d.unit
	d.unit++
	d.mu.Unlock()
	defer func() {
		if r == nil {
			t.Close()
		}
	}()
	return ccid.Open(ctx, tap(t), ccid.Options{Unit: unit, Notifications: true, Timing: d.options.timing()})
}

// errClosing says that the driver is about to let go of the host controller.
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

// withdrawGone removes the slots of a reader that has gone for good: one that somebody holds on to
// answers that its reader has gone.
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

// portBits and portMask take a route apart (USB 3.2, 8.9).
const (
	portBits = 4
	portMask = 1<<portBits - 1
)

// interfacePath is the device path of an interface: a USB node for each hub on the way and one for the device, with the port of the
// parent, counted from 0 as firmware does, and the interface (UEFI 2.11, 10.3.4.5).
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
