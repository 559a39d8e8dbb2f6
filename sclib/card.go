package sclib

import (
	"context"
	"sync/atomic"
)

// A Card is a handle: a connection to a card, or with ShareDirect to a reader (the SCARDHANDLE of
// PC/SC). Its methods may be called from several goroutines. Exchanges with one reader are
// sequential.
//
// After the card was removed, or reset by another handle, each method returns ErrRemovedCard or
// ErrResetCard until Reconnect, so that a program does not continue with another card or with a
// card that has lost its state. Disconnect always works.
type Card struct {
	slot   *slot
	closed atomic.Bool

	// The fields below belong to the call that made the slot busy.
	mode     ShareMode
	resets   uint32 // slot.resets when this handle connected
	removals uint32 // slot.removals when this handle connected
}

// Status is what Card.Status reports (SCardStatus).
type Status struct {
	Reader   string    // the reader's name
	State    CardState // of the slot and its card
	Protocol Protocol  // the protocol in use; ProtocolUndefined with ShareDirect
	ATR      []byte    // the card's answer to reset; empty without a card
}

// Reader returns the name of the card's reader.
func (k *Card) Reader() string { return k.slot.name }

// enter begins a call: it makes the slot busy. Without an error the caller must call leave. With
// queue it waits for the end of another handle's transaction.
func (k *Card) enter(ctx context.Context, queue bool) error {
	s := k.slot
	if err := s.context.enter(ctx); err != nil {
		return err
	}
	err := k.alive() // before the wait, which is pointless for a dead handle
	if err == nil {
		err = s.acquire(ctx, k, queue)
	}
	if err != nil {
		s.context.leave()
		return err
	}
	if err := k.alive(); err != nil {
		k.leave()
		return err
	}
	return nil
}

// alive returns an error if the handle was disconnected or the reader was unplugged.
func (k *Card) alive() error {
	switch {
	case k.closed.Load():
		return ErrInvalidHandle
	case k.slot.gone.Load():
		return ErrReaderUnavailable
	}
	return nil
}

// leave ends a call that enter began.
func (k *Card) leave() {
	k.slot.release()
	k.slot.context.leave()
}

// check returns an error if the card was removed or reset since this handle connected to it.
func (k *Card) check() error {
	s := k.slot
	switch {
	case k.mode != ShareDirect && k.removals != s.removals:
		return ErrRemovedCard
	case s.link == linkNone, k.mode != ShareDirect && k.resets != s.resets:
		return ErrResetCard
	}
	return nil
}

// renew makes the resets and removals up to now no error for this handle.
func (k *Card) renew() { k.resets, k.removals = k.slot.resets, k.slot.removals }

// do runs f with the slot busy if the handle is usable. The error names operation and reader.
func (k *Card) do(ctx context.Context, operation string, f func(s *slot) error) error {
	if err := k.enter(ctx, true); err != nil {
		return failed(operation, k.slot.name, err)
	}
	defer k.leave()
	err := k.check()
	if err == nil {
		if err = f(k.slot); err != nil && k.mode != ShareDirect && code(err) == ErrNoCard {
			err = removed{err}
		}
	}
	if err != nil {
		return failed(operation, k.slot.name, err)
	}
	return nil
}

// removed is ErrRemovedCard instead of the ErrNoCard of a reader: a handle to a card had one. The
// cause stays.
type removed struct{ cause error }

func (removed) Error() string     { return ErrRemovedCard.Error() }
func (r removed) Unwrap() []error { return []error{ErrRemovedCard, r.cause} }

// ActiveProtocol returns the protocol in use. It is ProtocolUndefined with ShareDirect.
func (k *Card) ActiveProtocol(ctx context.Context) (Protocol, error) {
	var active Protocol
	err := k.do(ctx, "protocol of the card in", func(s *slot) error {
		if k.mode != ShareDirect {
			active = s.active
		}
		return nil
	})
	return active, err
}

