package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"tamaccid/sclib"
)

// errNotPassed means that a step failed. The report has the details.
var errNotPassed = errors.New("not all readers passed")

// readerTimeout bounds the test of one reader (policy). A reader at character level takes 30 s in
// QEMU.
const readerTimeout = 10 * time.Minute

// run tests the chosen readers, one after the other, and writes a report to w. The test of a reader
// ends at the first step that fails.
func run(ctx context.Context, w io.Writer, sc *sclib.Context, o options) error {
	names, err := sc.ListReaders(ctx)
	if err != nil {
		return err
	}
	chosen := o.chosen(names)
	if len(chosen) == 0 {
		return sclib.ErrUnknownReader
	}
	var passed, failed, empty int
	for _, name := range chosen {
		fmt.Fprintf(w, "Reader:   %s\n", name)
		switch err := test(ctx, w, sc, name, o); {
		case err == nil:
			passed++
		case errors.Is(err, sclib.ErrNoCard):
			empty++
			fmt.Fprintln(w, "No card.")
		default:
			failed++
			fmt.Fprintf(w, "Failed: %v\n", err)
		}
		fmt.Fprintln(w)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	fmt.Fprintf(w, "%s: %d passed, %d failed, %d without a card\n",
		plural(len(chosen), "reader"), passed, failed, empty)
	switch {
	case failed > 0:
		return errNotPassed
	case passed == 0:
		return sclib.ErrNoCard
	}
	return nil
}

// test executes all steps with the card in one reader.
func test(ctx context.Context, w io.Writer, sc *sclib.Context, name string, o options) (err error) {
	ctx, cancel := context.WithTimeout(ctx, readerTimeout)
	defer cancel()
	card, err := sc.Connect(ctx, name, sclib.ShareExclusive, sclib.ProtocolAny)
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
	fmt.Fprintf(w, "Card:     %v, ATR % X\n", status.Protocol, status.ATR)
	most, known := maxData(ctx, card)
	t := &trial{ctx: ctx, card: card, protocol: status.Protocol, most: most, known: known}
	left := 0
	for _, s := range steps(o) {
		before := t.exchanges
		err := s.run(t)
		note := fmt.Sprintf("ok, %s", plural(t.exchanges-before, "exchange"))
		var reason leftOut
		switch {
		case errors.As(err, &reason):
			left++
			if note = "left out: " + string(reason); t.exchanges > before {
				note = "ok, " + plural(t.exchanges-before, "exchange") + "; the rest " + note
			}
		case err != nil:
			fmt.Fprintf(w, "  %-46s FAILED\n", s.title)
			return fmt.Errorf("%s: %w", s.title, err)
		}
		fmt.Fprintf(w, "  %-46s %s\n", s.title, note)
	}
	fmt.Fprintf(w, "Passed: %s, %d bytes to the card, %d back",
		plural(t.exchanges, "exchange"), t.sent, t.received)
	if left > 0 {
		fmt.Fprintf(w, "; %s left out or cut short", plural(left, "step"))
	}
	fmt.Fprintln(w)
	return nil
}

// propertyMaxAPDUData is the tag of dwMaxAPDUDataSize in a reader's properties (PC/SC part 10,
// 2.6.14).
const propertyMaxAPDUData = 10

// maxData returns the greatest number of data bytes of an APDU by the reader's properties. It is 0
// for short APDUs. known is false if the reader does not report it.
func maxData(ctx context.Context, card *sclib.Card) (most int, known bool) {
	features, err := card.Features(ctx)
	if err != nil {
		return 0, false
	}
	code, ok := features[sclib.FeatureTLVProperties]
	if !ok {
		return 0, false
	}
	properties, err := card.Control(ctx, code, nil)
	if err != nil {
		return 0, false
	}
	for len(properties) >= 2 && len(properties) >= 2+int(properties[1]) { // tag, length, value
		value := properties[2 : 2+int(properties[1])]
		if properties[0] == propertyMaxAPDUData && len(value) == 4 {
			return int(min(binary.LittleEndian.Uint32(value), 1<<16)), true
		}
		properties = properties[2+len(value):]
	}
	return 0, false
}

// plural returns a number with a noun.
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// advice returns a message with the error and the next action of the user.
func advice(err error) string {
	const again = " and run this again."
	switch {
	case errors.Is(err, sclib.ErrNoReaders):
		return "No smart card reader found.\nPlug a reader in, see that its driver is loaded," +
			again
	case errors.Is(err, sclib.ErrUnknownReader):
		return "No reader has this name.\nRun this without one to see the names."
	case errors.Is(err, sclib.ErrNoCard):
		return "There is no card in any reader.\nInsert a test card" + again
	case errors.Is(err, sclib.ErrNoService):
		return "It failed: " + err.Error() + ".\nStart the service" + again
	}
	return "It failed: " + err.Error() + "."
}
