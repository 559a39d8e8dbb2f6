//go:build tamago && !q35

package main

import (
	_ "tamaccid/board/uefi/x64" // the machine: memory, clock, console, exit
	"tamaccid/sclib"
	"tamaccid/sclib/efi"
)

// establish finds readers through the firmware. A program that is started from the Shell runs alone: a connection that is in the
// way was left behind by one that has ended.
func establish() (*sclib.Context, error) {
	return sclib.New(efi.New(efi.Options{TakeOver: true})), nil
}
