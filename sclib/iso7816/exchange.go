package iso7816

import (
	"context"
	"fmt"
)

// A Transmitter exchanges APDUs with a card. *sclib.Card is one.
type Transmitter interface {
	// Transmit sends a command APDU and returns the response APDU.
	Transmit(ctx context.Context, command []byte) (answer []byte, err error)
}

// Exchange sends a command and returns the data of the answer. It wipes its copy of the command. A
// status word other than 90 00 is the error, of type StatusWord; the data is returned too. An
// answer without a status word is ErrResponse.
func Exchange(ctx context.Context, t Transmitter, c Command) (data []byte, err error) {
	command, err := c.Bytes()
	if err != nil {
		return nil, err
	}
	defer clear(command) // its data may be a PIN
	answer, err := t.Transmit(ctx, command)
	if err != nil {
		return nil, err
	}
	r, err := ParseResponse(answer)
	if err != nil {
		return nil, fmt.Errorf("%w: % .16X", err, answer)
	}
	if r.SW != SWSuccess {
		return r.Data, r.SW
	}
	return r.Data, nil
}
