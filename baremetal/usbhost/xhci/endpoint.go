package xhci

// An endpoint, as the driver sees it:
//
//	ready   nothing is in flight; the controller's state is running or stopped, its dequeue pointer where the next block goes
//	busy    one transfer is in flight
//	halted  the device has stalled it; transfers are refused until ResetEndpoint
//	broken  it could not be brought into order after a failure, or its link is lost; the next transfer tries again
//	closed  the device was released or has another configuration
//
//	state   transfer      short, done    stall            fault            timeout, cancel   ResetEndpoint    close, Release
//	ready   busy                                                                             DATA0, ready     closed
//	busy    (waits)       ready          halted; the      reset, SEQ kept, stop, ready;      (waits)          stop, closed;
//	                                     default pipe:    ready            what came counts                   ErrGone
//	                                     reset, ready
//	halted  ErrStall                                                                         reset, ready     closed
//	broken  reset, busy                                                                      reset, ready     closed
//	closed  ErrGone                                                                          ErrGone
//
// A fault is a transaction error, babble, or what else ends a transfer. The device has not stalled then, and goes on with the
// sequence number that it has: the controller must too (Reset Endpoint with TSP, xHCI 1.2, 4.6.8). It is not told to go on with the
// same transfer (soft retry, xHCI 1.2, 4.6.8.1): it has tried three times, most often the device was unplugged, and then some controllers
// hang (Linux: XHCI_NO_SOFT_RETRY).
//
// When the controller is no more every state is as closed, with its error. The caller of a transfer brings the endpoint into order before
// it returns; that is why nothing is in flight then.

import (
	"context"
	"fmt"
	"sync"
	"time"

	"tamaccid/baremetal/usbhost"
	"tamaccid/ccid/usb"
)

type endpoint struct {
	d          *device
	index      uint8 // of the doorbell and the context
	packet     int
	descriptor usb.Endpoint // not of the default pipe

	token  chan struct{} // the right to use it
	leaver sync.Once
	gone   chan struct{} // closed with it
	cancel chan struct{} // a token ends the transfer in flight
	done   chan struct{} // a token: the transfer in flight has ended
	timer  *time.Timer

	ring   *ring
	pieces []usbhost.Buffer // what transfers are copied to and from

	// These belong to who has the token.
	halted, broken bool

	// These are c.mu's.
	closed bool
	inUse  bool // somebody has the token
	td     transfer
}

func (d *device) newEndpoint(index uint8) (*endpoint, error) {
	e := &endpoint{
		d: d, index: index,
		token: make(chan struct{}, 1), gone: make(chan struct{}), cancel: make(chan struct{}, 1), done: make(chan struct{}, 1),
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

// describe takes over what the device says of the endpoint, within the bounds of its speed.
func (e *endpoint) describe(w usb.Endpoint, s usb.Speed) {
	e.descriptor, e.packet = w, packetSize(w, s)
}

// urgentKind says whether somebody waits for its transfers: what an interrupt endpoint has may come at any time, or never.
func (e *endpoint) urgentKind() bool {
	return e.index == defaultPipe || e.descriptor.Type != usb.InterruptTransfer
}

// free gives the memory back.
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

// errNoEndpoint is a caller's mistake, or a device without the endpoint that it promised.
var errNoEndpoint = fmt.Errorf("%w: endpoint not configured", usb.ErrTransfer)

// acquire takes the right to use an endpoint, and drops what was meant for the user before.
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

func (e *endpoint) release() {
	e.d.c.mu.Lock()
	e.inUse = false
	e.d.c.mu.Unlock()
	e.token <- struct{}{}
}

// Cancel is usbhost.Device's.
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

// close ends the transfer in flight and all later ones. c.mu is held.
func (e *endpoint) close() {
	if !e.closed {
		e.closed = true
		close(e.gone)
	}
}

func (e *endpoint) isClosed() bool {
	select {
	case <-e.gone:
		return true
	default:
		return false
	}
}

// leave waits until nobody uses a closed endpoint, and then nobody ever will.
func (e *endpoint) leave() { e.leaver.Do(func() { <-e.token }) }
