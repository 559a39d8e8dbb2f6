package usbhost

import (
	"context"
	"errors"
	"time"

	"tamaccid/ccid/usb"
)

// Transfers of a device, and what they leave in a transaction translator.
//
// A low-speed or full-speed device behind a high-speed hub is reached through a transaction
// translator of the hub (USB 2.0, 11.14). A buffer of the translator may remain busy with a control
// or bulk transaction that the host has abandoned. Then all further transactions of the endpoint
// fail until the host requests the hub to clear the buffer (USB 2.0, 11.17.5, 11.24.2.3). Therefore
// control and transfer clear the buffer before they return. Their caller starts no other transfer
// on the endpoint before that.
//
//	the transfer    | control           | bulk      | interrupt
//	succeeds        | -                 | -         | -
//	stalls          | -                 | cleared   | -
//	fails, times    | cleared, in both  | cleared   | -
//	out, is ended   | directions        |           |
//
// A control transfer that stalls halts nothing (USB 2.0, 8.5.3.4). The default control pipes of
// some devices stopped to respond when the buffer was cleared after one (Linux, commit
// 8f97250c21f0). The request is not defined for periodic transactions (USB 2.0, 11.24.2.3).
//
// The hub of the translator is a high-speed device, so its own requests need no translator. An
// error of the clear request is ignored: it is not an error of the transfer, and a hub that has
// failed is detected by its next request.

// control performs a control transfer. The caller holds pipe0.
func (d *device) control(
	ctx context.Context, setup usb.Setup, data []byte, timeout time.Duration,
) (n int, err error) {
	if d.translator == nil {
		return d.hardware.Control(ctx, setup, data, timeout)
	}
	if !d.beginTransfer() {
		return 0, usb.ErrGone
	}
	defer d.transfers.Done()
	n, err = d.hardware.Control(ctx, setup, data, timeout)
	d.clearPipe0(d.address, err)
	return n, err
}

// transfer performs a transfer on another endpoint.
func (d *device) transfer(
	ctx context.Context, e *usb.Endpoint, buf []byte, timeout time.Duration,
) (n int, err error) {
	if d.translator == nil || e.Type == usb.InterruptTransfer {
		return d.hardware.Transfer(ctx, e.Address, buf, timeout)
	}
	if !d.beginTransfer() {
		return 0, usb.ErrGone
	}
	defer d.transfers.Done()
	n, err = d.hardware.Transfer(ctx, e.Address, buf, timeout)
	if err != nil {
		d.clearBuffers(bufferOf(d.address, e.Address, usb.BulkTransfer))
	}
	return n, err
}

// clearPipe0 clears the buffers of a control transfer that has ended with err. The stage at which
// it ended had either direction.
func (d *device) clearPipe0(address uint8, err error) {
	if d.translator != nil && err != nil && !errors.Is(err, usb.ErrStall) {
		d.clearBuffers(bufferOf(address, usb.DirOut, usb.ControlTransfer),
			bufferOf(address, usb.DirIn, usb.ControlTransfer))
	}
}

// Clear requests (USB 2.0, 11.24.2.3).
const (
	requestClearTTBuffer = 8 // bRequest (USB 2.0, table 11-16)

	// recipientOther is a hub's port as the recipient of a class request (USB 2.0, table 11-15).
	recipientOther = 0x03

	// clearBufferLimit bounds the clear requests of one transfer, including the wait for other
	// requests to the hub: ten times what a device may take for one (USB 2.0, 9.2.6.4: 50 ms;
	// policy).
	clearBufferLimit = 500 * time.Millisecond
)

// clearBuffers requests the hub to clear buffers. Neither the caller's context nor the removal of
// the device ends it, only the removal of the hub: the next device at the address must find the
// buffers clear.
func (d *device) clearBuffers(buffers ...uint16) {
	ctx, cancel := context.WithTimeout(d.translator.ctx, clearBufferLimit)
	defer cancel()
	translator := uint16(1) // the only one
	if d.location.MultiTT {
		translator = uint16(d.location.TTPort)
	}
	for _, b := range buffers {
		_, _ = d.translator.request(ctx, usb.Setup{
			RequestType: usb.DirOut | usb.TypeClass | recipientOther,
			Request:     requestClearTTBuffer,
			Value:       b,
			Index:       translator,
		}, nil)
	}
}

// bufferOf is wValue of CLEAR_TT_BUFFER (USB 2.0, table 11-18): bits 3:0 endpoint number, 10:4
// device address, 12:11 transfer type, 15 direction (1: IN).
func bufferOf(address, endpoint uint8, kind usb.TransferType) uint16 {
	return uint16(endpoint&endpointNumber) | uint16(address&0x7F)<<4 | uint16(kind)<<11 |
		uint16(endpoint&usb.DirIn)<<8
}

// Requests of the bus itself.
const (
	// requestLimit bounds a request. A device may take 500 ms for each packet of data, and 5 s for
	// a whole request (USB 2.0, 9.2.6.1, 9.2.6.4). The bus does not wait that long (policy).
	requestLimit = 2 * time.Second
	// requestTries is the number of attempts of a request that fails on the wire (policy).
	requestTries = 3
)

// request performs a control transfer, repeated when it fails on the wire.
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

// readDescriptor reads a descriptor into b (USB 2.0, 9.4.3).
func (d *device) readDescriptor(kind, index uint8, language uint16, b []byte) (n int, err error) {
	return d.request(d.ctx, usb.Setup{
		RequestType: usb.DirIn | usb.TypeStandard | usb.ToDevice,
		Request:     usb.RequestGetDescriptor,
		Value:       uint16(kind)<<8 | uint16(index),
		Index:       language,
		Length:      uint16(len(b)),
	}, b)
}

// clearHalt is CLEAR_FEATURE(ENDPOINT_HALT) (USB 2.0, 9.4.1).
func clearHalt(endpoint uint8) usb.Setup {
	return usb.Setup{
		RequestType: usb.DirOut | usb.TypeStandard | usb.ToEndpoint,
		Request:     usb.RequestClearFeature,
		Value:       usb.FeatureEndpointHalt,
		Index:       uint16(endpoint),
	}
}
