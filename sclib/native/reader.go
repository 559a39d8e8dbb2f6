package native

import (
	"context"
	"errors"

	"tamaccid/ccid"
	"tamaccid/sclib"
)

// slot has the methods of ccid.Slot that this package uses.
type slot interface {
	Name() string
	State(ctx context.Context) (ccid.State, error)
	Changes() uint32
	ATR() []byte
	Protocol() ccid.Protocol
	Connect(ctx context.Context, accept ccid.Protocol, action ccid.Action) (ccid.Protocol, error)
	Disconnect(ctx context.Context, action ccid.Action) error
	Transmit(ctx context.Context, capdu, rapdu []byte) (int, error)
	Control(ctx context.Context, code uint32, in []byte) ([]byte, error)
	GetAttrib(ctx context.Context, tag sclib.Attrib) ([]byte, error)
}

// A reader is an sclib.Reader over a slot. The slot has one user, this program, so that ShareDirect
// needs no connection.
type reader struct {
	slot    slot
	changes uint32 // slot.Changes at the last Status
}

// Name implements sclib.Reader.
func (r *reader) Name() string { return r.slot.Name() }

// Status implements sclib.Reader.
func (r *reader) Status(ctx context.Context) (sclib.ReaderStatus, error) {
	state, err := r.slot.State(ctx)
	if err != nil {
		return sclib.ReaderStatus{}, coded(err)
	}
	var status sclib.ReaderStatus
	if state == ccid.Active {
		status.Protocol, status.ATR = r.slot.Protocol(), r.slot.ATR()
	}
	status.State = sclib.StateOf(state, status.Protocol)
	// Without an answer to reset nothing else shows that the card is another one. A session that
	// goes on is with the same card, whatever was counted.
	changes := r.slot.Changes()
	status.Replaced = changes != r.changes && len(status.ATR) == 0
	r.changes = changes
	return status, nil
}

// Connect implements sclib.Reader.
func (r *reader) Connect(
	ctx context.Context, mode sclib.ShareMode, protocols sclib.Protocol, reset sclib.Disposition,
) (sclib.Protocol, error) {
	if mode == sclib.ShareDirect {
		if _, err := r.slot.State(ctx); err != nil {
			return sclib.ProtocolUndefined, coded(err)
		}
		return sclib.ProtocolUndefined, nil
	}
	accept := protocols & sclib.ProtocolAny
	if accept == sclib.ProtocolUndefined {
		return sclib.ProtocolUndefined, sclib.ErrProtocolMismatch // raw only
	}
	active, err := r.slot.Connect(ctx, accept, reset.AtConnect())
	if reset == sclib.LeaveCard && errors.Is(err, ccid.ErrNoProtocol) {
		// The card has another protocol since an earlier connection. It needs a reset.
		active, err = r.slot.Connect(ctx, accept, ccid.ColdReset)
	}
	if err != nil {
		return sclib.ProtocolUndefined, coded(err)
	}
	return active, nil
}

// Disconnect implements sclib.Reader.
func (r *reader) Disconnect(ctx context.Context, disposition sclib.Disposition) error {
	err := r.slot.Disconnect(ctx, disposition.AtDisconnect())
	if err == nil || errors.Is(err, ccid.ErrGone) {
		return nil
	}
	return coded(err)
}

// Transmit implements sclib.Reader.
func (r *reader) Transmit(ctx context.Context, command, response []byte) (int, error) {
	n, err := r.slot.Transmit(ctx, command, response)
	if err != nil {
		return 0, coded(err)
	}
	return n, nil
}

// Control implements sclib.Reader.
func (r *reader) Control(ctx context.Context, controlCode uint32, in, out []byte) (int, error) {
	answer, err := r.slot.Control(ctx, controlCode, in)
	defer clear(answer)
	return give(out, answer, err)
}

// GetAttrib implements sclib.Reader.
func (r *reader) GetAttrib(ctx context.Context, attribute sclib.Attrib, out []byte) (int, error) {
	value, err := r.slot.GetAttrib(ctx, attribute)
	return give(out, value, err)
}

// give copies an answer to out.
func give(out, answer []byte, err error) (int, error) {
	switch {
	case err != nil:
		return 0, coded(err)
	case len(answer) > len(out):
		return 0, sclib.ErrInsufficientBuffer
	}
	return copy(out, answer), nil
}
