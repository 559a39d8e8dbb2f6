package usbhost

import (
	"context"
	"errors"
	"time"

	"tamaccid/ccid/usb"
)

// Requests of the bus itself.
const (
	// requestLimit is the end of a request. A device may take 500 ms for each packet of data, and 5 s for a whole request (USB
	// 2.0, 9.2.6.1, 9.2.6.4); those that take more than this are not worth the wait (policy).
	requestLimit = 2 * time.Second
	// requestTries is how often a request is sent that fails on the wire (policy).
	requestTries = 3
)

// request does a control transfer, again if it fails on the wire.
func (d *device) request(ctx context.Context, setup usb.Setup, data []byte) (n int, err error) {
	if err := d.pipe0.acquire(ctx, d.ctx); err != nil {
		return 0, err
	}
	defer d.pipe0.release()
	for range requestTries {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		n, err = d.control(ctx, setup, data, requestLimit)
		if !errors.Is(err, usb.ErrTransfer) && !errors.Is(err, usb.ErrBabble) {
			break
		}
	}
	return min(n, len(data)), err
}

// command is a standard request without data.
func (d *device) command(recipient, request uint8, value, index uint16) error {
	_, err := d.request(d.ctx, usb.Setup{RequestType: usb.DirOut | usb.TypeStandard | recipient, Request: request, Value: value, Index: index}, nil)
	return err
}

// read reads a descriptor into b (USB 2.0, 9.4.3).
func (d *device) read(kind, index uint8, language uint16, b []byte) (n int, err error) {
	return d.request(d.ctx, usb.Setup{RequestType: usb.DirIn | usb.TypeStandard | usb.ToDevice, Request: usb.RequestGetDescriptor,
		Value: uint16(kind)<<8 | uint16(index), Index: language, Length: uint16(len(b))}, b)
}
