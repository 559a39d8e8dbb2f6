package ccid

import (
	"context"
	"errors"
	"time"

	"tamaccid/ccid/internal/wait"
	"tamaccid/ccid/usb"
)

// The life of a reader on a USB host. Each step begins when the one above it has succeeded; the
// last column is done in reverse order when a step fails or panics, or the context ends:
//
//	step                                      undone by
//	Match                                     -
//	USBInterface.ClaimSetting                 Transport.Close
//	Units.Take                                Units.Release
//	Open                                      Reader.Close
//	Service.Attached                          Service.Detached
//	USBInterface.Ready                        -
//	the device's context ends                 all of the above
//
// The number is released first of all when a reader goes: the next reader may be plugged in while
// Detached waits.

// A USBInterface is one interface of a configured device on a USB host. *usbhost.Interface is one.
type USBInterface interface {
	// Device describes the device, and the interface in its default setting. It is read only.
	Device() *usb.Device
	// ClaimSetting selects an alternate setting and gives the interface to one user, who closes
	// the Transport in the end.
	ClaimSetting(ctx context.Context, alt uint8) (usb.Transport, error)
	// Ready reports to the host that it need not wait any longer for this interface. It may be
	// called more than once.
	Ready()
}

// A Service is what a program does with the readers on a USB host.
type Service struct {
	// Options are those of Open. Serve sets Unit.
	Options Options
	// Units numbers the readers: one for all interfaces of a program.
	Units *Units
	// Attached is called when the reader is open. An error ends the reader's life. Serve closes the
	// reader.
	Attached func(r *Reader) error
	// Detached is called once after Attached, even if that has failed: at the end of the device's
	// context.
	Detached func(r *Reader)
	// Retry, if set, reports whether an attempt that failed with err is repeated a second later.
	// failed counts the attempts. The host does not wait for the interface any longer then.
	Retry func(err error, failed int) bool
}

// ErrNotReader is Serve's error for an interface that is not a reader.
var ErrNotReader = errors.New("ccid: not a smart card reader")

// Limits of Serve (policy).
const (
	// claimLimit is how long it may take to claim an interface: twice as long as SET_INTERFACE may
	// (USB 2.0, 9.2.6.1: 5 s). Open has a bound of its own, Timing.Open.
	claimLimit = 10 * time.Second
	// attachRetry is the pause before a repeated attempt.
	attachRetry = time.Second
)

// Serve runs the whole life of a reader, if the interface is one: it claims the interface, opens
// the reader and returns when ctx has ended. ctx is the device's: the host ends it when the device
// is unplugged, and errors that follow from that are not returned. A panic passes through Serve,
// and leaves nothing open.
func Serve(ctx context.Context, i USBInterface, s Service) error {
	dev := i.Device()
	alt, ok := Match(dev.Config, dev.Interface)
	if !ok {
		return ErrNotReader
	}
	for failed := 1; ; failed++ {
		err := s.attempt(ctx, i, alt)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		if s.Retry == nil || !s.Retry(err, failed) {
			return err
		}
		i.Ready()
		if wait.Pause(ctx, attachRetry) != nil {
			return nil
		}
	}
}

func (s *Service) attempt(ctx context.Context, i USBInterface, alt uint8) error {
	r, err := s.open(ctx, i, alt)
	if err != nil {
		return err
	}
	defer r.Close() // an error is of no interest: the reader has gone, or the host ends its use
	defer s.Detached(r)
	defer s.Units.Release(r.o.Unit)
	if err := s.Attached(r); err != nil {
		return err
	}
	i.Ready()
	<-ctx.Done()
	return nil
}

func (s *Service) open(ctx context.Context, i USBInterface, alt uint8) (r *Reader, err error) {
	claim, cancel := context.WithTimeout(ctx, claimLimit)
	defer cancel()
	t, err := i.ClaimSetting(claim, alt)
	if err != nil {
		return nil, err
	}
	o := s.Options
	o.Unit = s.Units.Take()
	defer func() { // after a panic too
		if r == nil {
			s.Units.Release(o.Unit)
			t.Close()
		}
	}()
	return Open(ctx, t, o)
}
