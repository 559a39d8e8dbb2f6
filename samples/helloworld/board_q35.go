//go:build tamago && q35

package main

import (
	"fmt"

	"tamaccid/board/q35" // the machine: memory, clock, console, exit, USB
	"tamaccid/sclib"
	"tamaccid/sclib/usbhost"
)

// establish drives the readers on the machine's USB ports.
func establish() (*sclib.Context, error) {
	readers, err := usbhost.New(q35.USB, usbhost.Options{Report: func(err error) { fmt.Println(err) }})
	if err != nil {
		return nil, err
	}
	return sclib.New(readers), nil
}
