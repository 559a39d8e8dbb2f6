package sclib

import "context"

// Reconnect changes the share mode and protocol of a handle, does to the card first what reset says, and puts the handle in order
// again after ErrResetCard or ErrRemovedCard (SCardReconnect). If it fails the handle is out of order, but still has to be
// disconnected.
func (k *Card) Reconnect(ctx context.Context, mode ShareMode, preferred Protocol, reset Disposition) error {
	const operation = "reconnect to the card in"
	if !mode.valid() || mode != ShareDirect && preferred&(ProtocolAny|ProtocolRaw) == 0 || reset > UnpowerCard {
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
		// The link stays as the others need it; a reset needs the card.
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
	k.renewed()
	s.count()
	return nil
}

// Disconnect ends the handle and does to the card what disposition says (SCardDisconnect). The handle is gone even if that
// failed; a transaction that it had open has ended. A card that was reset or removed meanwhile is left alone, since what
// is there now is not what this handle had. A reader that is gone is no error. It takes no context: giving back is due even when
// the program was canceled. It waits for an exchange that is under way, never for another handle's transaction.
func (k *Card) Disconnect(disposition Disposition) error {
	const operation = "disconnect from the card in"
	s := k.slot
	switch err := k.enter(context.Background(), false); {
	case err == ErrReaderUnavailable:
		return nil // and nothing to give back
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

// first gives the earlier of two failures.
func first(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
