package smartcard

import (
	"errors"

	"tamaccid/uefi"
)

// Error is an error status of a reader's function. It unwraps to the status: errors.Is(err,
// uefi.NoMedia) reports an empty reader.
type Error struct {
	Op     string
	Status uefi.Status
	// Need is the length that the producer returned with uefi.BufferTooSmall, in bytes.
	Need int
}

// Error implements error.
func (e *Error) Error() string { return "smartcard: " + e.Op + ": " + e.Status.Error() }

// Unwrap is the status.
func (e *Error) Unwrap() error { return e.Status }

var (
	// ErrRemoved reports that the reader has been removed. A reader that is plugged in again is
	// another Reader.
	ErrRemoved = errors.New("smartcard: reader removed")

	// ErrProducer reports a result that the specification does not allow, for example a length
	// beyond the buffer.
	ErrProducer = errors.New("smartcard: the reader's driver breaks the protocol")

	// ErrShortResponse reports that the response does not fit into the caller's buffer. The card
	// has performed the command.
	ErrShortResponse = errors.New("smartcard: response longer than the buffer")
)
