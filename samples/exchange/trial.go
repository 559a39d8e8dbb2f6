package main

import (
	"context"
	"errors"
	"fmt"

	"tamaccid/sclib"
	"tamaccid/sclib/iso7816"
)

// The data of commands and answers.
var (
	counting = pattern(func(i int) byte { return byte(i) })
	fillers  = pattern(func(int) byte { return filler })
	// with an odd factor all pages differ
	pages = pattern(func(i int) byte { return byte(i + i>>8*101) })
)

// pattern returns MaxNe bytes.
func pattern(at func(i int) byte) []byte {
	b := make([]byte, iso7816.MaxNe)
	for i := range b {
		b[i] = at(i)
	}
	return b
}

// A trial is the test of one reader.
type trial struct {
	ctx      context.Context
	card     *sclib.Card
	protocol sclib.Protocol
	most     int  // the greatest number of data bytes of an APDU; 0 means short APDUs
	known    bool // the reader has reported most

	exchanges int
	sent      int // bytes
	received  int // bytes
}

// Transmit implements iso7816.Transmitter. It counts exchanges and bytes.
func (t *trial) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	answer, err := t.card.Transmit(ctx, command)
	if err == nil {
		t.exchanges++
		t.sent += len(command)
		t.received += len(answer)
	}
	return answer, err
}

// exchange sends a command and checks that the answer is want and the status word 90 00.
func (t *trial) exchange(c iso7816.Command, want []byte) error {
	got, err := iso7816.Exchange(t.ctx, t, c)
	var sw iso7816.StatusWord
	switch {
	case errors.As(err, &sw):
		return fmt.Errorf("%w (with %s)", sw, plural(len(got), "byte"))
	case err != nil:
		return err
	case len(got) != len(want):
		return fmt.Errorf("%s came back, not %d", plural(len(got), "byte"), len(want))
	}
	for i, b := range got {
		if b != want[i] {
			return fmt.Errorf("byte %d came back as %02X, not %02X", i, b, want[i])
		}
	}
	return nil
}
