package usbhost

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"tamaccid/ccid/usb"
)

// ErrUsage: the interface has no such endpoint or setting, or the size of the buffer is invalid.
var ErrUsage = errors.New("usb: no such endpoint or setting, or bad buffer size")

// A transport is a claimed interface.
//
//	event                  | transfers in progress    | later calls | the interface
//	Close                  | cancelled, ErrGone       | ErrGone     | can be claimed again then
//	the device is removed, | ended by Device.Release, | ErrGone     | stays claimed
//	the bus is closed      | ErrGone                  |             |
type transport struct {
	device    *device
	info      *usb.Device
	endpoints []usb.Endpoint
	release   func()        // ends the claim
	ended     chan struct{} // closed by Close

	mu     sync.Mutex
	closed bool
	active int           // calls in progress
	idle   chan struct{} // closed after Close when no call is in progress
}

var _ usb.Transport = (*transport)(nil)

// clearLimit bounds CLEAR_FEATURE, a request without data stage: ten times what a device may take
// (USB 2.0, 9.2.6.4: 50 ms; policy).
const clearLimit = 500 * time.Millisecond

// cancelPause is the time between two cancellations by Close: a call may just be about to start its
// transfer (policy).
const cancelPause = time.Millisecond

func newTransport(
	d *device, info *usb.Device, endpoints []usb.Endpoint, release func(),
) *transport {
	return &transport{device: d, info: info, endpoints: endpoints, release: release,
		ended: make(chan struct{}), idle: make(chan struct{})}
}

// Device describes the device and the claimed setting of the interface.
func (t *transport) Device() *usb.Device { return t.info }

// MaxIn is the largest transfer of the controller, in bytes.
func (t *transport) MaxIn() int { return t.device.hardware.MaxTransfer() }

// enter starts a call.
func (t *transport) enter(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || t.device.away.Load() {
		return usb.ErrGone
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	t.active++
	return nil
}

// leave ends a call and replaces its error by usb.ErrGone if the transport has ended. A transfer to
// a device that was unplugged fails like any other, so the port is inspected after one.
func (t *transport) leave(ctx context.Context, err error) error {
	if errors.Is(err, usb.ErrTransfer) && !t.device.away.Load() {
		t.device.port.inspect(ctx, t.device)
	}
	t.mu.Lock()
	t.active--
	closed := t.closed
	if closed && t.active == 0 {
		close(t.idle)
	}
	t.mu.Unlock()
	switch {
	case err == nil:
		return nil
	case closed, t.device.away.Load(), errors.Is(err, ErrDead):
		return usb.ErrGone
	}
	return err
}

// Control performs a control transfer. The interfaces of a device take turns.
func (t *transport) Control(
	ctx context.Context, setup usb.Setup, data []byte, timeout time.Duration,
) (n int, err error) {
	if int(setup.Length) > len(data) {
		return 0, fmt.Errorf("%w: %d bytes for a data stage of %d",
			ErrUsage, len(data), setup.Length)
	}
	if err := t.enter(ctx); err != nil {
		return 0, err
	}
	n, err = t.control(ctx, setup, data[:setup.Length], timeout)
	return n, t.leave(ctx, err)
}

func (t *transport) control(
	ctx context.Context, setup usb.Setup, data []byte, timeout time.Duration,
) (n int, err error) {
	d := t.device
	if !d.pipe0.try() {
		if timeout, err = t.queue(ctx, timeout); err != nil {
			return 0, err
		}
	}
	d.setOwner(t)
	n, err = d.control(ctx, setup, data, timeout)
	d.setOwner(nil)
	d.pipe0.release()
	return n, err
}

// queue waits for the default control pipe and returns the rest of the timeout.
func (t *transport) queue(ctx context.Context, timeout time.Duration) (time.Duration, error) {
	began := time.Now()
	var late <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case t.device.pipe0 <- struct{}{}:
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-t.device.ctx.Done():
		return 0, usb.ErrGone
	case <-t.ended:
		return 0, usb.ErrGone
	case <-late:
		return 0, usb.ErrTimeout
	}
	if timeout > 0 {
		if timeout -= time.Since(began); timeout <= 0 {
			t.device.pipe0.release()
			return 0, usb.ErrTimeout
		}
	}
	return timeout, nil
}

