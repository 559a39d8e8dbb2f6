//go:build tamago && uefi

package auto

import (
	_ "tamaccid/board/uefi" // the machine: memory, clock, console, exit
	"tamaccid/sclib"
	"tamaccid/uefi/pcsc"
)

// readers returns a backend that takes over connections: a program that is started from the Shell
// or a boot option runs alone, so that an open connection was left by a program that has ended.
func readers(Options) (sclib.Backend, error) { return pcsc.New(pcsc.Options{TakeOver: true}) }
