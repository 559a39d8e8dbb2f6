// Package usbhost is sclib's way to the readers on a USB host of this program's own, on boards without an operating system:
// baremetal/usb and the class driver together.
//
//	readers, err := usbhost.New(q35.USB, usbhost.Options{})
//	sc := sclib.New(readers)
//
// Readers come and go as they are plugged in and out.
package usbhost

import (
	"context"
	"errors"
	"time"

	"tamaccid/baremetal/usb"
	"tamaccid/sclib/core"
)

// plugged is how long New waits for what is plugged in. A reader takes a third of a second, behind hubs a second more (policy).
const plugged = 10 * time.Second

// ErrNotReady is told of when USB devices took too long to become ready; those that are ready can be used.
var ErrNotReady = errors.New("some of the USB devices are not ready")

// Options change what a Backend tells.
type Options struct {
	// Report, if set, hears why a reader or a USB device cannot be used. It must not block, nor close the backend.
	Report func(error)
}

// A Backend has the readers on a bus.
type Backend struct {
	*core.Backend
	bus *usb.Bus
}

// New starts a bus, by what a board offers for that, and waits for the readers that are plugged in. An error is the board's: it
// has no controller.
func New(start func(usb.Options) (*usb.Bus, error), o Options) (*Backend, error) {
	report := o.Report
	if report == nil {
		report = func(error) {}
	}
	readers := core.New()
	bus, err := start(usb.Options{
		Attach: func(ctx context.Context, i *usb.Interface) {
			if err := readers.Attach(ctx, i); err != nil && ctx.Err() == nil {
				report(err)
			}
		},
		Report: func(e usb.Event) {
			if e.Err != nil {
				report(errors.New(e.String()))
			}
		},
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), plugged)
	defer cancel()
	if bus.Settle(ctx) != nil {
		report(ErrNotReady)
	}
	return &Backend{readers, bus}, nil
}

// Close implements sclib.Backend. It closes all readers, and stops the controllers.
func (b *Backend) Close() error { return errors.Join(b.Backend.Close(), b.bus.Close()) }
