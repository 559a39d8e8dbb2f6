package reader

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tamaccid/ccid/usb"
)

// maxIn is the greatest IN transfer, as with UEFI firmware (policy).
const maxIn = 65536

// Open selects the setting of function n that its Model describes, and returns a transport to the
// interface for a class driver in the same program.
// After Unplug the transport stays unusable: Open again after Replug.
func (d *Device) Open(n int) (usb.Transport, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case !d.present:
		return nil, usb.ErrGone
	case n < 0 || n >= len(d.model.Functions):
		return nil, fmt.Errorf("reader: no interface %d", n)
	}
	m := &d.model
	setting := m.Functions[n].Setting
	if d.settings[n] != setting {
		d.selectSetting(n, setting)
	}
	return &transport{d: d, closed: make(chan struct{}), gone: d.gone, info: usb.Device{
		Descriptor: m.DeviceDescriptor(), Config: m.ConfigDescriptor(),
		Interface: uint8(n), AltSetting: setting, Speed: m.speed(),
		Manufacturer: m.Manufacturer, Product: m.ProductName, Serial: m.Serial,
		InterfaceName: m.Functions[n].Name, Path: "virtual",
	}}, nil
}

// transport is a usb.Transport that calls its device.
type transport struct {
	d      *Device
	info   usb.Device
	closed chan struct{} // closed by Close; nil for Device.In
	gone   chan struct{} // Device.gone at the time of Open
}

func (t *transport) Device() *usb.Device { return &t.info }

func (t *transport) MaxIn() int { return maxIn }

func (t *transport) Close() error {
	t.d.mu.Lock()
	defer t.d.mu.Unlock()
	if t.dead() {
		select {
		case <-t.closed:
			return nil
		default:
		}
	}
	close(t.closed)
	for _, q := range t.d.in {
		q.signal()
	}
	return nil
}

// dead reports whether the transport was closed or its device unplugged.
func (t *transport) dead() bool {
	select {
	case <-t.closed:
		return true
	case <-t.gone:
		return true
	default:
		return false
	}
}

// check returns the reason why no transfer is possible, or nil.
func (t *transport) check(ctx context.Context) error {
	if t.dead() {
		return usb.ErrGone
	}
	return ctx.Err()
}

func (t *transport) Control(
	ctx context.Context, setup usb.Setup, data []byte, timeout time.Duration,
) (int, error) {
	if err := t.check(ctx); err != nil {
		return 0, err
	}
	n, err := t.d.Control(setup, data)
	return n, t.wait(ctx, err, timeout)
}

func (t *transport) Out(
	ctx context.Context, endpoint uint8, buf []byte, timeout time.Duration,
) (int, error) {
	if err := t.check(ctx); err != nil {
		return 0, err
	}
	if err := t.wait(ctx, t.d.Out(endpoint, buf), timeout); err != nil {
		return 0, err
	}
	return len(buf), nil
}

// wait turns ErrBlocked into a wait that ends with the timeout, the device, the transport or ctx.
func (t *transport) wait(ctx context.Context, err error, timeout time.Duration) error {
	if !errors.Is(err, ErrBlocked) {
		return err
	}
	var due <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-due:
		return usb.ErrTimeout
	case <-t.gone:
		return usb.ErrGone
	case <-t.closed:
		return usb.ErrGone
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *transport) In(
	ctx context.Context, endpoint uint8, buf []byte, timeout time.Duration,
) (n int, err error) {
	if err := t.check(ctx); err != nil {
		return 0, err
	}
	t.d.mu.Lock()
	defer t.d.mu.Unlock()
	q := t.d.queue(endpoint)
	if q == nil || len(buf) == 0 || len(buf)%q.packet != 0 || len(buf) > maxIn {
		return 0, fmt.Errorf("%w: IN of %d bytes from endpoint %02X",
			usb.ErrTransfer, len(buf), endpoint)
	}
	return t.read(ctx, q, buf, timeout)
}

// read reads one transfer from a queue. A timeout of 0 means none. The device is locked, except
// while read waits.
func (t *transport) read(
	ctx context.Context, q *queue, buf []byte, timeout time.Duration,
) (n int, err error) {
	var end time.Time
	for {
		if t.dead() {
			return n, usb.ErrGone
		}
		var done bool
		var wait time.Duration
		n, done, wait, err = q.take(buf, n)
		switch {
		case done || err != nil:
			return n, err
		case ctx.Err() != nil:
			return n, ctx.Err()
		}
		if timeout > 0 {
			if end.IsZero() {
				end = time.Now().Add(timeout)
			}
			left := time.Until(end)
			if left <= 0 {
				return n, usb.ErrTimeout
			}
			if wait < 0 || left < wait {
				wait = left
			}
		}
		t.d.mu.Unlock()
		pause(ctx, q.wake, t.gone, wait)
		t.d.mu.Lock()
	}
}

func (t *transport) ClearHalt(ctx context.Context, endpoint uint8) error {
	if err := t.check(ctx); err != nil {
		return err
	}
	return t.d.ClearHalt(endpoint)
}
