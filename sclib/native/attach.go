package native

import (
	"context"
	"errors"

	"tamaccid/ccid"
)

// Attach runs the life of a reader on a USB host, if the interface is a reader, and returns when
// ctx ends: the device's context. Otherwise it returns at once, without an error. A USB host calls
// it for each interface:
//
//	usbhost.Options{Attach: func(ctx context.Context, i *usbhost.Interface) {
//		err := readers.Attach(ctx, i)
//		...
//	}}
//
// A reader that is plugged in again has its name again.
func (b *Backend) Attach(ctx context.Context, i ccid.USBInterface) error {
	err := ccid.Serve(ctx, i, ccid.Service{
		Options:  ccid.Options{Notifications: true},
		Units:    &b.units,
		Attached: func(r *ccid.Reader) error { b.Add(r); return nil },
		Detached: b.remove,
	})
	if errors.Is(err, ccid.ErrNotReader) {
		return nil
	}
	return err
}
