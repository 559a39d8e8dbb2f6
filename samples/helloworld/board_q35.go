//go:build tamago && q35

package main

import (
	"context"
	"fmt"
	"time"

	"tamaccid/baremetal/usb"
	"tamaccid/board/q35" // the machine: memory, clock, console, exit, USB
	"tamaccid/sclib"
	"tamaccid/sclib/core"
)

// plugged is how long readers that are plugged in may take to be ready. One takes half a second (policy).
const plugged = 10 * time.Second

// establish drives the readers on the machine's USB ports, and waits for those that are there.
func establish() (*sclib.Context, error) {
	readers := core.New()
	bus, err := q35.USB(usb.Options{
		Attach: func(ctx context.Context, i *usb.Interface) {
			if err := readers.Attach(ctx, i); err != nil && ctx.Err() == nil {
				fmt.Println("This reader cannot be used:", err)
			}
		},
		Report: func(e usb.Event) {
			if e.Err != nil {
				fmt.Println(e)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), plugged)
	defer cancel()
	if err := bus.Settle(ctx); err != nil {
		fmt.Println("Some of the USB devices are not ready:", err)
	}
	return sclib.New(readers), nil
}
