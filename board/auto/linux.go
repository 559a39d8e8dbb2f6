//go:build linux && !tamago

package auto

import (
	"tamaccid/sclib"
	"tamaccid/sclib/pcsclite"
)

func readers(Options) (sclib.Backend, error) { return pcsclite.New(pcsclite.Options{}) }
