//go:build !tamago

package pcsclite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"tamaccid/sclib"
)

// transactionPoll is the interval between attempts during another program's transaction: the daemon
// does not queue requests (policy; PCSCLITE_LOCK_POLL_RATE of libpcsclite is 100 ms).
const transactionPoll = 20 * time.Millisecond

// transactionWait bounds these attempts if ctx does not. A PIN entry on a reader's keypad takes up
// to 90 s (policy).
const transactionWait = 2 * time.Minute

// A reader is one reader of the daemon. While it is connected it has its own wire and context,
// since an exchange with a card occupies the wire.
type reader struct {
	backend *Backend
	name    string
	gone    atomic.Bool

	wire    *wire
	context uint32
	card    uint32
	active  sclib.Protocol
}

// Name implements sclib.Reader.
func (r *reader) Name() string { return r.name }

// Status implements sclib.Reader.
func (r *reader) Status(ctx context.Context) (sclib.ReaderStatus, error) {
	states, err := r.backend.list(ctx)
	if err != nil {
		return sclib.ReaderStatus{}, err
	}
	for _, s := range states {
		if s.name == r.name && !r.gone.Load() {
			return s.status, nil
		}
	}
	return sclib.ReaderStatus{}, r.failed(sclib.ErrReaderUnavailable)
}

// Connect implements sclib.Reader.
func (r *reader) Connect(
	ctx context.Context, mode sclib.ShareMode, protocols sclib.Protocol, reset sclib.Disposition,
) (sclib.Protocol, error) {
	if mode == sclib.ShareDirect {
		protocols = sclib.ProtocolUndefined
	}
	if err := r.open(ctx); err != nil {
		return sclib.ProtocolUndefined, err
	}
	var err error
	if r.card == 0 {
		err = r.connect(ctx, mode, protocols)
		if err == nil && reset != sclib.LeaveCard {
			err = r.reconnect(ctx, mode, protocols, reset)
		}
	} else {
		err = r.reconnect(ctx, mode, protocols, reset)
	}
	if err != nil {
		r.drop()
		return sclib.ProtocolUndefined, r.failed(err)
	}
	return r.active, nil
}

// open makes a wire and a context unless the reader has them.
func (r *reader) open(ctx context.Context) error {
	if r.wire != nil && !r.wire.broken {
		return nil
	}
	r.drop()
	ctx, cancel := context.WithTimeout(ctx, requestWait)
	defer cancel()
	w, err := dial(ctx, r.backend.path)
	if err != nil {
		return err
	}
	const scopeSystem = 2 // SCARD_SCOPE_SYSTEM, the only scope of the daemon
	reply, err := w.request(ctx, cmdEstablishContext, words(scopeSystem, 0, 0))
	if err != nil {
		w.close()
		return err
	}
	r.wire, r.context = w, byteOrder.Uint32(reply[4:])
	return nil
}

// drop closes the wire. The daemon then disconnects the card, and resets it if a transaction is
// open.
func (r *reader) drop() {
	if r.wire != nil {
		r.wire.close()
	}
	r.wire, r.context, r.card, r.active = nil, 0, 0, sclib.ProtocolUndefined
}

// connect sends SCardConnect.
func (r *reader) connect(
	ctx context.Context, mode sclib.ShareMode, protocols sclib.Protocol,
) error {
	if len(r.name) >= nameSize {
		return sclib.ErrUnknownReader
	}
	structure := make([]byte, 0, 4+nameSize+5*4)
	structure = append(structure, words(r.context)...)
	structure = append(structure, r.name...)
	structure = append(structure, make([]byte, nameSize-len(r.name))...)
	structure = append(structure, words(uint32(mode), uint32(protocols), 0, 0, 0)...)
	reply, err := r.wire.request(ctx, cmdConnect, structure)
	if err != nil {
		return err
	}
	r.card = byteOrder.Uint32(reply[4+nameSize+8:])
	r.active = sclib.Protocol(byteOrder.Uint32(reply[4+nameSize+12:]))
	return nil
}

// reconnect sends SCardReconnect.
func (r *reader) reconnect(
	ctx context.Context, mode sclib.ShareMode, protocols sclib.Protocol, reset sclib.Disposition,
) error {
	request := func() error {
		structure := words(r.card, uint32(mode), uint32(protocols), uint32(reset), 0, 0)
		reply, err := r.wire.request(ctx, cmdReconnect, structure)
		if err == nil {
			r.active = sclib.Protocol(byteOrder.Uint32(reply[16:]))
		}
		return err
	}
	if mode == sclib.ShareExclusive {
		return request() // other handles are a reason for ErrSharing too, and last longer
	}
	return r.retryWhileShared(ctx, request)
}

// Disconnect implements sclib.Reader.
func (r *reader) Disconnect(ctx context.Context, disposition sclib.Disposition) error {
	if r.lost() {
		r.drop()
		return nil // the daemon has disconnected it
	}
	_, err := r.wire.request(ctx, cmdDisconnect, words(r.card, uint32(disposition), 0))
	r.drop()
	switch {
	case err == nil, errors.Is(err, sclib.ErrNoCard), errors.Is(err, sclib.ErrRemovedCard),
		errors.Is(err, sclib.ErrReaderUnavailable), errors.Is(err, sclib.ErrInvalidHandle):
		return nil
	}
	return r.failed(err)
}

