package usbhost

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"tamaccid/ccid/usb"
)

// A transport is a claimed interface.
//
//	event                  | transfers under way        | later calls  | the interface
//	Close                  | cancelled, ErrGone         | ErrGone      | can be claimed again when they have ended
//	the device has gone,   | ended by Device.Release,   | ErrGone      | stays claimed, of no use any more
//	the bus was closed     | ErrGone                    |              |
type transport struct {
	i         *Interface
	device    *device
	info      *usb.Device
	endpoints []usb.Endpoint
	ended     chan struct{} // closed by Close

	mu     sync.Mutex
	closed bool
	active int           // calls under way
	idle   chan struct{} // closed when the last one has returned, once closed
}

var _ usb.Transport = (*transport)(nil)

// clearLimit is for CLEAR_FEATURE, a request without data stage, ten times what a device has (USB 2.0, 9.2.6.4: 50 ms; policy).
const clearLimit = 500 * time.Millisecond

// cancelPause is how long Close waits before it cancels again: a call may have been about to begin its transfer (policy).
const cancelPause = time.Millisecond

func newTransport(i *Interface, setting *usb.Interface, info *usb.Device) *transport {
	return &transport{i: i, device: i.device, info: info, endpoints: setting.Endpoints, ended: make(chan struct{}), idle: make(chan struct{})}
}

// Device describes the device and the interface in its setting.
func (t *transport) Device() *usb.Device { return t.info }

// MaxIn is what the controller takes at once.
func (t *transport) MaxIn() int { return t.device.hardware.MaxTransfer() }

// enter begins a call.
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

// leave ends a call, and gives its error the meaning that the transport's end has for it. A transfer to a device that was unplugged
// fails like any other: only the port knows.
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

// Control does a control transfer, one at a time for all the interfaces of the device.
func (t *transport) Control(ctx context.Context, setup usb.Setup, data []byte, timeout time.Duration) (n int, err error) {
	if int(setup.Length) > len(data) {
		return 0, fmt.Errorf("%w: %d bytes for a data stage of %d", ErrUsage, len(data), setup.Length)
	}
	if err := t.enter(ctx); err != nil {
		return 0, err
	}
	n, err = t.control(ctx, setup, data[:setup.Length], timeout)
	return n, t.leave(ctx, err)
}

func (t *transport) control(ctx context.Context, setup usb.Setup, data []byte, timeout time.Duration) (n int, err error) {
	d := t.device
	if !d.pipe0.try() {
		if timeout, err = t.queue(ctx, timeout); err != nil {
			return 0, err
		}
	}
	d.own(t)
	n, err = d.control(ctx, setup, data, timeout)
	d.own(nil)
	d.pipe0.release()
	return n, err
}

// queue waits for the default pipe, and returns what is left of the timeout.
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

// endpoint finds an endpoint of the setting.
func (t *transport) endpoint(address uint8) *usb.Endpoint {
	for i := range t.endpoints {
		if t.endpoints[i].Address == address {
			return &t.endpoints[i]
		}
	}
	return nil
}

// In reads one transfer.
func (t *transport) In(ctx context.Context, endpoint uint8, buf []byte, timeout time.Duration) (n int, err error) {
	e := t.endpoint(endpoint)
	if e == nil || !e.In() || len(buf) == 0 || len(buf) > t.MaxIn() || len(buf)%int(e.MaxPacketSize) != 0 {
		return 0, fmt.Errorf("%w: %d bytes from endpoint %#02x", ErrUsage, len(buf), endpoint)
	}
	if err := t.enter(ctx); err != nil {
		return 0, err
	}
	n, err = t.device.transfer(ctx, e, buf, timeout)
	return n, t.leave(ctx, err)
}

// Out writes one transfer. Where it is longer than the controller takes at once it is cut at a multiple of the packet size, which
// the device cannot see.
func (t *transport) Out(ctx context.Context, endpoint uint8, buf []byte, timeout time.Duration) (n int, err error) {
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

func (t *transport) out(ctx context.Context, e *usb.Endpoint, buf []byte, timeout time.Duration) (n int, err error) {
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

// over says whether Close was called.
func (t *transport) over() bool {
	select {
	case <-t.ended:
		return true
	default:
		return false
	}
}

// ClearHalt ends a stall on both sides (USB 2.0, 5.8.5, 9.4.5).
func (t *transport) ClearHalt(ctx context.Context, endpoint uint8) error {
	if t.endpoint(endpoint) == nil {
		return fmt.Errorf("%w: endpoint %#02x", ErrUsage, endpoint)
	}
	if err := t.enter(ctx); err != nil {
		return err
	}
	setup := usb.Setup{RequestType: usb.DirOut | usb.TypeStandard | usb.ToEndpoint, Request: usb.RequestClearFeature,
		Value: usb.FeatureEndpointHalt, Index: uint16(endpoint)}
	_, err := t.control(ctx, setup, nil, clearLimit)
	if err == nil {
		err = t.device.hardware.ResetEndpoint(ctx, endpoint)
	}
	return t.leave(ctx, err)
}

// Close gives the interface back.
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
	t.i.release()
	return nil
}

// cancel ends the transfers that are under way.
func (t *transport) cancel() {
	for i := range t.endpoints {
		t.device.hardware.Cancel(t.endpoints[i].Address)
	}
	t.device.cancelControl(t)
}
