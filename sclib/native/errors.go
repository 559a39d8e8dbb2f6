package native

import (
	"context"
	"errors"
	"fmt"

	"tamaccid/ccid"
	"tamaccid/sclib"
)

// codes maps errors of the class driver to PC/SC codes. An error may wrap several of them: the
// first one of the list applies.
var codes = []struct {
	is   error
	code sclib.Error
}{
	{ccid.ErrGone, sclib.ErrReaderUnavailable},
	{ccid.ErrNoCard, sclib.ErrNoCard},
	{ccid.ErrCardChanged, sclib.ErrRemovedCard}, // the present card is not that of Connect
	{ccid.ErrNotPowered, sclib.ErrUnpoweredCard},
	{ccid.ErrMute, sclib.ErrUnresponsiveCard},
	{ccid.ErrBadATR, sclib.ErrUnsupportedCard},
	{ccid.ErrNoProtocol, sclib.ErrProtocolMismatch},
	{ccid.ErrShortBuffer, sclib.ErrInsufficientBuffer},
	{ccid.ErrDenied, sclib.ErrSecurityViolation},
	{ccid.ErrPINCancelled, sclib.ErrCanceledByUser},
	{ccid.ErrPINTimeout, sclib.ErrTimeout},
	{ccid.ErrTimeout, sclib.ErrTimeout},
	// As in UEFI, where SCardTransmit has no EFI_UNSUPPORTED (UEFI 2.11, 37.6.5).
	{ccid.ErrTooLong, sclib.ErrInvalidParameter},
	{ccid.ErrInvalid, sclib.ErrInvalidParameter},
	{ccid.ErrUnsupported, sclib.ErrUnsupportedFeature},
	{ccid.ErrParity, sclib.ErrComm},
	{ccid.ErrProtocol, sclib.ErrComm},
	{ccid.ErrAborted, sclib.ErrComm},
	{ccid.ErrHardware, sclib.ErrComm},
	{ccid.ErrTransport, sclib.ErrComm},
	{ccid.ErrBusy, sclib.ErrNotReady},
	{context.DeadlineExceeded, sclib.ErrTimeout},
	{context.Canceled, sclib.ErrCanceled},
}

// coded adds a PC/SC code to an error of the class driver.
func coded(err error) error {
	for _, known := range codes {
		if errors.Is(err, known.is) {
			return fmt.Errorf("%w (%w)", known.code, err)
		}
	}
	return fmt.Errorf("%w (%w)", sclib.ErrUnknown, err)
}
