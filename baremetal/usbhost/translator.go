package usbhost

import (
	"context"
	"errors"
	"time"

	"tamaccid/ccid/usb"
)

// Transaction translators. A low- or full-speed device behind a high-speed hub is reached through the hub's translator (USB 2.0,
// 11.14). The buffer of one may stay busy with a control or bulk transaction that the host has given up, and then no other of that
// endpoint gets through until the host has the hub clear it (USB 2.0, 11.17.5, 11.24.2.3). Therefore each transfer of such a device
// passes here, and the buffer is cleared before it returns: callers begin no other on the endpoint meanwhile.
//
//	the transfer          | a request              | bulk      | interrupt
//	succeeds              | -                      | -         | -
//	stalls                | -                      | cleared   | -
//	fails, is late, or is | cleared, in both       | cleared   | -
//	given up, by whomever | directions             |           |
//
// A request that stalls has halted nothing (USB 2.0, 8.5.3.4): default pipes of some devices did not answer any more when the buffer was
// cleared after one (Linux, commit 8f97250c21f0). The request is not for periodic transactions (USB 2.0, 11.24.2.3).
//
// The translator's hub is at high speed, so that its own requests have no translator and this goes no deeper. Where the hub is gone,
// refuses or does not answer nothing can be done, nor is the hub's failure the transfer's: its next one will tell.

// requestClearTTBuffer is bRequest of CLEAR_TT_BUFFER (USB 2.0, table 11-16).
const requestClearTTBuffer = 8

// clearBufferLimit is the end of the requests that clear a buffer, however many others the hub has to answer first: ten times what a
// device has for one (USB 2.0, 9.2.6.4: 50 ms; policy).
const clearBufferLimit = 500 * time.Millisecond

// translatorOf is the hub whose translator serves a device behind a branch, nil where none does.
func translatorOf(b *branch, at Location) *device {
	if at.TTHub == nil {
		return nil
	}
	hub := b.hub
	for hub.location.Speed != usb.SpeedHigh {
		hub = hub.port.branch.hub // a full-speed hub has its own translator: the same
	}
	return hub
}

// control does a control transfer for who has the default pipe.
func (d *device) control(ctx context.Context, setup usb.Setup, data []byte, timeout time.Duration) (n int, err error) {
	if d.translator == nil {
		return d.hardware.Control(ctx, setup, data, timeout)
	}
	if !d.begin() {
		return 0, usb.ErrGone
	}
	defer d.transfers.Done()
	n, err = d.hardware.Control(ctx, setup, data, timeout)
	d.clearPipe0(d.address, err)
	return n, err
}

// transfer does a transfer on another endpoint.
func (d *device) transfer(ctx context.Context, e *usb.Endpoint, buf []byte, timeout time.Duration) (n int, err error) {
	if d.translator == nil || e.Type == usb.InterruptTransfer {
		return d.hardware.Transfer(ctx, e.Address, buf, timeout)
	}
	if !d.begin() {
		return 0, usb.ErrGone
	}
	defer d.transfers.Done()
	n, err = d.hardware.Transfer(ctx, e.Address, buf, timeout)
	if err != nil {
		d.clearBuffers(bufferOf(d.address, e.Address, usb.BulkTransfer))
	}
	return n, err
}

// begin notes a transfer that remove has to wait for. It is false when the device was removed.
func (d *device) begin() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.away.Load() {
		return false
	}
	d.transfers.Add(1)
	return true
}

// clearPipe0 clears what a request that ended with err may have left behind: the stage that it came to had one direction or the other.
func (d *device) clearPipe0(address uint8, err error) {
	if d.translator != nil && err != nil && !errors.Is(err, usb.ErrStall) {
		d.clearBuffers(bufferOf(address, usb.DirOut, usb.ControlTransfer), bufferOf(address, usb.DirIn, usb.ControlTransfer))
	}
}

// clearBuffers has the hub clear buffers (USB 2.0, 11.24.2.3). It goes on for as long as the hub is there: who has given the transfer up,
// and that the device is on its way out, is no reason to leave them to the next device with that address.
func (d *device) clearBuffers(buffers ...uint16) {
	ctx, cancel := context.WithTimeout(d.translator.ctx, clearBufferLimit)
	defer cancel()
	translator := uint16(1) // the only one
	if d.location.MultiTT {
		translator = uint16(d.location.TTPort)
	}
	for _, b := range buffers {
		// Nothing follows from an error: see above.
		_, _ = d.translator.request(ctx, usb.Setup{RequestType: usb.DirOut | usb.TypeClass | recipientOther, Request: requestClearTTBuffer,
			Value: b, Index: translator}, nil)
	}
}

// bufferOf is wValue of CLEAR_TT_BUFFER (USB 2.0, table 11-18): bits 3:0 endpoint number, 10:4 device address, 12:11 endpoint type, 15
// direction, set for IN.
func bufferOf(address, endpoint uint8, kind usb.TransferType) uint16 {
	return uint16(endpoint&endpointNumber) | uint16(address&0x7F)<<4 | uint16(kind)<<11 | uint16(endpoint&usb.DirIn)<<8
}
