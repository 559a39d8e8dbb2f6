package usbio

import (
	"errors"
	"fmt"

	"tamaccid/ccid/usb"
	"tamaccid/uefi"
)

// classify turns firmware's two answers to a transfer into an error of package usb. late says that
// the transfer took as long as it was allowed to.
//
// Host controller drivers agree about EFI_TIMEOUT, which is the end of the time given. With
// EFI_DEVICE_ERROR they use EFI_USB_ERR_TIMEOUT for a device that does not answer on the wire at
// all, and the end of the time given can be meant too: the clock tells. UHCI marks a queue that it
// stopped for any reason as stalled, so a stall counts only when it stands alone.
func classify(status uefi.Status, result uefi.USBResult, late bool) error {
	const wire = ^(uefi.USBStall | uefi.USBTimeout | uefi.USBNAK)
	switch {
	case !status.IsError() && result == uefi.USBNoError:
		return nil
	case result&uefi.USBBabble != 0:
		return usb.ErrBabble
	case result == uefi.USBStall:
		return usb.ErrStall
	case status == uefi.Timeout && result&wire&^uefi.USBNotExecuted == 0,
		late && result&wire == 0 && result&(uefi.USBTimeout|uefi.USBNAK) != 0:
		return usb.ErrTimeout
	}
	return &wireError{status, result}
}

// wireError is a transfer that failed for another reason than those that have names.
type wireError struct {
	status uefi.Status
	result uefi.USBResult
}

func (e *wireError) Error() string {
	return fmt.Sprintf("%v (%v, transfer result %#x)", usb.ErrTransfer, e.status, uint32(e.result))
}

// Unwrap is usb.ErrTransfer and the firmware's status.
func (e *wireError) Unwrap() []error { return []error{usb.ErrTransfer, e.status} }

// outcome is classify with what follows from it: the sign of life, and the question whether the
// device is still there.
func (t *Transport) outcome(
	x *uefi.USBTransfer, status uefi.Status, result uefi.USBResult, late bool, until limit,
) error {
	err := classify(status, result, late)
	switch {
	case err == nil, errors.Is(err, usb.ErrStall), errors.Is(err, usb.ErrBabble):
		t.hear()
	case errors.Is(err, usb.ErrTimeout):
		if until.left() <= 0 {
			return until.expired()
		}
	case x != &t.probe && t.present() != there:
		t.gone.Store(true)
		return usb.ErrGone
	}
	return err
}
