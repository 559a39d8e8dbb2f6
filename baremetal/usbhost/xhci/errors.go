package xhci

import (
	"fmt"

	"tamaccid/baremetal/usbhost"
	"tamaccid/ccid/usb"
)

// CommandError is a command that the controller did not carry out. It is usbhost.ErrNoRoom where resources ran out, and
// usb.ErrTransfer or usb.ErrStall where a device did not answer.
type CommandError struct {
	Command string
	Code    uint8 // completion code (xHCI 1.2, table 6-90)
}

func (e *CommandError) Error() string {
	return fmt.Sprintf("xhci: %s: completion code %d", e.Command, e.Code)
}

// Unwrap gives the reason that callers know.
func (e *CommandError) Unwrap() error {
	switch code(e.Code) {
	case codeResource, codeBandwidth, codeNoSlots, codeSecondBandwidth:
		return usbhost.ErrNoRoom
	case codeStall:
		return usb.ErrStall
	}
	return usb.ErrTransfer
}

// TransferError is a transfer that the controller could not do: usb.ErrTransfer with its code.
type TransferError struct {
	Code uint8 // completion code (xHCI 1.2, table 6-90)
}

func (e *TransferError) Error() string {
	return fmt.Sprintf("%v: completion code %d", usb.ErrTransfer, e.Code)
}

// Unwrap is usb.ErrTransfer.
func (e *TransferError) Unwrap() error { return usb.ErrTransfer }

// deadError is the end of a controller: usbhost.ErrDead for the bus, and usb.ErrGone for who uses a device on it.
type deadError struct{ why string }

func (e *deadError) Error() string   { return usbhost.ErrDead.Error() + ": " + e.why }
func (e *deadError) Unwrap() []error { return []error{usbhost.ErrDead, usb.ErrGone} }

// isCode says whether err is a command's with that code.
func isCode(err error, c code) bool {
	e, ok := err.(*CommandError)
	return ok && e.Code == uint8(c)
}
