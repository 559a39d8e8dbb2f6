package xhcitest

import (
	"context"
	"errors"

	"tamaccid/ccid/sim/reader"
	"tamaccid/ccid/usb"
)

// Device is what is plugged into a port. Transfers block until the device has answered; NAK for ever is to block until ctx ends.
// Errors are wire's: ErrStall, ErrBabble, ErrTransfer or ErrGone for a transaction error.
type Device interface {
	Speed() usb.Speed
	// Reset is a bus reset.
	Reset()
	// Control is a control transfer. SET_ADDRESS comes here too: an error is a device that does not take it.
	Control(ctx context.Context, setup usb.Setup, data []byte) (n int, err error)
	// In and Out are bulk and interrupt transfers. In returns what came until a packet was short or buf full, with an error too.
	In(ctx context.Context, endpoint uint8, buf []byte) (n int, err error)
	Out(ctx context.Context, endpoint uint8, data []byte) error
}

// Hub is a Device with devices behind it.
type Hub interface {
	Device
	// Child is the device behind a port, from 1, or nil.
	Child(port int) Device
}

// Reader is a virtual smart card reader as a Device.
func Reader(d *reader.Device) Device { return &readerDevice{d} }

type readerDevice struct{ d *reader.Device }

func (r *readerDevice) Speed() usb.Speed {
	if s := r.d.Model().Speed; s != usb.SpeedUnknown {
		return s
	}
	return usb.SpeedFull
}

func (r *readerDevice) Reset() { r.d.BusReset() }

func (r *readerDevice) Control(ctx context.Context, setup usb.Setup, data []byte) (int, error) {
	n, err := r.d.Control(setup, data)
	return n, blocked(ctx, err)
}

func (r *readerDevice) In(ctx context.Context, endpoint uint8, buf []byte) (int, error) {
	return r.d.In(ctx, endpoint, buf)
}

func (r *readerDevice) Out(ctx context.Context, endpoint uint8, data []byte) error {
	return blocked(ctx, r.d.Out(endpoint, data))
}

func blocked(ctx context.Context, err error) error {
	if errors.Is(err, reader.ErrBlocked) {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}
