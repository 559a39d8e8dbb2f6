//go:build !386 && !arm

package pcsc

import (
	"errors"

	"tamaccid/sclib"
	"tamaccid/uefi"
	"tamaccid/uefi/smartcard"
)

// A meaning is the part of the meaning of statuses that depends on the call.
type meaning struct {
	notReady    sclib.Error
	unsupported sclib.Error
	// asksForCard is set for a call that needs a card, so that an empty reader may be the cause of
	// a failure. UEFI drivers other than this project's return EFI_NOT_READY or EFI_DEVICE_ERROR
	// for it.
	asksForCard bool
}

var (
	statusErrors = meaning{notReady: sclib.ErrNotReady, unsupported: sclib.ErrUnsupportedFeature}
	// UEFI 2.11, 37.6.2.
	connectErrors = meaning{
		notReady:    sclib.ErrUnresponsiveCard,
		unsupported: sclib.ErrProtocolMismatch,
		asksForCard: true,
	}
	// UEFI 2.11, 37.6.5.
	exchangeErrors = meaning{
		notReady:    sclib.ErrUnpoweredCard,
		unsupported: sclib.ErrUnsupportedFeature,
		asksForCard: true,
	}
)

// failed gives an error of the device its PC/SC meaning, and keeps the cause.
func (r *reader) failed(err error, m meaning) error {
	e := m.of(err)
	if m.asksForCard && (e == m.notReady || e == sclib.ErrComm) {
		switch status, statusErr := r.device.Status(); {
		case errors.Is(statusErr, smartcard.ErrRemoved):
			e = sclib.ErrReaderUnavailable
		case statusErr == nil && status.State == smartcard.Absent:
			e = sclib.ErrNoCard
		}
	}
	if e == sclib.ErrReaderUnavailable {
		r.gone.Store(true)
	}
	return coded(e, err)
}

// of gives the PC/SC code of an error (UEFI 2.11, 37.6.2 to 37.6.7, the tables of status codes).
func (m meaning) of(err error) sclib.Error {
	switch {
	case errors.Is(err, smartcard.ErrRemoved):
		return sclib.ErrReaderUnavailable
	case errors.Is(err, smartcard.ErrShortResponse):
		return sclib.ErrInsufficientBuffer
	case errors.Is(err, smartcard.ErrProducer):
		return sclib.ErrInternal
	}
	var status uefi.Status
	if !errors.As(err, &status) {
		return sclib.ErrUnknown
	}
	switch status {
	case uefi.NoMedia:
		return sclib.ErrNoCard
	case uefi.NotReady:
		return m.notReady
	case uefi.Unsupported:
		return m.unsupported
	case uefi.AccessDenied:
		return sclib.ErrSharing
	case uefi.Timeout:
		return sclib.ErrTimeout
	case uefi.ProtocolError, uefi.DeviceError:
		return sclib.ErrComm
	case uefi.BufferTooSmall:
		return sclib.ErrInsufficientBuffer
	case uefi.InvalidParameter:
		return sclib.ErrInvalidParameter
	case uefi.OutOfResources:
		return sclib.ErrNoMemory
	}
	return sclib.ErrUnknown
}

// coded puts a PC/SC code before its cause.
func coded(e sclib.Error, cause error) error { return &codedError{e, cause} }

type codedError struct {
	code  sclib.Error
	cause error
}

func (e *codedError) Error() string   { return e.code.Error() + " (" + e.cause.Error() + ")" }
func (e *codedError) Unwrap() []error { return []error{e.code, e.cause} }
