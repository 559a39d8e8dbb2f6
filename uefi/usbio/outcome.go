package usbio

import (
	"errors"
	"fmt"

	"tamaccid/ccid/usb"
	"tamaccid/uefi"
)

// classify turns the two results of a transfer into an error of package usb. late reports that the
// transfer took as long as its limit.
//
// All of edk2's host controller drivers return EFI_TIMEOUT at the time limit. With EFI_DEVICE_ERROR
// they use EFI_USB_ERR_TIMEOUT for a device that does not answer on the bus at all, and also at the
// time limit: the time that has passed distinguishes these. UhciDxe marks a queue that it stopped
// for any reason as stalled, so a stall counts only without other bits (edk2-stable202605).
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

// wireError is a transfer that failed for a reason without an error of its own in package usb.
type wireError struct {
	status uefi.Status
	result uefi.USBResult
}

func (e *wireError) Error() string {
	return fmt.Sprintf("%v (%v, transfer result %#x)", usb.ErrTransfer, e.status, uint32(e.result))
}

// Unwrap is usb.ErrTransfer and the firmware's status.
func (e *wireError) Unwrap() []error { return []error{usb.ErrTransfer, e.status} }

// outcome is classify with its consequences: the device counts as present, or its presence is
// checked.
func (t *Transport) outcome(
	x *uefi.USBTransfer, status uefi.Status, result uefi.USBResult, late bool, until limit,
) error {
	err := classify(status, result, late)
	switch {
	case err == nil, errors.Is(err, usb.ErrStall), errors.Is(err, usb.ErrBabble):
		t.noteAnswer()
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
