package sclib

import (
	"context"
	"sync"
)

// A Backend gives access to readers. A [Context] owns its backend.
type Backend interface {
	// Readers lists the readers that are attached now. Those that stay attached keep their order. A
	// Reader value must be comparable, is listed once, and is equal in each list while its reader
	// stays attached. A reader that was unplugged and plugged in again, or that returned
	// ErrReaderUnavailable, is a new Reader. An empty list is no error.
	Readers(ctx context.Context) ([]Reader, error)
	// Close releases all resources of the backend. No other method is called afterwards.
	Close() error
}

// A Notifier is a Backend that reports changes. The readers of other backends are asked regularly
// while a call waits for a change.
type Notifier interface {
	// Changed returns a channel that is closed at the next change: a reader or a card has come or
	// gone. It may be closed without a change. all reports whether the changes of all cards are
	// reported; if not, the readers are asked regularly as well.
	Changed() (changed <-chan struct{}, all bool)
}

// A Signal wakes all that wait for it. A Notifier returns Next from Changed. The zero value is
// ready for use. The methods may be called concurrently.
type Signal struct {
	mu   sync.Mutex
	next chan struct{} // nil if nothing waits
}

// Next returns a channel that the next Send closes.
func (s *Signal) Next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil {
		s.next = make(chan struct{})
	}
	return s.next
}

// Send closes the channels that Next has returned.
func (s *Signal) Send() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next != nil {
		close(s.next)
		s.next = nil
	}
}

// A Reader is one slot of a reader, as PC/SC lists it. It has one user: this package calls the
// methods of one Reader one after the other, never concurrently. Errors wrap an [Error] if one
// describes them. Each method returns in bounded time, also after the device was unplugged: it then
// returns ErrReaderUnavailable, and the Reader is not used any more. No method keeps a slice that
// it was given.
type Reader interface {
	// Name returns the name for users. It never changes, and need be neither unique nor printable.
	Name() string

	// Status returns the state of the slot and its card. It works without a connection.
	Status(ctx context.Context) (ReaderStatus, error)

	// Connect reserves the reader for this program. With ShareDirect it does nothing else, and
	// returns ProtocolUndefined. Otherwise it powers the card if it has no power, applies reset,
	// and negotiates one protocol of the set, which it returns:
	//
	//	LeaveCard    no reset if the card has power and uses a protocol of the set
	//	ResetCard    warm reset
	//	UnpowerCard  cold reset
	//
	// On a connected reader it changes the connection. After an error the reader is not connected.
	Connect(
		ctx context.Context, mode ShareMode, protocols Protocol, reset Disposition,
	) (Protocol, error)

	// Disconnect applies the disposition to the card and ends the connection. The removal of the
	// card or of the reader is no error. For EjectCard a reader without that function returns
	// ErrUnsupportedFeature and stays connected.
	Disconnect(ctx context.Context, disposition Disposition) error

	// Transmit sends one command APDU and writes the response APDU, data and status word, into
	// response. It returns the length. The Reader handles GET RESPONSE, repeats after a wrong
	// length, chaining and waiting time extensions. It returns ErrInsufficientBuffer if response is
	// too small for the answer, ErrNoCard if the card was removed, ErrUnpoweredCard if the card has
	// lost power since Connect, and ErrResetCard if another program reset it.
	Transmit(ctx context.Context, command, response []byte) (n int, err error)

	// Control sends a command to the reader or its driver, writes the answer into out and returns
	// its length. A control code that is not supported is ErrUnsupportedFeature.
	Control(ctx context.Context, controlCode uint32, in, out []byte) (n int, err error)

	// GetAttrib writes the value of an attribute into out and returns its length. An unknown
	// attribute is ErrUnsupportedFeature.
	GetAttrib(ctx context.Context, attribute Attrib, out []byte) (n int, err error)
}

// A Transactor is a Reader that other programs share. A transaction of this program must exclude
// them.
type Transactor interface {
	// BeginTransaction waits until no other program has a transaction, and begins one.
	BeginTransaction(ctx context.Context) error
	// EndTransaction ends the transaction and leaves the card as it is.
	EndTransaction(ctx context.Context) error
}

// ReaderStatus is the state of a slot and its card.
type ReaderStatus struct {
	State    CardState // CardUnknown, CardAbsent, or CardPresent and further bits
	Protocol Protocol  // the protocol in use, or ProtocolUndefined
	ATR      []byte    // the card's answer to reset, if it is known; the caller owns it
	// Replaced is set if the card may be another one than at the Status before, though a card was
	// present both times: it was removed and inserted in between.
	Replaced bool
	// Mute is set if the card did not answer to its last reset. A backend that detects this only in
	// Connect returns ErrUnresponsiveCard there and leaves Mute unset.
	Mute bool
}
