// Helloworld reads the text of the "Hello world!" applet on a smart card, and prints each byte of
// the exchange.
//
// The program uses sclib. board/auto supplies the readers of the machine that it is built for.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"tamaccid/board/auto"
)

// timeout bounds the exchange (policy). It takes a second; a card may request more time.
const timeout = time.Minute

func main() {
	if err := helloworld(); err != nil {
		fmt.Println(advice(err))
		os.Exit(1)
	}
}

func helloworld() error {
	sc, err := auto.Establish(auto.Options{Report: func(err error) { fmt.Println(err) }})
	if err != nil {
		return err
	}
	defer sc.Release()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return run(ctx, os.Stdout, sc)
}