// lost reports whether the connection to the card was lost.
func (r *reader) lost() bool { return r.wire == nil || r.wire.broken || r.card == 0 }

// exchange runs a request whose structure is followed by bytes in both directions. The number of
// bytes after the reply is at offset length of its structure. They follow a successful reply only.
func (r *reader) exchange(
	ctx context.Context, command uint32, structure []byte, length int, in, out []byte,
) (int, error) {
	if r.lost() {
		// A cancelled exchange made the wire unusable. The handle has to reconnect.
		return 0, sclib.ErrResetCard
	}
	n := 0
	var code error
	err := r.wire.exchange(ctx, func() error {
		if err := r.wire.send(command, structure, in); err != nil {
			return err
		}
		if err := readFull(r.wire, structure); err != nil {
			return err
		}
		if code = codeError(byteOrder.Uint32(structure[len(structure)-4:])); code != nil {
			return nil
		}
		size := byteOrder.Uint32(structure[length:])
		if uint64(size) > uint64(len(out)) {
			return errLength
		}
		n = int(size)
		return readFull(r.wire, out[:n])
	})
	if err == nil {
		err = code
	}
	if err != nil {
		return 0, r.failed(err)
	}
	return n, nil
}

// Transmit implements sclib.Reader.
func (r *reader) Transmit(ctx context.Context, command, response []byte) (n int, err error) {
	const received = 6 * 4 // offset of the answer's length in the structure
	err = r.retryWhileShared(ctx, func() error {
		active := uint32(r.active)
		structure := words(r.card, active, pciSize, uint32(len(command)), active, pciSize,
			uint32(len(response)), 0)
		n, err = r.exchange(ctx, cmdTransmit, structure, received, command, response)
		return err
	})
	return n, err
}

// Control implements sclib.Reader.
func (r *reader) Control(
	ctx context.Context, controlCode uint32, in, out []byte,
) (n int, err error) {
	const returned = 4 * 4 // offset of the answer's length in the structure
	err = r.retryWhileShared(ctx, func() error {
		structure := words(r.card, controlCode, uint32(len(in)), uint32(len(out)), 0, 0)
		n, err = r.exchange(ctx, cmdControl, structure, returned, in, out)
		return err
	})
	return n, err
}

// GetAttrib implements sclib.Reader.
func (r *reader) GetAttrib(ctx context.Context, attribute sclib.Attrib, out []byte) (int, error) {
	if r.lost() {
		return 0, sclib.ErrResetCard
	}
	structure := append(words(r.card, uint32(attribute)), make([]byte, attributeSize)...)
	structure = append(structure, words(attributeSize, 0)...)
	reply, err := r.wire.request(ctx, cmdGetAttrib, structure)
	if err != nil {
		return 0, r.failed(err)
	}
	n := byteOrder.Uint32(reply[8+attributeSize:])
	if n > attributeSize {
		return 0, fmt.Errorf("%w: %w", sclib.ErrInternal, errLength)
	}
	if int(n) > len(out) {
		return 0, sclib.ErrInsufficientBuffer
	}
	return copy(out, reply[8:8+n]), nil
}

// retryWhileShared repeats a request while it fails because of another program's transaction.
func (r *reader) retryWhileShared(ctx context.Context, request func() error) error {
	var limit *time.Timer
	for {
		err := request()
		if !errors.Is(err, sclib.ErrSharing) {
			return err
		}
		if limit == nil {
			limit = time.NewTimer(transactionWait)
			defer limit.Stop()
		}
		pause := time.NewTimer(transactionPoll)
		select {
		case <-pause.C:
		case <-limit.C:
			pause.Stop()
			return err
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		}
	}
}

// quick runs a request that the daemon answers at once. ctx does not cancel it, since that would
// make the wire unusable.
func (r *reader) quick(ctx context.Context, command uint32, structure []byte) error {
	if r.lost() {
		return sclib.ErrResetCard
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestWait)
	defer cancel()
	_, err := r.wire.request(ctx, command, structure)
	if err != nil {
		return r.failed(err)
	}
	return nil
}

// BeginTransaction implements sclib.Transactor.
func (r *reader) BeginTransaction(ctx context.Context) error {
	return r.retryWhileShared(ctx, func() error {
		return r.quick(ctx, cmdBeginTransaction, words(r.card, 0))
	})
}

// EndTransaction implements sclib.Transactor.
func (r *reader) EndTransaction(ctx context.Context) error {
	if r.lost() {
		return nil // the transaction ended with the connection
	}
	return r.quick(ctx, cmdEndTransaction, words(r.card, uint32(sclib.LeaveCard), 0))
}

// failed records an unplugged reader or a stopped daemon, and returns the error.
func (r *reader) failed(err error) error {
	switch {
	case errors.Is(err, sclib.ErrServiceStopped):
		err = fmt.Errorf("%w: %w", sclib.ErrReaderUnavailable, err)
	case errors.Is(err, sclib.ErrInvalidHandle), errors.Is(err, sclib.ErrUnknownReader):
		err = fmt.Errorf("%w: %w", sclib.ErrReaderUnavailable, err)
	}
	if errors.Is(err, sclib.ErrReaderUnavailable) {
		r.gone.Store(true)
		r.drop()
	}
	return err
}

// readFull fills b from the wire.
func readFull(w *wire, b []byte) error {
	_, err := io.ReadFull(w.conn, b)
	return err
}
