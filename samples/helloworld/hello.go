package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"tamaccid/sclib"
	"tamaccid/sclib/iso7816"
)

// aid is the identifier of the "Hello world!" applet.
var aid = []byte{0xA0, 0x00, 0x00, 0x00, 0x62, 0x03, 0x01, 0x0C, 0x06, 0x01}

// errNoText means that the applet's answer has no text.
var errNoText = errors.New("the card answered without a text")

// run connects to a card, reads its text and writes the exchange to w.
func run(ctx context.Context, w io.Writer, sc *sclib.Context) (err error) {
	card, err := connect(ctx, sc)
	if err != nil {
		return err
	}
	defer func() {
		if end := card.Disconnect(sclib.LeaveCard); err == nil {
			err = end
		}
	}()
	status, err := card.Status(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "Reader: %s\n", status.Reader)
	fmt.Fprintf(w, "ATR:    % X\n", status.ATR)

	shown := traced{card, w}
	if _, err := iso7816.Exchange(ctx, shown, iso7816.Select(aid)); err != nil {
		return err
	}
	text, err := iso7816.Exchange(ctx, shown, iso7816.Command{}) // 00 00 00 00
	if err != nil {
		return err
	}
	if len(text) == 0 {
		return errNoText
	}
	fmt.Fprintf(w, "Text:   %s\n", sclib.Printable(string(text)))
	return nil
}

// connect connects to the first card that answers.
func connect(ctx context.Context, sc *sclib.Context) (*sclib.Card, error) {
	readers, err := sc.ListReaders(ctx)
	if err != nil {
		return nil, err
	}
	var failure error
	for _, reader := range readers {
		card, err := sc.Connect(ctx, reader, sclib.ShareShared, sclib.ProtocolAny)
		if err == nil {
			return card, nil
		}
		// An error of a card is more useful than that of an empty reader.
		if failure == nil || errors.Is(failure, sclib.ErrNoCard) {
			failure = err
		}
	}
	return nil, failure
}

// traced is a card whose exchanges are written to w.
type traced struct {
	*sclib.Card
	w io.Writer
}

// Transmit sends a command, and writes the command and the answer.
func (s traced) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	fmt.Fprintf(s.w, "C-APDU: % X\n", command)
	answer, err := s.Card.Transmit(ctx, command)
	if err == nil {
		fmt.Fprintf(s.w, "R-APDU: % X\n", answer)
	}
	return answer, err
}

// advice returns a message with the error and the next action of the user.
func advice(err error) string {
	const again = " and run this again."
	var sw iso7816.StatusWord
	switch {
	case errors.Is(err, sclib.ErrNoReaders):
		return "No smart card reader found.\nPlug a reader in, see that its driver is loaded," +
			again
	case errors.Is(err, sclib.ErrNoService):
		return "It failed: " + err.Error() + ".\nStart the service" + again
	case errors.Is(err, sclib.ErrRemovedCard):
		return "The card was removed.\nInsert it, leave it in the reader" + again
	case errors.Is(err, sclib.ErrNoCard):
		return "There is no card in the reader.\nInsert a card with the \"Hello world!\" applet" +
			again
	case errors.Is(err, sclib.ErrReaderUnavailable):
		return "The reader was unplugged.\nPlug it in" + again
	case errors.Is(err, sclib.ErrSharing):
		return "Another program is using the reader.\n" +
			"End that program, or unplug the reader and plug it in," + again
	case errors.Is(err, sclib.ErrUnresponsiveCard):
		return "The card does not answer.\nInsert it the right way round, or try another card," +
			again
	case errors.As(err, &sw):
		return "The card refused with " + sw.Error() +
			".\nInsert a card with the \"Hello world!\" applet" + again
	}
	return "It failed: " + err.Error() + ".\nTake the card out, insert it" + again
}