// endpoint returns an endpoint of the setting, nil if there is none.
func (t *transport) endpoint(address uint8) *usb.Endpoint {
	for i := range t.endpoints {
		if t.endpoints[i].Address == address {
			return &t.endpoints[i]
		}
	}
	return nil
}

// In reads one transfer.
func (t *transport) In(
	ctx context.Context, endpoint uint8, buf []byte, timeout time.Duration,
) (n int, err error) {
	e := t.endpoint(endpoint)
	if e == nil || !e.In() ||
		len(buf) == 0 || len(buf) > t.MaxIn() || len(buf)%int(e.MaxPacketSize) != 0 {
		return 0, fmt.Errorf("%w: %d bytes from endpoint %#02x", ErrUsage, len(buf), endpoint)
	}
	if err := t.enter(ctx); err != nil {
		return 0, err
	}
	n, err = t.device.transfer(ctx, e, buf, timeout)
	return n, t.leave(ctx, err)
}

// Out writes one transfer. A transfer longer than the controller's largest is split at a multiple
// of the packet size, which the device cannot observe.
func (t *transport) Out(
	ctx context.Context, endpoint uint8, buf []byte, timeout time.Duration,
) (n int, err error) {
	e := t.endpoint(endpoint)
	if e == nil || e.In() {
		return 0, fmt.Errorf("%w: %d bytes to endpoint %#02x", ErrUsage, len(buf), endpoint)
	}
	if err := t.enter(ctx); err != nil {
		return 0, err
	}
	n, err = t.out(ctx, e, buf, timeout)
	return n, t.leave(ctx, err)
}

func (t *transport) out(
	ctx context.Context, e *usb.Endpoint, buf []byte, timeout time.Duration,
) (n int, err error) {
	most := t.MaxIn() / int(e.MaxPacketSize) * int(e.MaxPacketSize)
	if len(buf) <= most {
		return t.device.transfer(ctx, e, buf, timeout)
	}
	if most == 0 {
		return 0, fmt.Errorf("%w: packets of %d bytes", ErrUsage, e.MaxPacketSize)
	}
	began := time.Now()
	for n < len(buf) {
		left := timeout
		if timeout > 0 {
			if left -= time.Since(began); left <= 0 {
				return n, usb.ErrTimeout
			}
		}
		piece := buf[n:min(len(buf), n+most)]
		k, err := t.device.transfer(ctx, e, piece, left)
		n += k
		if err != nil {
			return n, err
		}
		if k < len(piece) {
			return n, fmt.Errorf("%w: %d bytes of %d written", usb.ErrTransfer, n, len(buf))
		}
		if t.over() {
			return n, usb.ErrGone
		}
	}
	return n, nil
}

// over reports whether Close was called.
func (t *transport) over() bool {
	select {
	case <-t.ended:
		return true
	default:
		return false
	}
}

// ClearHalt ends a halt on both sides (USB 2.0, 5.8.5, 9.4.5).
func (t *transport) ClearHalt(ctx context.Context, endpoint uint8) error {
	if t.endpoint(endpoint) == nil {
		return fmt.Errorf("%w: endpoint %#02x", ErrUsage, endpoint)
	}
	if err := t.enter(ctx); err != nil {
		return err
	}
	_, err := t.control(ctx, clearHalt(endpoint), nil, clearLimit)
	if err == nil {
		err = t.device.hardware.ResetEndpoint(ctx, endpoint)
	}
	return t.leave(ctx, err)
}

// Close ends the claim.
func (t *transport) Close() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		<-t.idle
		return nil
	}
	t.closed = true
	close(t.ended)
	busy := t.active > 0
	if !busy {
		close(t.idle)
	}
	t.mu.Unlock()
	for busy {
		t.cancel()
		pause := time.NewTimer(cancelPause)
		select {
		case <-t.idle:
			busy = false
		case <-pause.C:
		}
		pause.Stop()
	}
	t.release()
	return nil
}

// cancel ends the transfers in progress.
func (t *transport) cancel() {
	for i := range t.endpoints {
		t.device.hardware.Cancel(t.endpoints[i].Address)
	}
	t.device.cancelControl(t)
}
