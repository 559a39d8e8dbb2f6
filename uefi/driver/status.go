package driver

import (
	"context"
	"errors"

	"tamaccid/ccid"
	"tamaccid/uefi"
)

// statuses are the results of the protocol's functions for errors of the class driver (UEFI 2.11,
// 37.6.2 to 37.6.7). The first error that matches determines the status.
var statuses = []struct {
	err error
	uefi.Status
}{
	{ccid.ErrShortBuffer, uefi.BufferTooSmall},
	{ccid.ErrNoCard, uefi.NoMedia},
	{ccid.ErrNotPowered, uefi.NotReady},
	{ccid.ErrMute, uefi.Timeout},
	{ccid.ErrTimeout, uefi.Timeout},
	{ccid.ErrPINTimeout, uefi.Timeout},
	{ccid.ErrPINCancelled, uefi.Aborted},
	{context.DeadlineExceeded, uefi.Timeout},
	{ccid.ErrProtocol, uefi.ProtocolError},
	{ccid.ErrParity, uefi.ProtocolError},
	{ccid.ErrBadATR, uefi.ProtocolError},
	{ccid.ErrUnsupported, uefi.Unsupported},
	{ccid.ErrNoProtocol, uefi.Unsupported},
	{ccid.ErrDenied, uefi.Unsupported},
	{ccid.ErrBusy, uefi.AccessDenied},
	{ccid.ErrInvalid, uefi.InvalidParameter},
	{ccid.ErrTooLong, uefi.InvalidParameter},
}

// status is the status for an error, EFI_DEVICE_ERROR for one that is not in the table.
func status(err error) uefi.Status {
	if err == nil {
		return uefi.Success
	}
	for _, s := range statuses {
		if errors.Is(err, s.err) {
			return s.Status
		}
	}
	return uefi.DeviceError
}

// connectStatus is status for SCardConnect, which has fewer statuses: a card without an answer to
// reset is EFI_NOT_READY (UEFI 2.11, 37.6.2).
func connectStatus(err error) uefi.Status {
	if errors.Is(err, ccid.ErrMute) || errors.Is(err, ccid.ErrBadATR) {
		return uefi.NotReady
	}
	switch st := status(err); st {
	case uefi.NoMedia, uefi.NotReady, uefi.Unsupported:
		return st
	}
	return uefi.DeviceError
}

// needed is the size that the caller's buffer needs.
func needed(err error) (n uintptr, ok bool) {
	var short *ccid.ShortBufferError
	if !errors.As(err, &short) {
		return 0, false
	}
	return uintptr(short.Need), true
}
