package xhci

// The states of an endpoint in the driver:
//
//	ready   no transfer is in flight; in the controller the endpoint is running or stopped, with
//	        its dequeue pointer at the next TRB
//	busy    one transfer is in flight
//	halted  the device has stalled it; transfers are rejected until ResetEndpoint
//	broken  recovery has failed, or the link is lost; the next transfer tries recovery again
//	closed  the device was released or has another configuration
//
//	event           | ready        | busy                   | halted       | broken       | closed
//	transfer        | busy         | (waits)                | ErrStall     | reset, busy  | ErrGone
//	short, done     |              | ready                  |              |              |
//	stall           |              | halted; default pipe:  |              |              |
//	                |              | reset, ready           |              |              |
//	fault           |              | reset, SEQ kept, ready |              |              |
//	timeout, cancel |              | stop, ready; the data  |              |              |
//	                |              | received count         |              |              |
//	ResetEndpoint   | DATA0, ready | (waits)                | reset, ready | reset, ready | ErrGone
//	close, Release  | closed       | stop, closed; ErrGone  | closed       | closed       |
//
// A fault is a transaction error, babble, or any other error of a transfer. The device has not
// stalled then, and continues with its sequence number. So must the controller (Reset Endpoint with
// TSP, xHCI 1.2, 4.6.8). The transfer itself is not continued (soft retry, xHCI 1.2, 4.6.8.1): the
// controller has tried three times, most often the device was unplugged, and then some controllers
// hang (Linux: XHCI_NO_SOFT_RETRY).
//
// After the controller was closed or has failed, every state is as closed, with the controller's
// error. The call that performs a transfer also recovers the endpoint, so that nothing is in flight
// when it returns.

import (
	"context"
	"fmt"
	"sync"
	"time"

	"tamaccid/baremetal/usbhost/hcd"
	"tamaccid/ccid/usb"
)

type endpoint struct {
	d          *device
	index      uint8 // of the doorbell and the context
	packet     int
	descriptor usb.Endpoint // not used for the default control pipe

	token  chan struct{} // the right to use the endpoint
	leaver sync.Once
	gone   chan struct{} // closed when the endpoint is closed
	cancel chan struct{} // a token ends the transfer in flight
	done   chan struct{} // a token: the transfer in flight has ended
	timer  *time.Timer

	ring   *ring
	pieces []hcd.Buffer // the data of transfers

	// Used with the token held.
	halted, broken bool

	// Used with c.mu held.
	closed bool
	inUse  bool // the token is held
	td     transfer
}

// newEndpoint allocates an endpoint.
func (d *device) newEndpoint(index uint8) (*endpoint, error) {
	e := &endpoint{
		d: d, index: index,
		token: make(chan struct{}, 1), gone: make(chan struct{}),
		cancel: make(chan struct{}, 1), done: make(chan struct{}, 1),
		timer: time.NewTimer(time.Hour),
	}
	e.timer.Stop()
	e.token <- struct{}{}
	var err error
	if e.ring, err = d.c.allocRing(); err != nil {
		return nil, err
	}
	return e, nil
}

// describe sets the endpoint's descriptor, and its packet size within the bounds of the speed.
func (e *endpoint) describe(w usb.Endpoint, s usb.Speed) {
	e.descriptor, e.packet = w, packetSize(w, s)
}

// urgentKind reports whether transfers are expected to end soon. Data of an interrupt endpoint may
// come at any time, or never.
func (e *endpoint) urgentKind() bool {
	return e.index == defaultPipe || e.descriptor.Type != usb.InterruptTransfer
}

// free frees the endpoint's memory.
func (e *endpoint) free() {
	for _, b := range e.pieces {
		e.d.c.free(b)
	}
	e.pieces = nil
	e.d.c.free(e.ring.buf)
}

// endpoint returns a configured endpoint.
func (d *device) endpoint(index uint8) (*endpoint, error) {
	d.c.mu.Lock()
	defer d.c.mu.Unlock()
	switch e := d.endpoints[index]; {
	case d.c.err != nil:
		return nil, d.c.err
	case d.released:
		return nil, usb.ErrGone
	case e == nil:
		return nil, errNoEndpoint
	default:
		return e, nil
	}
}

// errNoEndpoint: the endpoint is not configured.
var errNoEndpoint = fmt.Errorf("%w: endpoint not configured", usb.ErrTransfer)

// acquire takes the right to use the endpoint, and drops a cancellation of the previous user.
func (e *endpoint) acquire(ctx context.Context) error {
	c := e.d.c
	select {
	case <-e.token:
	case <-ctx.Done():
		return ctx.Err()
	case <-e.gone:
		return usb.ErrGone
	case <-c.gone:
		return c.Err()
	}
	c.mu.Lock()
	var err error
	switch {
	case c.err != nil:
		err = c.err
	case e.closed:
		err = usb.ErrGone
	default:
		e.inUse = true
		select {
		case <-e.cancel:
		default:
		}
	}
	c.mu.Unlock()
	if err != nil {
		e.token <- struct{}{}
	}
	return err
}

// release ends acquire.
func (e *endpoint) release() {
	e.d.c.mu.Lock()
	e.inUse = false
	e.d.c.mu.Unlock()
	e.token <- struct{}{}
}

// Cancel implements usbhost.Device.
func (d *device) Cancel(endpoint uint8) {
	d.c.mu.Lock()
	defer d.c.mu.Unlock()
	if e := d.endpoints[endpointIndex(endpoint)]; e != nil && e.inUse {
		select {
		case e.cancel <- struct{}{}:
		default:
		}
	}
}

// close ends the transfer in flight, and all later ones. c.mu is held.
func (e *endpoint) close() {
	if !e.closed {
		e.closed = true
		close(e.gone)
	}
}

// isClosed reports whether the endpoint was closed.
func (e *endpoint) isClosed() bool {
	select {
	case <-e.gone:
		return true
	default:
		return false
	}
}

// leave waits until no call uses a closed endpoint. None will later.
func (e *endpoint) leave() { e.leaver.Do(func() { <-e.token }) }
