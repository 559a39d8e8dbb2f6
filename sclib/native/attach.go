package native

import (
	"context"

	"tamaccid/ccid"
	"tamaccid/ccid/usb"
)

// Interface is one interface of a device on a USB host of this program's own: *usb.Interface of tamaccid/baremetal/usbhost is one.
type Interface interface {
	// Device describes the device and this interface.
	Device() *usb.Device
	// Claim gives the interface to one user.
	Claim() (usb.Transport, error)
	// Ready says that the interface has been brought up.
	Ready()
}

// Attach serves an interface if it is a reader's: the reader is opened and added, and taken away when ctx ends or it has gone.
// Only then Attach returns. It returns at once, without an error, for what is no reader. It is what a USB host calls for each
// interface:
//
//	usb.Options{Attach: func(ctx context.Context, i *usb.Interface) { err := readers.Attach(ctx, i) ... }}
func (b *Backend) Attach(ctx context.Context, i Interface) error {
	dev := i.Device()
	if _, err := ccid.Probe(dev.Config, dev.Interface, dev.AltSetting); err != nil {
		return nil
	}
	t, err := i.Claim()
	if err != nil {
		return err
	}
	unit := b.number()
	defer b.release(unit)
	r, err := ccid.Open(ctx, t, ccid.Options{Unit: unit, Notifications: true})
	if err != nil {
		t.Close()
		return err
	}
	b.Add(r)
	i.Ready()
	select {
	case <-ctx.Done():
	case <-r.Done():
	}
	b.remove(r)
	return r.Close()
}

// number takes the lowest number that no reader has, so that one that is plugged in again has its name again.
func (b *Backend) number() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	for unit := 0; ; unit++ {
		if !b.units[unit] {
			if b.units == nil {
				b.units = map[int]bool{}
			}
			b.units[unit] = true
			return unit
		}
	}
}

func (b *Backend) release(unit int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.units, unit)
}
