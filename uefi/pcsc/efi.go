//go:build !386 && !arm

// Package pcsc is sclib's backend for the readers of UEFI drivers: of any driver that installs
// EFI_SMART_CARD_READER_PROTOCOL.
//
//	readers, err := pcsc.New(pcsc.Options{})
//	sc := sclib.New(readers)
//
// The protocol has one connection for each reader, which belongs to no program. The connection of
// another program is sclib.ErrSharing. The protocol has no events: sclib polls the readers.
//
// Like the calls into firmware, it is for processors with 64-bit words.
//
// Specification: UEFI 2.11, 37.6.
package pcsc

import (
	"context"
	"errors"

	"tamaccid/sclib"
	"tamaccid/uefi"
	"tamaccid/uefi/smartcard"
)

// Options are for use beside other programs.
type Options struct {
	// TakeOver ends the connection of another program and takes the reader. The protocol keeps a
	// connection when the program that made it ends without SCardDisconnect, and every program may
	// end it. TakeOver is right for a program that runs alone, started from the Shell or as a boot
	// option, and wrong beside resident programs.
	TakeOver bool
}

// A Backend gives the readers of all drivers in the machine.
type Backend struct {
	options Options
	readers []*reader
}

// New makes a backend for sclib.New. The error is always nil.
func New(options Options) (*Backend, error) {
	return &Backend{options: options}, nil
}

// An instance identifies a protocol instance: a reader that is plugged in again has another handle
// or interface.
type instance struct {
	handle   uefi.Handle
	protocol uintptr
}

// instances are those in the handle database (UEFI 2.11, 7.3).
func instances() (found []instance, err error) {
	handles, err := uefi.Boot().LocateHandles(&smartcard.GUID)
	if err != nil {
		return nil, err
	}
	for _, handle := range handles {
		protocol, err := uefi.Boot().HandleProtocol(handle, &smartcard.GUID)
		if err == nil { // else it has just gone
			found = append(found, instance{handle, protocol})
		}
	}
	return found, nil
}

// Readers implements sclib.Backend.
func (b *Backend) Readers(ctx context.Context) ([]sclib.Reader, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	found, err := instances()
	if err != nil {
		return nil, coded(sclib.ErrNoService, err)
	}
	readers := make([]*reader, 0, len(found))
	for _, i := range found {
		r := b.known(i)
		if r == nil {
			if r, err = b.open(i); err != nil {
				continue // just removed, or no reader
			}
		}
		readers = append(readers, r)
	}
	b.readers = readers
	list := make([]sclib.Reader, len(readers))
	for i, r := range readers {
		list[i] = r
	}
	return list, nil
}

// Close implements sclib.Backend.
func (b *Backend) Close() error {
	b.readers = nil
	return nil
}

func (b *Backend) known(i instance) *reader {
	for _, r := range b.readers {
		if r.instance == i && !r.gone.Load() {
			return r
		}
	}
	return nil
}

// nameless is the name of a reader without one.
const nameless = "Smart card reader"

func (b *Backend) open(i instance) (*reader, error) {
	d, err := smartcard.Open(i.handle)
	if err != nil {
		return nil, err
	}
	status, err := d.Status()
	if errors.Is(err, smartcard.ErrRemoved) {
		return nil, err
	}
	name := status.Name
	if err != nil || name == "" {
		name = nameless
	}
	return &reader{instance: i, device: d, name: name, takeOver: b.options.TakeOver}, nil
}
