package iso7816

import (
	"context"
	"fmt"
)

// A Transmitter exchanges APDUs with a card: *sclib.Card, or what looks at the bytes on their way to it.
type Transmitter interface {
	Transmit(ctx context.Context, command []byte) (answer []byte, err error)
}

// Exchange sends a command and returns the data of the answer. No copy of the command is kept. A
// status word other than 90 00 is the error, a StatusWord, beside what data there is; an answer
// without one is ErrResponse.
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
