//go:build linux && !tamago

package main

import (
	"tamaccid/sclib"
	"tamaccid/sclib/pcsclite"
)

// establish finds readers through the PC/SC daemon, pcscd.
func establish() (*sclib.Context, error) {
	return sclib.New(pcsclite.New("")), nil
}