// Status returns the state of the reader and the card's answer to reset (SCardStatus).
func (k *Card) Status(ctx context.Context) (Status, error) {
	status := Status{Reader: k.slot.name}
	err := k.do(ctx, "status of", func(s *slot) error {
		st, err := s.status(ctx)
		if err != nil {
			return err
		}
		if err := k.check(); err != nil {
			return err // this status showed a removal
		}
		status.State, status.ATR = st.State, st.ATR
		if k.mode != ShareDirect {
			status.Protocol = s.active
		}
		return nil
	})
	if err != nil {
		return Status{}, err
	}
	return status, nil
}

// Transmit sends a command APDU of 1 to MaxCommand bytes and returns the response APDU, data and
// status word (SCardTransmit). No status word is an error of Transmit; package sclib/iso7816
// interprets it. The caller owns the result.
func (k *Card) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	const operation = "transmit to the card in"
	if len(command) == 0 || len(command) > MaxCommand {
		return nil, failed(operation, k.slot.name, ErrInvalidParameter)
	}
	var response []byte
	err := k.do(ctx, operation, func(s *slot) (err error) {
		if k.mode == ShareDirect {
			return ErrProtocolMismatch // the handle has no card protocol
		}
		response, err = s.answer(MaxResponse, func(out []byte) (int, error) {
			return s.reader.Transmit(ctx, command, out)
		})
		return err
	})
	return response, err
}

// Control sends a command to the reader or its driver and returns the answer, which the caller owns
// (SCardControl). An example is CMIoctlGetFeatureRequest. It works with ShareDirect, and without a
// card if the reader's command needs none.
func (k *Card) Control(ctx context.Context, controlCode uint32, in []byte) ([]byte, error) {
	var answer []byte
	err := k.do(ctx, "control of", func(s *slot) (err error) {
		answer, err = s.answer(maxControl, func(out []byte) (int, error) {
			return s.reader.Control(ctx, controlCode, in, out)
		})
		return err
	})
	return answer, err
}

// GetAttrib returns the value of an attribute, which the caller owns (SCardGetAttrib). An attribute
// that the reader does not have is ErrUnsupportedFeature.
func (k *Card) GetAttrib(ctx context.Context, attribute Attrib) ([]byte, error) {
	var value []byte
	err := k.do(ctx, "attribute of", func(s *slot) (err error) {
		value, err = s.answer(maxControl, func(out []byte) (int, error) {
			return s.reader.GetAttrib(ctx, attribute, out)
		})
		return err
	})
	return value, err
}

// BeginTransaction makes the calls of other handles wait until EndTransaction
// (SCardBeginTransaction). It waits for the end of another handle's transaction, for at most 2
// minutes. Transactions of one handle nest.
func (k *Card) BeginTransaction(ctx context.Context) error {
	return k.do(ctx, "transaction with the card in", func(s *slot) error {
		if transactor, ok := s.reader.(Transactor); ok && s.depth == 0 {
			if err := transactor.BeginTransaction(ctx); err != nil {
				return s.fault(err)
			}
		}
		s.depth++
		s.setOwner(k)
		return nil
	})
}

// EndTransaction applies the disposition to the card and ends the innermost transaction
// (SCardEndTransaction). After a reset the other handles get ErrResetCard. The transaction ends
// even if the disposition fails.
func (k *Card) EndTransaction(ctx context.Context, disposition Disposition) error {
	const operation = "end of the transaction with the card in"
	if err := k.enter(ctx, false); err != nil {
		return failed(operation, k.slot.name, err)
	}
	defer k.leave()
	s := k.slot
	if s.owner != k {
		return failed(operation, s.name, ErrNotTransacted)
	}
	err := k.check()
	if err == nil {
		if err = s.dispose(ctx, disposition); err == nil {
			k.renew()
		}
	}
	s.depth--
	if s.depth == 0 {
		err = k.endTransaction(ctx, err)
	}
	if err != nil {
		return failed(operation, s.name, err)
	}
	return nil
}

// endTransaction ends this handle's transaction. It returns err or, if that is nil, its own
// failure.
func (k *Card) endTransaction(ctx context.Context, err error) error {
	s := k.slot
	s.depth = 0
	s.setOwner(nil)
	if transactor, ok := s.reader.(Transactor); ok {
		if end := transactor.EndTransaction(ctx); end != nil && err == nil {
			err = s.fault(end)
		}
	}
	return err
}
