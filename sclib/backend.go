package sclib

import "context"

// A Backend gives access to readers.
type Backend interface {
	// Readers lists the readers that are attached now, in an order that does not change for those that stay. A reader must be
	// comparable and equal to itself from one call to the next for as long as it stays attached, and is listed once. One that was
	// unplugged and plugged in again, or that gave ErrReaderUnavailable, is another reader. An empty list is no error.
	Readers(ctx context.Context) ([]Reader, error)
	// Close gives everything back. No other method is called afterwards.
	Close() error
}

// A Waiter is a Backend that can wait for something to happen. One that is none is asked regularly.
type Waiter interface {
	// Wait returns when a reader came or went, a card came or went, or ctx ended. It may return for no reason.
	Wait(ctx context.Context) error
}

// A Reader is one slot, for one user at a time: this package calls the methods of one Reader one after the other, never at once.
// Errors wrap an [Error] where one says what happened. All methods end, in bounded time, also when the device is gone; they
// then give ErrReaderUnavailable, and are not called again. No slice is kept after the call.
type Reader interface {
	// Name is what users see. It never changes. It need not be unique, nor printable.
	Name() string

	// Status says what the slot holds. It works without a connection.
	Status(ctx context.Context) (ReaderStatus, error)

	// Connect takes the reader for this program. With ShareDirect that is all, and the result is ProtocolUndefined.
	// Otherwise the card gets power if it has none, is reset as reset says, and one protocol of the set is chosen:
	//
	//	LeaveCard    a card that has power and speaks a protocol of the set goes on as it is
	//	ResetCard    warm reset
	//	UnpowerCard  cold reset
	//
	// On a reader that is connected it changes the connection. After an error the reader is not connected.
	Connect(ctx context.Context, mode ShareMode, protocols Protocol, reset Disposition) (Protocol, error)

	// Disconnect gives the reader back. It succeeds when the card or the reader has gone meanwhile. EjectCard on a
	// reader that cannot is ErrUnsupportedFeature, and the reader stays connected.
	Disconnect(ctx context.Context, disposition Disposition) error

	// Transmit sends one command APDU and writes the whole response APDU, data and status word, into response. GET RESPONSE,
	// wrong-length repeats, chaining and waiting-time extensions are done below. ErrInsufficientBuffer is given when response
	// cannot hold the answer, ErrNoCard when the card is gone, ErrUnpoweredCard when it has lost power since Connect.
	Transmit(ctx context.Context, command, response []byte) (n int, err error)

	// Control sends a command to the reader or its driver and writes the answer into out.
	Control(ctx context.Context, controlCode uint32, in, out []byte) (n int, err error)

	// GetAttrib writes the value of an attribute into out. One that is unknown gives ErrUnsupportedFeature.
	GetAttrib(ctx context.Context, attribute Attrib, out []byte) (n int, err error)
}

// A Transactor is a Reader that other programs share: a transaction of ours must also keep them away.
type Transactor interface {
	BeginTransaction(ctx context.Context) error
	EndTransaction(ctx context.Context) error
}

// ReaderStatus is what a slot holds.
type ReaderStatus struct {
	State    CardState // CardUnknown, CardAbsent, or CardPresent with what else is known
	Protocol Protocol  // the one in use, else ProtocolUndefined
	ATR      []byte    // the card's answer to reset, if known; the caller owns it
}
