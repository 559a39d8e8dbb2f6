// Package usb has the types that class drivers and USB backends share: descriptors, setup packets,
// endpoints, and the one interface, Transport, that every backend implements (the host controller
// drivers of this module, the firmware's USB stack, the kernel's, a virtual reader). It transfers
// nothing itself.
//
// Specifications: Universal Serial Bus Specification 2.0 (USB 2.0), chapters 5.8, 8.5, 9.
package usb

import (
	"context"
	"errors"
	"time"
)

// A Transport is one claimed interface of one USB device.
//
// Methods of different endpoints may be called concurrently; calls on one endpoint are serialised
// by the caller (the control endpoint counts as one). A timeout of zero or less means that only ctx
// bounds the call. When a method returns, nothing of its transfer is still in flight and the buffer
// belongs to the caller again: data that a device has not sent before a timeout remains in the
// device for the next In.
//
// Errors are the sentinels of this package, possibly wrapped, or ctx.Err().
type Transport interface {
	// Device describes the device and the claimed interface. The result is shared and read only.
	Device() *Device

	// Control does one control transfer; direction and length come from setup, and data must hold
	// setup.Length bytes. n is the length of the data stage. ErrStall is the error for a request
	// that the device does not support; it needs no ClearHalt (USB 2.0, 8.5.3.4).
	Control(ctx context.Context, setup Setup, data []byte, timeout time.Duration) (n int, err error)

	// In reads one transfer from a bulk or interrupt IN endpoint: it ends with a short or
	// zero-length packet, or when buf is full. len(buf) must be a multiple of the endpoint's packet
	// size and at most MaxIn. n == 0 with a nil error is a zero-length packet. On an error n bytes
	// may still have arrived, and are in buf.
	In(ctx context.Context, endpoint uint8, buf []byte, timeout time.Duration) (n int, err error)

	// Out writes buf as one bulk transfer. It never appends a zero-length packet.
	Out(ctx context.Context, endpoint uint8, buf []byte, timeout time.Duration) (n int, err error)

	// ClearHalt ends a stall: CLEAR_FEATURE(ENDPOINT_HALT) on the device, and the data toggle reset
	// on the host's side.
	ClearHalt(ctx context.Context, endpoint uint8) error

	// MaxIn is the largest len(buf) that In takes in one call (65,536 through UEFI firmware).
	MaxIn() int

	// Close ends the claim. Transfers in progress end with ErrGone.
	Close() error
}

// Errors of a transfer. A backend may wrap them and add its own reason.
var (
	// ErrStall is a STALL handshake: the endpoint is halted (bulk, interrupt) or the request is not
	// supported (control).
	ErrStall = errors.New("usb: endpoint stalled")
	// ErrTimeout is the error if a transfer has not ended in the time of the call.
	ErrTimeout = errors.New("usb: transfer timed out")
	// ErrGone is the error after the device has been unplugged or the transport closed. It is
	// permanent.
	ErrGone = errors.New("usb: device gone")
	// ErrBabble is the error if the device has sent more than a packet or the buffer takes.
	ErrBabble = errors.New("usb: device sent too much")
	// ErrTransfer is any other failure on the wire: CRC, bit stuffing, no handshake, a host
	// controller's error.
	ErrTransfer = errors.New("usb: transfer failed")
)
