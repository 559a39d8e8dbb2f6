// Exchange validates readers and the drivers under them: with a test card in each reader it runs APDUs of all four cases at all
// lengths, and extended ones, and checks every byte that comes back.
//
//	exchange [-quick] [-time UNITS] [READER]
//
// Without a name all readers with a card are tested; READER is a name or a part of one. -quick takes the lengths at which
// messages, packets and blocks end instead of all. -time is how many of its units the card is to take over one command.
// The exit status is 0 only if everything passed.
//
// The card has the applets of package tamaccid/ccid/sim/card, which virtual readers hold.
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
		if !errors.Is(err, errNotPassed) { // which said so already
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
