//go:build tamago && q35

package auto

import (
	"tamaccid/board/qemu/q35" // the machine: memory, clock, console, exit, USB
	"tamaccid/sclib"
	"tamaccid/sclib/native"
)

func readers(o Options) (sclib.Backend, error) {
	return native.New(native.Options{Start: q35.USB, Report: o.Report})
}
