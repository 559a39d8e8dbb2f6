package sclib

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// An Error is a PC/SC return code other than success (PC/SC part 5, with the values of winscard.h
// and pcsclite.h). Errors of this package wrap one: use errors.Is(err, sclib.ErrNoCard).
type Error uint32

// The PC/SC return codes. The comment is the PC/SC name.
const (
	ErrInternal             Error = 0x80100001 // SCARD_F_INTERNAL_ERROR
	ErrCanceled             Error = 0x80100002 // SCARD_E_CANCELLED
	ErrInvalidHandle        Error = 0x80100003 // SCARD_E_INVALID_HANDLE
	ErrInvalidParameter     Error = 0x80100004 // SCARD_E_INVALID_PARAMETER
	ErrNoMemory             Error = 0x80100006 // SCARD_E_NO_MEMORY
	ErrInsufficientBuffer   Error = 0x80100008 // SCARD_E_INSUFFICIENT_BUFFER
	ErrUnknownReader        Error = 0x80100009 // SCARD_E_UNKNOWN_READER
	ErrTimeout              Error = 0x8010000A // SCARD_E_TIMEOUT
	ErrSharing              Error = 0x8010000B // SCARD_E_SHARING_VIOLATION
	ErrNoCard               Error = 0x8010000C // SCARD_E_NO_SMARTCARD
	ErrCantDispose          Error = 0x8010000E // SCARD_E_CANT_DISPOSE
	ErrProtocolMismatch     Error = 0x8010000F // SCARD_E_PROTO_MISMATCH
	ErrNotReady             Error = 0x80100010 // SCARD_E_NOT_READY
	ErrInvalidValue         Error = 0x80100011 // SCARD_E_INVALID_VALUE
	ErrComm                 Error = 0x80100013 // SCARD_F_COMM_ERROR
	ErrUnknown              Error = 0x80100014 // SCARD_F_UNKNOWN_ERROR
	ErrInvalidATR           Error = 0x80100015 // SCARD_E_INVALID_ATR
	ErrNotTransacted        Error = 0x80100016 // SCARD_E_NOT_TRANSACTED
	ErrReaderUnavailable    Error = 0x80100017 // SCARD_E_READER_UNAVAILABLE
	ErrReaderUnsupported    Error = 0x8010001A // SCARD_E_READER_UNSUPPORTED
	ErrCardUnsupported      Error = 0x8010001C // SCARD_E_CARD_UNSUPPORTED
	ErrNoService            Error = 0x8010001D // SCARD_E_NO_SERVICE
	ErrServiceStopped       Error = 0x8010001E // SCARD_E_SERVICE_STOPPED
	ErrUnsupportedFeature   Error = 0x80100022 // SCARD_E_UNSUPPORTED_FEATURE of winscard.h
	ErrNoReaders            Error = 0x8010002E // SCARD_E_NO_READERS_AVAILABLE
	ErrUnsupportedCard      Error = 0x80100065 // SCARD_W_UNSUPPORTED_CARD
	ErrUnresponsiveCard     Error = 0x80100066 // SCARD_W_UNRESPONSIVE_CARD
	ErrUnpoweredCard        Error = 0x80100067 // SCARD_W_UNPOWERED_CARD
	ErrResetCard            Error = 0x80100068 // SCARD_W_RESET_CARD
	ErrRemovedCard          Error = 0x80100069 // SCARD_W_REMOVED_CARD
	ErrSecurityViolation    Error = 0x8010006A // SCARD_W_SECURITY_VIOLATION
	ErrWrongCHV             Error = 0x8010006B // SCARD_W_WRONG_CHV
	ErrCHVBlocked           Error = 0x8010006C // SCARD_W_CHV_BLOCKED
	ErrEOF                  Error = 0x8010006D // SCARD_W_EOF
	ErrCanceledByUser       Error = 0x8010006E // SCARD_W_CANCELLED_BY_USER
	ErrCardNotAuthenticated Error = 0x8010006F // SCARD_W_CARD_NOT_AUTHENTICATED
)

// Error returns a description in words, or the number of a code without one.
func (e Error) Error() string {
	if text := e.text(); text != "" {
		return text
	}
	return "PC/SC error 0x" + strconv.FormatUint(uint64(e), 16)
}

// text returns a description in words. It is empty for a code without one.
func (e Error) text() string {
	switch e {
	case ErrInternal:
		return "internal error"
	case ErrCanceled:
		return "canceled"
	case ErrInvalidHandle:
		return "the handle is not connected"
	case ErrInvalidParameter:
		return "invalid parameter"
	case ErrNoMemory:
		return "out of memory"
	case ErrInsufficientBuffer:
		return "the buffer is too small for the answer"
	case ErrUnknownReader:
		return "no reader has this name"
	case ErrTimeout:
		return "no answer in time"
	case ErrSharing:
		return "in use by another program or handle"
	case ErrNoCard:
		return "no card in the reader"
	case ErrCantDispose:
		return "the disposition of the card is not possible"
	case ErrProtocolMismatch:
		return "the card does not support the requested protocol"
	case ErrNotReady:
		return "the reader or the card is not ready"
	case ErrInvalidValue:
		return "invalid value"
	case ErrComm:
		return "communication with the card failed"
	case ErrUnknown:
		return "unknown error"
	case ErrInvalidATR:
		return "the card's answer to reset is invalid"
	case ErrNotTransacted:
		return "no transaction is open"
	case ErrReaderUnavailable:
		return "the reader was unplugged"
	case ErrReaderUnsupported:
		return "the reader is not supported"
	case ErrCardUnsupported, ErrUnsupportedCard:
		return "the card is not supported"
	case ErrNoService:
		return "no smart card service is running"
	case ErrServiceStopped:
		return "the context was released"
	case ErrUnsupportedFeature:
		return "the reader does not support this function"
	case ErrNoReaders:
		return "no smart card reader found"
	case ErrUnresponsiveCard:
		return "the card does not answer"
	case ErrUnpoweredCard:
		return "the card has no power"
	case ErrResetCard:
		return "the card was reset"
	case ErrRemovedCard:
		return "the card was removed"
	case ErrSecurityViolation:
		return "access denied by the security policy"
	case ErrWrongCHV:
		return "the PIN is wrong"
	case ErrCHVBlocked:
		return "the PIN is blocked"
	case ErrEOF:
		return "the end of the file is reached"
	case ErrCardNotAuthenticated:
		return "no PIN was presented to the card"
	case ErrCanceledByUser:
		return "canceled by the user"
	}
	return ""
}

// code returns the PC/SC code that err wraps, or ErrUnknown.
func code(err error) Error {
	var e Error
	if errors.As(err, &e) {
		return e
	}
	return ErrUnknown
}

// failed adds the operation, the reader and, if err wraps none, a PC/SC code to an error.
func failed(operation, reader string, err error) error {
	return fmt.Errorf("%s %q: %w", operation, reader, withCode(err))
}

// withCode adds a PC/SC code to an error that wraps none.
func withCode(err error) error {
	var e Error
	switch {
	case errors.As(err, &e):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w (%w)", ErrTimeout, err)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%w (%w)", ErrCanceled, err)
	}
	return fmt.Errorf("%w: %w", ErrUnknown, err)
}
