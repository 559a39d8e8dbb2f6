package usbhost

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tamaccid/ccid/usb"
)

// Enumeration (USB 2.0, 9.1.2): from the connection of a device to the offer of its interfaces.

const (
	// enumerationTries is the number of resets and enumerations of a device before it is refused
	// (policy).
	enumerationTries = 3
	// addressLimit bounds NewDevice and Address: ten times what a device may take for SET_ADDRESS
	// (USB 2.0, 9.2.6.3: 50 ms; policy).
	addressLimit = 500 * time.Millisecond
)

// recoveries are the times between the reset of a device and the first request to it, one for each
// try. The first is resetRecovery. Some devices need longer before they respond at the default
// address, up to 140 ms: the others are policy.
var recoveries = [enumerationTries]time.Duration{
	resetRecovery, 50 * time.Millisecond, 200 * time.Millisecond,
}

// hopeless reports whether another attempt would fail too.
func hopeless(err error) bool {
	return errors.Is(err, ErrNoMemory) || errors.Is(err, ErrNoRoom) || errors.Is(err, errTiers)
}

// enumerate enumerates the device that was connected to the port.
func (p *port) enumerate(ctx context.Context, usb3 bool) {
	p.state = attaching
	if !usb3 && !p.debounce(ctx) {
		p.state = empty
		return
	}
	var err error
	for n := range enumerationTries {
		var d *device
		if d, err = p.try(ctx, n); err == nil {
			p.use(d)
			return
		}
		if ctx.Err() != nil || errors.Is(err, errDisconnected) {
			p.state, p.failures = empty, 0
			p.checkAgain() // it may be connected again
			return
		}
		if errors.Is(err, ErrDead) || errors.Is(err, errHub) {
			p.state = empty // not an error of the device
			return
		}
		if hopeless(err) {
			break
		}
	}
	p.refuse(ctx, usb3, err)
}

// use starts to use a device that was enumerated.
func (p *port) use(d *device) {
	p.setDevice(d)
	p.up.tree.report(Event{Kind: Found, Path: d.path, Device: &d.info})
	if d.downstream != nil {
		d.downstream.run()
		return
	}
	p.up.tree.offer(d)
}

// try makes one attempt to enumerate a device.
func (p *port) try(ctx context.Context, n int) (d *device, err error) {
	st, reset, release, err := p.enable(ctx, n)
	if err != nil {
		return nil, err
	}
	d = p.up.newDevice(p, p.number, st.Speed)
	addressed, finished := make(chan struct{}), make(chan error, 1)
	var recovery time.Duration
	if reset {
		recovery = recoveries[n]
	}
	go func() { finished <- p.up.tree.bringUp(d, recovery, addressed) }()
	err, left := p.watch(ctx, d, addressed, finished, release)
	if err == nil {
		return d, nil
	}
	d.cancel()
	d.remove()
	if !left && !st.USB3 {
		p.disable(ctx)
	}
	if !left {
		release(false)
	}
	return nil, err
}

// watch waits for the end of bringUp and observes the port at the same time. It releases the
// default address as soon as the device has left it; left reports whether it did.
func (p *port) watch(
	ctx context.Context, d *device,
	addressed <-chan struct{}, finished <-chan error, release func(addressed bool),
) (err error, left bool) {
	leave := func() {
		addressed, left = nil, true
		release(true)
	}
	// ended is called after bringUp has returned.
	ended := func() {
		if left {
			return
		}
		select {
		case <-addressed:
			leave()
		default:
		}
	}
	for {
		select {
		case <-addressed:
			leave()
			continue
		case err = <-finished:
			ended()
			if err == nil {
				return nil, left
			}
			finished = nil
		case <-p.wake:
		case <-ctx.Done():
			err = ctx.Err()
		}
		// A device that fails may have been unplugged.
		if ctx.Err() == nil {
			if st, failed := p.read(ctx); failed != nil {
				err = failed
			} else if disconnected(st) {
				err = errDisconnected
			} else if err == nil && !st.Enabled {
				err = errDisabled
			}
		}
		if err == nil {
			continue
		}
		if finished != nil {
			d.cancel()
			<-finished
			ended()
		}
		return err, left
	}
}

// bringUp moves a device from the Default state to the Configured state (USB 2.0, 9.1.1), after the
// recovery from the reset of its port. addressed is closed when it does not respond at the default
// address any more.
func (t *tree) bringUp(d *device, recovery time.Duration, addressed chan<- struct{}) error {
	if err := sleep(d.ctx, recovery); err != nil {
		return err
	}
	if err := t.setAddress(d); err != nil {
		return fmt.Errorf("address: %w", err)
	}
	if err := sleep(d.ctx, addressRecovery); err != nil {
		return err
	}
	close(addressed)
	if err := d.describe(t.options.Choose); err != nil {
		return err
	}
	if err := d.configure(); err != nil {
		return err
	}
	if d.parsed.Class != classHub {
		return nil
	}
	hub, err := t.newHub(t, d)
	if err != nil {
		return err
	}
	d.downstream = hub
	return nil
}

// setAddress moves the device to the Address state. Only one device at a time may be between
// NewDevice and the end of Address, also of the USB 3 devices.
func (t *tree) setAddress(d *device) error {
	if err := t.addressing.acquire(d.ctx, d.ctx); err != nil {
		return err
	}
	defer t.addressing.release()
	ctx, cancel := context.WithTimeout(d.ctx, addressLimit)
	defer cancel()
	hardware, err := t.controller.NewDevice(ctx, d.location)
	if err == nil {
		d.address, err = hardware.Address(ctx)
		if err != nil {
			hardware.Release()
			d.clearPipe0(0, err) // the request went to the default address
		} else {
			d.hardware = hardware
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = usb.ErrTimeout
	}
	return err
}
