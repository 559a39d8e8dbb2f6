// Package auto gives a program the smart card readers of the machine that it was built for, and
// makes it a program for that machine. It is all that a program for several machines imports beside
// sclib:
//
//	sc, err := auto.Establish(auto.Options{})
//
// The build decides by its tags which machine that is:
//
//	linux, without tags    the readers of the PC/SC daemon, pcscd
//	tamago,uefi            the readers of the firmware's drivers (EFI_SMART_CARD_READER_PROTOCOL)
//	tamago,q35             the readers on the USB ports of QEMU's q35 machine, without firmware
//
// A program for one machine, or one with needs of its own, imports the backend itself.
package auto

import "tamaccid/sclib"

// Options are settings for those machines that have a use for them.
type Options struct {
	// Report, if set, is called with the reason why a reader or a USB device cannot be used, where
	// this program drives USB itself. It must not block.
	Report func(error)
}

// Establish returns a context with the readers of the machine (SCardEstablishContext). The caller
// releases it. Errors are the backend's: the machine has no USB host controller, for example. A
// machine without readers is no error.
func Establish(o Options) (*sclib.Context, error) {
	backend, err := readers(o)
	if err != nil {
		return nil, err
	}
	return sclib.New(backend), nil
}
