package main

import (
	"bytes"
	"context"
	"fmt"

	"tamaccid/sclib"
	"tamaccid/sclib/iso7816"
)

// What commands and answers are made of.
var (
	counting = pattern(func(i int) byte { return byte(i) })
	fillers  = pattern(func(int) byte { return filler })
	pages    = pattern(func(i int) byte { return byte(i + i>>8*101) }) // any odd factor makes all pages differ
)

func pattern(at func(i int) byte) []byte {
	b := make([]byte, iso7816.MaxNe)
	for i := range b {
		b[i] = at(i)
	}
	return b
}

// A trial is the test of one reader, with what it knows of it and has done so far.
type trial struct {
	ctx      context.Context
	card     *sclib.Card
	protocol sclib.Protocol
	most     int  // data bytes in an extended APDU, 0 when the reader takes short ones only
	told     bool // the reader said that

	command   []byte
	exchanges int
	sent      int // bytes
	received  int
}

// exchange sends a command and checks that the answer is want and status 90 00, to the byte.
func (t *trial) exchange(c iso7816.Command, want []byte) (err error) {
	if t.command, err = c.Append(t.command[:0]); err != nil {
		return err
	}
	answer, err := t.card.Transmit(t.ctx, t.command)
	if err != nil {
		return err
	}
	t.exchanges++
	t.sent += len(t.command)
	t.received += len(answer)
	response, err := iso7816.ParseResponse(answer)
	switch {
	case err != nil:
		return fmt.Errorf("%w: % X", err, answer)
	case response.SW != iso7816.SWSuccess:
		return fmt.Errorf("%w (with %s)", response.SW, plural(len(response.Data), "byte"))
	case len(response.Data) != len(want):
		return fmt.Errorf("%s came back, not %d", plural(len(response.Data), "byte"), len(want))
	case !bytes.Equal(response.Data, want):
		for i, b := range response.Data {
			if b != want[i] {
				return fmt.Errorf("byte %d came back as %02X, not %02X", i, b, want[i])
			}
		}
	}
	return nil
}
