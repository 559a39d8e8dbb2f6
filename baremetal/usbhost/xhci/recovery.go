package xhci

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tamaccid/baremetal/usbhost"
	"tamaccid/ccid/usb"
)

// hardware is the state of the endpoint in the device context, which the controller writes.
func (e *endpoint) hardware() hardwareState {
	at := int(e.index) * e.d.c.caps.context
	return hardwareState(loadWord(e.d.context.Bytes, at+endpointState) & stateMask)
}

// The number of attempts to stop an endpoint before the controller counts as failed, and the time
// between them (policy). A controller rejects Stop Endpoint while it is still starting the
// endpoint: up to 30 ms with NEC uPD720200 (Linux, xhci_handle_cmd_stop_ep).
const (
	recoveryTries = 100
	recoveryPause = time.Millisecond
)

// errNoLink: a halted endpoint stays halted.
var errNoLink = fmt.Errorf("%w: the root port has no link", usb.ErrTransfer)

// linked returns an error if the device's root port has lost its link. Then the endpoint is of no
// use any more, and its reset may stop the whole controller (Linux, xhci_handle_halted_endpoint).
func (d *device) linked() error {
	s, err := d.c.Port(int(d.at.RootPort))
	if err == nil && (!s.Enabled || s.Stuck) {
		err = errNoLink
	}
	return err
}

// recoverLocked stops the endpoint in the controller, whatever its state, and sets its dequeue
// pointer to the next TRB (xHCI 1.2, 4.6.8 - 4.6.10). preserve keeps the sequence number of a
// halted endpoint. A halted endpoint whose root port has no link stays halted. c.commands is held.
// When it returns, nothing is in flight, or the controller has failed.
func (e *endpoint) recoverLocked(preserve bool) error {
	c := e.d.c
	target := endpointBits(e.index) | slotBits(e.d.slot)
	starting := e.inFlight()
	var err error
	for try := range recoveryTries {
		state := e.hardware()
		if state == hwStopped && starting && try < recoveryTries-1 {
			// Its doorbell was rung. It will execute the TRBs in its ring, whatever its dequeue
			// pointer is set to now.
			state = hwRunning
		}
		switch state {
		case hwHalted:
			if err := e.d.linked(); err != nil {
				e.withdrawn()
				return err
			}
			t := trb{control: cmdResetEndpoint.bits() | target}
			if preserve {
				t.control |= trbPreserve
			}
			_, err = c.issue(nil, t)
			starting = starting && err != nil
		case hwRunning:
			_, err = c.issue(nil, trb{control: cmdStopEndpoint.bits() | target})
			starting = starting && err != nil
		case hwStopped, hwError:
			t := trb{parameter: e.ring.dequeue(), control: cmdSetDequeue.bits() | target}
			if _, err = c.issue(nil, t); err == nil {
				e.withdrawn()
				return nil
			}
		case hwDisabled:
			e.withdrawn()
			return errNoEndpoint
		}
		switch {
		case err == nil || isCode(err, codeContextState):
			if err != nil && try > 0 {
				time.Sleep(recoveryPause)
			}
		case isCode(err, codeSlotNotEnabled) || isCode(err, codeEndpointDisabled):
			e.withdrawn()
			return err
		case e.hardware() == hwRunning:
			return e.lost(err)
		default: // for example halted, and the device was removed: it stays halted
			e.withdrawn()
			return err
		}
	}
	if e.hardware() == hwRunning {
		return e.lost(err)
	}
	e.withdrawn()
	return fmt.Errorf("%w: endpoint cannot be recovered", usb.ErrTransfer)
}

// lost handles an endpoint that does not stop: only a halt of the controller ends its DMA.
func (e *endpoint) lost(err error) error {
	c := e.d.c
	c.mu.Lock()
	defer c.mu.Unlock()
	c.die(fmt.Sprintf("an endpoint does not stop: %v", err))
	return c.err
}

// recover is recoverLocked without c.commands held. No context cancels it, since a transfer may
// only return after it.
func (e *endpoint) recover(preserve bool) error {
	c := e.d.c
	if err := c.lockCommands(nil); err != nil {
		return err
	}
	defer c.unlockCommands()
	err := e.recoverLocked(preserve)
	e.broken = err != nil && !errors.Is(err, usbhost.ErrDead)
	return err
}

// ResetEndpoint implements usbhost.Device. Reset Endpoint sets a halted endpoint to DATA0. An
// endpoint that is not halted is dropped and added again for that (xHCI 1.2, 4.6.8, 4.6.6).
func (d *device) ResetEndpoint(ctx context.Context, endpoint uint8) error {
	c := d.c
	e, err := d.endpoint(endpointIndex(endpoint))
	if err != nil {
		return err
	}
	if err := e.acquire(ctx); err != nil {
		return err
	}
	defer e.release()
	if err := c.lockCommands(ctx); err != nil {
		return err
	}
	defer c.unlockCommands()
	reset := e.hardware() == hwHalted
	if err := e.recoverLocked(false); err != nil {
		e.broken = true
		return err
	}
	e.halted, e.broken = false, false
	if reset || e.index == defaultPipe {
		return nil
	}
	bit := uint32(1) << e.index
	c.startInput(bit, bit|addSlot)
	d.fillSlot(c.inputContext(0), d.lastEndpoint())
	e.fill(c.inputContext(int(e.index)), d.at.Speed)
	return d.command(ctx, cmdConfigureEndpoint)
}
