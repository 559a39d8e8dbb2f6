// Helloworld asks the "Hello world!" applet on a smart card for its text and shows every byte of the conversation.
//
// It is written once against sclib; board/auto gives it the readers of the machine that it is built
// for.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"tamaccid/board/auto"
)

// patience is how long it all may take. It takes a second; a card may ask for more time (policy).
const patience = time.Minute

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
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return run(ctx, os.Stdout, sc)
}
