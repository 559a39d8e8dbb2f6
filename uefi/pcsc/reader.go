//go:build !386 && !arm

package pcsc

import (
	"context"
	"errors"
	"sync/atomic"

	"tamaccid/sclib"
	"tamaccid/uefi"
	"tamaccid/uefi/smartcard"
)

// A reader is a protocol instance as a sclib.Reader.
type reader struct {
	instance instance
	device   *smartcard.Reader
	name     string
	takeOver bool
	gone     atomic.Bool

	connected bool               // this program has the reader
	active    smartcard.Protocol // of a connection to a card
}

// Name implements sclib.Reader.
func (r *reader) Name() string { return r.name }

// Status implements sclib.Reader.
func (r *reader) Status(ctx context.Context) (sclib.ReaderStatus, error) {
	if err := ctx.Err(); err != nil {
		return sclib.ReaderStatus{}, err
	}
	status, err := r.device.Status()
	if err != nil {
		return sclib.ReaderStatus{}, r.failed(err, statusErrors)
	}
	out := sclib.ReaderStatus{ATR: status.ATR}
	if status.State == smartcard.Active {
		// The protocol in SCardStatus is less reliable than that of SCardConnect.
		out.Protocol = status.Protocol
		if r.active != smartcard.Undefined {
			out.Protocol = r.active
		}
	}
	out.State = sclib.StateOf(status.State, out.Protocol)
	return out, nil
}

// Connect implements sclib.Reader.
func (r *reader) Connect(
	ctx context.Context, mode sclib.ShareMode, protocols sclib.Protocol, reset sclib.Disposition,
) (sclib.Protocol, error) {
	if err := ctx.Err(); err != nil {
		return sclib.ProtocolUndefined, err
	}
	if r.connected {
		// A connected reader returns EFI_ACCESS_DENIED from SCardConnect (UEFI 2.11, 37.6.2), so a
		// changed connection is a new one. An error in ending the old one shows in the new one.
		r.device.Disconnect(smartcard.NoReset)
		r.connected, r.active = false, smartcard.Undefined
	}
	var active smartcard.Protocol
	var err error
	if mode == sclib.ShareDirect {
		_, err = r.connect(smartcard.AccessReader, smartcard.NoReset, smartcard.Undefined)
	} else {
		active, err = r.connectCard(ctx, protocols, reset)
	}
	if err != nil {
		return sclib.ProtocolUndefined, r.failed(err, connectErrors)
	}
	r.connected, r.active = true, active
	return active, nil
}

// connectCard connects with the mildest reset that is asked for and works. Only a cold reset works
// in every state of the card: a card without power must be powered, some drivers fail without a
// reset after a protocol was chosen, and another protocol than the one in use needs a reset too.
func (r *reader) connectCard(
	ctx context.Context, protocols smartcard.Protocol, reset sclib.Disposition,
) (smartcard.Protocol, error) {
	action := reset.AtConnect()
	if action != smartcard.ColdReset {
		status, err := r.device.Status()
		if err != nil {
			return smartcard.Undefined, err
		}
		if status.State == smartcard.Active {
			active, err := r.connect(smartcard.AccessCard, action, protocols)
			if err == nil || ctx.Err() != nil || errors.Is(err, smartcard.ErrRemoved) ||
				errors.Is(err, uefi.AccessDenied) || errors.Is(err, uefi.NoMedia) {
				return active, err
			}
		}
	}
	return r.connect(smartcard.AccessCard, smartcard.ColdReset, protocols)
}

// connect connects, and takes the reader over if the options allow that.
func (r *reader) connect(
	mode smartcard.AccessMode, action smartcard.Action, protocols smartcard.Protocol,
) (smartcard.Protocol, error) {
	active, err := r.device.Connect(mode, action, protocols)
	if r.takeOver && errors.Is(err, uefi.AccessDenied) {
		if r.device.Disconnect(smartcard.NoReset) == nil {
			return r.device.Connect(mode, action, protocols)
		}
	}
	return active, err
}

// Disconnect implements sclib.Reader.
func (r *reader) Disconnect(ctx context.Context, disposition sclib.Disposition) error {
	action := disposition.AtDisconnect()
	err := r.device.Disconnect(action)
	switch {
	case errors.Is(err, smartcard.ErrRemoved):
		r.gone.Store(true)
		err = nil
	case err != nil && action == smartcard.Eject:
		return r.failed(err, exchangeErrors) // still connected (UEFI 2.11, 37.6.3)
	case err != nil:
		// The action on the card failed. The connection ends nevertheless.
		err = r.failed(err, exchangeErrors)
		if r.device.Disconnect(smartcard.NoReset) == nil && errors.Is(err, sclib.ErrNoCard) {
			err = nil // nothing is left to be done to a card that has gone
		}
	}
	r.connected, r.active = false, smartcard.Undefined
	return err
}

// Transmit implements sclib.Reader.
func (r *reader) Transmit(ctx context.Context, command, response []byte) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.device.Transmit(command, response)
	if err != nil {
		return 0, r.failed(err, exchangeErrors)
	}
	return n, nil
}

// Control implements sclib.Reader.
func (r *reader) Control(ctx context.Context, controlCode uint32, in, out []byte) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.device.Control(controlCode, in, out)
	if err != nil {
		return 0, r.failed(err, exchangeErrors)
	}
	return n, nil
}

// GetAttrib implements sclib.Reader.
func (r *reader) GetAttrib(ctx context.Context, attribute sclib.Attrib, out []byte) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	value, err := r.device.GetAttrib(attribute)
	if err != nil {
		return 0, r.failed(err, exchangeErrors)
	}
	if len(value) > len(out) {
		return 0, sclib.ErrInsufficientBuffer
	}
	return copy(out, value), nil
}
