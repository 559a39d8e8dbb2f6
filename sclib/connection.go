package sclib

import (
	"context"
	"errors"
)

// Reconnect applies reset to the card and changes the share mode and the protocol of a handle. It
// makes the handle usable again after ErrResetCard or ErrRemovedCard (SCardReconnect). reset is
// LeaveCard, ResetCard for a warm reset, or UnpowerCard for a cold reset. After an error the handle
// may be unusable until the next Reconnect, and still has to be disconnected.
func (k *Card) Reconnect(
	ctx context.Context, mode ShareMode, preferred Protocol, reset Disposition,
) error {
	const operation = "reconnect to the card in"
	if !mode.accepts(preferred) || reset > UnpowerCard {
		return failed(operation, k.slot.name, ErrInvalidValue)
	}
	if err := k.enter(ctx, true); err != nil {
		return failed(operation, k.slot.name, err)
	}
	defer k.leave()
	s := k.slot
	if err := s.shareable(mode, k); err != nil {
		return failed(operation, s.name, err)
	}
	if mode == ShareDirect && (len(s.cards) > 1 || reset != LeaveCard) {
		// The link stays as it is for the other handles. A reset needs a link to the card.
		if s.link != linkCard && reset != LeaveCard {
			return failed(operation, s.name, ErrInvalidValue)
		}
		if err := s.dispose(ctx, reset); err != nil {
			return failed(operation, s.name, err)
		}
	} else if err := s.connect(ctx, mode, preferred, reset); err != nil {
		return failed(operation, s.name, err)
	}
	k.mode = mode
	k.renew()
	s.count()
	return nil
}

// Disconnect applies the disposition to the card and ends the handle, and its transaction if one is
// open (SCardDisconnect). The handle ends even if the disposition fails. The disposition is not
// applied if the card was reset or removed since this handle connected to it. An unplugged reader
// is no error. Disconnect takes no context, since it is necessary after a cancellation too. It
// waits for an exchange in progress, but not for another handle's transaction, and ends within 10 s
// of its start on the reader.
func (k *Card) Disconnect(disposition Disposition) error {
	const operation = "disconnect from the card in"
	s := k.slot
	switch err := k.enter(context.Background(), false); {
	case errors.Is(err, ErrReaderUnavailable):
		return nil // no connection is left
	case err != nil:
		return failed(operation, s.name, err)
	}
	defer k.leave()
	ctx, cancel := context.WithTimeout(context.Background(), disconnectWait)
	defer cancel()
	if err := k.disconnect(ctx, disposition); err != nil && !s.gone.Load() {
		return failed(operation, s.name, err)
	}
	return nil
}

// disconnect does the work of Disconnect with the slot busy.
func (k *Card) disconnect(ctx context.Context, disposition Disposition) error {
	s := k.slot
	var err error
	if disposition > EjectCard {
		disposition, err = LeaveCard, ErrInvalidValue
	}
	if k.mode != ShareDirect && k.check() != nil {
		disposition = LeaveCard
	}
	if s.owner != nil && s.owner != k && disposition != LeaveCard {
		disposition, err = LeaveCard, ErrSharing
	}
	last := len(s.cards) == 1
	if !last {
		err = first(err, s.dispose(ctx, disposition))
	}
	if s.owner == k {
		err = k.endTransaction(ctx, err)
	}
	k.closed.Store(true)
	delete(s.cards, k)
	s.count()
	if last && s.link != linkNone {
		err = first(err, s.unlink(ctx, disposition))
	}
	return err
}

// first returns the first error that is not nil.
func first(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
