package xhci

import (
	"context"
	"fmt"
	"time"

	"tamaccid/ccid/usb"
)

// MaxTransfer implements usbhost.Device.
func (d *device) MaxTransfer() int { return maxTransfer }

// Control implements usbhost.Device.
func (d *device) Control(
	ctx context.Context, setup usb.Setup, data []byte, timeout time.Duration,
) (int, error) {
	if len(data) < int(setup.Length) {
		return 0, fmt.Errorf("%w: %d bytes of data for a length of %d",
			usb.ErrTransfer, len(data), setup.Length)
	}
	e, err := d.endpoint(defaultPipe)
	if err != nil {
		return 0, err
	}
	return e.transfer(ctx, setup, data[:setup.Length], setup.In(), timeout)
}

// Transfer implements usbhost.Device.
func (d *device) Transfer(
	ctx context.Context, endpoint uint8, buf []byte, timeout time.Duration,
) (int, error) {
	index := endpointIndex(endpoint)
	if index == defaultPipe {
		return 0, errNoEndpoint
	}
	if len(buf) > maxTransfer {
		return 0, fmt.Errorf("%w: %d bytes in one transfer", usb.ErrTransfer, len(buf))
	}
	e, err := d.endpoint(index)
	if err != nil {
		return 0, err
	}
	return e.transfer(ctx, usb.Setup{}, buf, endpoint&usb.DirIn != 0, timeout)
}

// transfer performs one transfer, including the copies between buf and DMA memory.
func (e *endpoint) transfer(
	ctx context.Context, setup usb.Setup, buf []byte, in bool, timeout time.Duration,
) (int, error) {
	if err := e.acquire(ctx); err != nil {
		return 0, err
	}
	defer e.release()
	switch {
	case e.halted:
		return 0, usb.ErrStall
	case e.broken:
		if err := e.recover(true); err != nil {
			return 0, err
		}
	}
	if err := e.grow(len(buf)); err != nil {
		return 0, err
	}
	used := len(buf)
	defer func() { e.wipe(used) }()
	if !in {
		e.copyOut(buf)
	}
	if err := e.submit(setup, len(buf), in); err != nil {
		return 0, err
	}
	if timeout > 0 {
		e.timer.Reset(timeout)
	}
	err := e.finish(e.await(ctx, timeout))
	e.timer.Stop()
	// A failed controller may still write to the memory until Close, which wipes it.
	if dead := e.d.c.Err(); dead != nil {
		return 0, dead
	}
	n := min(e.td.n, len(buf))
	if in {
		e.copyIn(buf[:n])
		if err == nil {
			used = n
		}
	}
	return n, err
}

// submit puts a transfer into the ring and rings the doorbell.
func (e *endpoint) submit(setup usb.Setup, n int, in bool) error {
	c := e.d.c
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return c.err
	case e.closed:
		return usb.ErrGone
	}
	if e.index == defaultPipe {
		e.queueControl(setup, n, in)
	} else {
		e.td = transfer{}
		e.ring.begin()
		e.queueData(trbNormal.bits(), n, in, true)
	}
	e.ring.commit()
	e.ringDoorbell()
	return nil
}

// ringDoorbell makes the controller execute the TRBs in the ring. c.mu is held.
func (e *endpoint) ringDoorbell() {
	c := e.d.c
	e.td.pending = true
	if e.urgentKind() {
		c.urgent++
	}
	c.doorbell(e.d.slot, uint32(e.index))
	c.look()
}

// await waits for the end of the transfer. The error is the reason to end it early.
func (e *endpoint) await(ctx context.Context, timeout time.Duration) error {
	var due <-chan time.Time
	if timeout > 0 {
		due = e.timer.C
	}
	select {
	case <-e.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-due:
		return usb.ErrTimeout
	case <-e.cancel:
		return context.Canceled
	case <-e.gone:
		return usb.ErrGone
	case <-e.d.c.gone:
		return e.d.c.Err()
	}
}

// finish recovers the endpoint if necessary and returns the result of the transfer. late is the
// error of await.
func (e *endpoint) finish(late error) error {
	if late != nil {
		e.recover(true)
	}
	switch code := e.td.code; code {
	case codeSuccess, codeShort:
		return nil
	case codeStall:
		if e.td.control {
			e.recover(false)
		} else {
			e.halted = true
		}
		return usb.ErrStall
	case codeStopped, codeStoppedLength, codeStoppedShort:
		if late != nil {
			return late
		}
		e.recover(true)
		return &TransferError{uint8(code)}
	default:
		if late == nil {
			e.recover(true)
		}
		if code == codeBabble {
			return usb.ErrBabble
		}
		return &TransferError{uint8(code)}
	}
}
