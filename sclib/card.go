package sclib

import (
	"context"
	"sync/atomic"
)

// A Card is a connection to a card, or with ShareDirect to a reader (the SCARDHANDLE of PC/SC). Its methods may be called from
// several goroutines; exchanges with one reader happen one after the other.
//
// When the card was removed or another handle reset it, every method gives ErrRemovedCard or ErrResetCard until Reconnect,
// so that a program does not mistake one card, or one card's state, for another. Disconnect always works.
type Card struct {
	slot   *slot
	closed atomic.Bool

	// What follows belongs to the call that made the slot busy.
	mode     ShareMode
	resets   uint32 // of the slot, when this handle was connected
	removals uint32
}

// Status is what Card.Status reports (SCardStatus).
type Status struct {
	Reader   string
	State    CardState
	Protocol Protocol // the one in use; undefined with ShareDirect
	ATR      []byte   // the card's answer to reset; empty without a card
}

// Reader gives the name of the card's reader.
func (k *Card) Reader() string { return k.slot.name }

// enter starts a call: after it the slot is busy, and leave is owed. With patient it waits for other handles' transactions.
func (k *Card) enter(ctx context.Context, patient bool) error {
	s := k.slot
	if err := s.context.enter(ctx); err != nil {
		return err
	}
	err := k.alive() // a handle that is not has nothing to wait for
	if err == nil {
		err = s.acquire(ctx, k, patient)
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

func (k *Card) alive() error {
	switch {
	case k.closed.Load():
		return ErrInvalidHandle
	case k.slot.gone.Load():
		return ErrReaderUnavailable
	}
	return nil
}

func (k *Card) leave() {
	k.slot.release()
	k.slot.context.leave()
}

// check says whether the card is still the one, and in the state, that this handle connected to.
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

// renewed takes note that this handle knows of everything that happened.
func (k *Card) renewed() { k.resets, k.removals = k.slot.resets, k.slot.removals }

// do runs f with the slot busy and this handle in order, and says what failed.
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

// removed turns "no card" into "the card was removed", which it was for one who had a card. The cause stays.
type removed struct{ cause error }

func (removed) Error() string     { return ErrRemovedCard.Error() }
func (r removed) Unwrap() []error { return []error{ErrRemovedCard, r.cause} }

// ActiveProtocol gives the protocol that is in use.
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

// Status asks the reader for its state and the card's answer to reset (SCardStatus).
func (k *Card) Status(ctx context.Context) (Status, error) {
	status := Status{Reader: k.slot.name}
	err := k.do(ctx, "status of", func(s *slot) error {
		st, err := s.status(ctx)
		if err != nil {
			return err
		}
		if err := k.check(); err != nil {
			return err // the status itself told of a removal
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

// Transmit sends a command APDU and gives the response APDU, data and status word (SCardTransmit). Any status word is an answer,
// not an error; see sclib/iso7816 for what it means. The result belongs to the caller.
func (k *Card) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	const operation = "transmit to the card in"
	if len(command) == 0 || len(command) > MaxCommand {
		return nil, failed(operation, k.slot.name, ErrInvalidParameter)
	}
	var response []byte
	err := k.do(ctx, operation, func(s *slot) (err error) {
		if k.mode == ShareDirect {
			return ErrProtocolMismatch // no card protocol was asked for
		}
		response, err = s.answer(MaxResponse, func(out []byte) (int, error) {
			return s.reader.Transmit(ctx, command, out)
		})
		return err
	})
	return response, err
}

// Control sends a command to the reader or its driver (SCardControl), for example CMIoctlGetFeatureRequest. Which commands need
// a card is up to the reader; with ShareDirect it works without.
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

// GetAttrib gives the value of an attribute (SCardGetAttrib). One that the reader does not have is ErrUnsupportedFeature.
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

// BeginTransaction keeps other handles away from the card until EndTransaction (SCardBeginTransaction). It waits for theirs to
// end. Transactions of one handle nest.
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

// EndTransaction ends the innermost transaction and does to the card what disposition says (SCardEndTransaction). The other
// handles then get ErrResetCard. The transaction has ended even if that failed.
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
			k.renewed()
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

// endTransaction opens the slot to the other handles. It returns the first failure.
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
