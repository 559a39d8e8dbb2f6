package xhci

import (
	"errors"
	"fmt"

	"tamaccid/baremetal/usbhost"
	"tamaccid/ccid/usb"
)

// CommandError is an error of a command. It wraps usbhost.ErrNoRoom if resources are exhausted, and
// usb.ErrTransfer or usb.ErrStall if a device did not respond.
type CommandError struct {
	Command string
	Code    uint8 // completion code (xHCI 1.2, table 6-90)
}

// Error implements error.
func (e *CommandError) Error() string {
	return fmt.Sprintf("xhci: %s: completion code %d", e.Command, e.Code)
}

// Unwrap returns the error of package usbhost or usb.
func (e *CommandError) Unwrap() error {
	switch code(e.Code) {
	case codeResource, codeBandwidth, codeNoSlots, codeSecondBandwidth:
		return usbhost.ErrNoRoom
	case codeStall:
		return usb.ErrStall
	}
	return usb.ErrTransfer
}

// TransferError is an error of a transfer. It wraps usb.ErrTransfer.
type TransferError struct {
	Code uint8 // completion code (xHCI 1.2, table 6-90)
}

// Error implements error.
func (e *TransferError) Error() string {
	return fmt.Sprintf("%v: completion code %d", usb.ErrTransfer, e.Code)
}

// Unwrap returns usb.ErrTransfer.
func (e *TransferError) Unwrap() error { return usb.ErrTransfer }

// deadError is the reason why a controller was closed or has failed. It wraps usbhost.ErrDead for
// the bus, and usb.ErrGone for class drivers.
type deadError struct{ why string }

func (e *deadError) Error() string   { return usbhost.ErrDead.Error() + ": " + e.why }
func (e *deadError) Unwrap() []error { return []error{usbhost.ErrDead, usb.ErrGone} }

// isCode reports whether err is a CommandError with a completion code.
func isCode(err error, c code) bool {
	var e *CommandError
	return errors.As(err, &e) && e.Code == uint8(c)
}
