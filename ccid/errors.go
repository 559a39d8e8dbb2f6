package ccid

import (
	"errors"
	"fmt"

	"tamaccid/ccid/apdu"
	"tamaccid/ccid/internal/pipe"
	"tamaccid/ccid/quirk"
)

// Errors that a caller decides on. Returned errors wrap them: test with errors.Is.
var (
	// ErrNoCard: there is no card in the slot.
	ErrNoCard = errors.New("ccid: no card")
	// ErrNotPowered: a card is present, but not powered, or no protocol was agreed on with it:
	// Connect first.
	ErrNotPowered = errors.New("ccid: card not powered")
	// ErrCardChanged: the card was removed, replaced or reset since Connect, not by this Slot. It
	// is ErrNotPowered too.
	ErrCardChanged = fmt.Errorf("ccid: card was changed: %w", ErrNotPowered)
	// ErrMute: the card does not answer.
	ErrMute = errors.New("ccid: card is mute")
	// ErrTimeout: the reader does not answer within its time.
	ErrTimeout = pipe.ErrTimeout
	// ErrProtocol: the reader or the card violates its protocol.
	ErrProtocol = pipe.ErrProtocol
	// ErrParity: characters between reader and card are damaged.
	ErrParity = errors.New("ccid: parity error on the card line")
	// ErrBadATR: the answer to reset is malformed.
	ErrBadATR = errors.New("ccid: bad answer to reset")
	// ErrUnsupported: the reader, or this driver, does not have the function.
	ErrUnsupported = errors.New("ccid: not supported")
	// ErrNoProtocol: the card and the reader share none of the protocols asked for.
	ErrNoProtocol = errors.New("ccid: no acceptable protocol")
	// ErrGone: the reader was unplugged. A reader that is plugged in again is another Reader.
	ErrGone = errors.New("ccid: reader gone")
	// ErrClosed: the Reader was closed. It is ErrGone too.
	ErrClosed = fmt.Errorf("ccid: reader closed: %w", ErrGone)
	// ErrTransport: the USB transfer failed.
	ErrTransport = errors.New("ccid: USB transfer failed")
	// ErrHardware: the reader reports a fault of its own, such as too much current drawn by the
	// card.
	ErrHardware = errors.New("ccid: reader hardware error")
	// ErrBusy: the reader is busy with this slot and stays so.
	ErrBusy = pipe.ErrBusy
	// ErrAborted: the reader or the card has aborted the command.
	ErrAborted = errors.New("ccid: command aborted")
	// ErrTooLong: the command is longer than this reader takes.
	ErrTooLong = errors.New("ccid: command too long for the reader")
	// ErrInvalid: the caller's argument is wrong.
	ErrInvalid = errors.New("ccid: invalid argument")
	// ErrShortBuffer: the response does not fit; see ShortBufferError.
	ErrShortBuffer = apdu.ErrShortBuffer
	// ErrFirmware: the reader's firmware is known to be broken; Options.AllowOldFirmware opens it
	// nevertheless.
	ErrFirmware = quirk.ErrFirmware
	// ErrDescriptor: the device's descriptors are not those of a reader, or malformed.
	ErrDescriptor = errors.New("ccid: malformed descriptor")
	// ErrDenied: the escape policy does not allow this command on this reader.
	ErrDenied = errors.New("ccid: escape command not allowed")
	// ErrPINCancelled and ErrPINTimeout: the user has cancelled the entry of a PIN, or not made it
	// in time.
	ErrPINCancelled = errors.New("ccid: PIN entry cancelled")
	ErrPINTimeout   = errors.New("ccid: PIN entry timed out")
)

// ShortBufferError reports that a response does not fit into the caller's buffer, and the length
// that was needed. The command has been executed. It is ErrShortBuffer.
type ShortBufferError = apdu.ShortBufferError

// SlotError is a failure that the reader reports itself: bStatus and bError of its answer (CCID
// 1.1, 6.2.6).
type SlotError struct{ Status, Code byte }

// Error has the reader's codes and the sentinel for them.
func (e *SlotError) Error() string {
	return fmt.Sprintf("ccid: reader reports status %02X error %02X (%v)", e.Status, e.Code,
		e.Unwrap())
}

// slotError returns the reader's own failure that err wraps, nil where the reader reported none.
func slotError(err error) *SlotError {
	var e *SlotError
	if errors.As(err, &e) {
		return e
	}
	return nil
}

// refusal is slotError without the failure of a slot that stayed busy: such a reader has neither
// done nor refused the command.
func refusal(err error) *SlotError {
	e := slotError(err)
	if e != nil && (e.Code == pipe.CodeSlotBusy || e.Code == pipe.CodeBusyAuto) {
		return nil
	}
	return e
}

// Unwrap returns the sentinel for the code. That the card has gone precedes the reader's code.
func (e *SlotError) Unwrap() error {
	if e.Status&pipe.ICCMask == pipe.ICCAbsent && e.Code != pipe.CodeCommandNotSupported {
		return ErrNoCard
	}
	switch e.Code {
	case pipe.CodeMute:
		return ErrMute
	case pipe.CodeParity:
		return ErrParity
	case pipe.CodeHardware:
		return ErrHardware
	case pipe.CodeBadTS, pipe.CodeBadTCK:
		return ErrBadATR
	case pipe.CodeProtocolNotSupported, pipe.CodeClassNotSupported:
		return ErrNoProtocol
	case pipe.CodeDeactivated:
		return ErrNotPowered
	case pipe.CodeSlotBusy, pipe.CodeBusyAuto:
		return ErrBusy
	case pipe.CodePINTimeout:
		return ErrPINTimeout
	case pipe.CodePINCancelled:
		return ErrPINCancelled
	case pipe.CodeAborted:
		return ErrAborted
	case pipe.CodeCommandNotSupported:
		return ErrUnsupported
	}
	return ErrProtocol
}
