package smartcard

import (
	"errors"

	"tamaccid/uefi"
)

// Error is a call that a reader answered with an error status. It unwraps to the status:
// errors.Is(err, uefi.NoMedia) asks for an empty reader.
type Error struct {
	Op     string
	Status uefi.Status
	// Need is the length that the producer asks for with uefi.BufferTooSmall, as it says itself.
	Need int
}

func (e *Error) Error() string { return "smartcard: " + e.Op + ": " + e.Status.Error() }

// Unwrap is the status.
func (e *Error) Unwrap() error { return e.Status }

var (
	// ErrRemoved says that the reader has been taken away. It never comes back as the same Reader.
	ErrRemoved = errors.New("smartcard: reader removed")

	// ErrProducer is an answer that the specification does not allow, for example a length beyond the buffer.
	ErrProducer = errors.New("smartcard: the reader's driver breaks the protocol")

	// ErrShortResponse says that the card's response does not fit into the caller's buffer; the command has been executed.
	ErrShortResponse = errors.New("smartcard: response longer than the buffer")
)
