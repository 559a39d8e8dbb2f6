package native

import (
	"context"
	"errors"
	"fmt"

	"tamaccid/ccid"
	"tamaccid/sclib"
)

// codes gives the class driver's errors their PC/SC meaning. The first that fits counts: an error may wrap several.
var codes = []struct {
	is   error
	code sclib.Error
}{
	{ccid.ErrGone, sclib.ErrReaderUnavailable},
	{ccid.ErrNoCard, sclib.ErrNoCard},
	{ccid.ErrCardChanged, sclib.ErrRemovedCard}, // what is there now is not what Connect dealt with
	{ccid.ErrNotPowered, sclib.ErrUnpoweredCard},
	{ccid.ErrMute, sclib.ErrUnresponsiveCard},
	{ccid.ErrBadATR, sclib.ErrUnsupportedCard},
	{ccid.ErrNoProtocol, sclib.ErrProtocolMismatch},
	{ccid.ErrShortBuffer, sclib.ErrInsufficientBuffer},
	{ccid.ErrDenied, sclib.ErrSecurityViolation},
	{ccid.ErrPINCancelled, sclib.ErrCanceledByUser},
	{ccid.ErrPINTimeout, sclib.ErrTimeout},
	{ccid.ErrTimeout, sclib.ErrTimeout},
	{ccid.ErrTooLong, sclib.ErrInvalidParameter}, // as through UEFI, whose SCardTransmit has no EFI_UNSUPPORTED (UEFI 2.11, 37.6.5)
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

// coded gives an error its PC/SC code and keeps the cause.
func coded(err error) error {
	for _, known := range codes {
		if errors.Is(err, known.is) {
			return fmt.Errorf("%w (%w)", known.code, err)
		}
	}
	return fmt.Errorf("%w (%w)", sclib.ErrUnknown, err)
}
