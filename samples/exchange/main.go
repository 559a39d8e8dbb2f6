// Exchange validates readers and their drivers. With a test card in each reader it exchanges APDUs
// of all four cases at all lengths, and extended ones, and checks each byte of the answers.
//
//	exchange [-quick] [-time UNITS] [READER]
//
// READER is the name of a reader or a part of it. Without it all readers with a card are tested.
// -quick tests only the lengths near the ends of messages, packets and blocks. -time is the
// processing time of one command, in units of the card. The exit status is 0 only if all tests
// passed.
//
// The card has the applets of package ccid/sim/card.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"tamaccid/board/auto"
)

const usage = "usage: exchange [-quick] [-time UNITS] [READER]"

func main() {
	o, err := parse(os.Args[1:])
	if err != nil {
		fmt.Println("exchange:", err)
		fmt.Println(usage)
		os.Exit(1)
	}
	if err := exchange(o); err != nil {
		if !errors.Is(err, errNotPassed) { // the report has it
			fmt.Println(advice(err))
		}
		os.Exit(1)
	}
}

func exchange(o options) error {
	sc, err := auto.Establish(auto.Options{Report: func(err error) { fmt.Println(err) }})
	if err != nil {
		return err
	}
	defer sc.Release()
	return run(context.Background(), os.Stdout, sc, o)
}
