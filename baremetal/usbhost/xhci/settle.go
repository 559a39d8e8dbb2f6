package xhci

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tamaccid/baremetal/usbhost"
	"tamaccid/ccid/usb"
)

// hardware is the state that the controller has written into the device's context.
func (e *endpoint) hardware() hardwareState {
	at := int(e.index) * e.d.c.caps.context
	return hardwareState(loadWord(e.d.context.Bytes, at+endpointState) & stateMask)
}

// How often an endpoint is asked to stop before the controller is given up, and the time between; policy. A controller may still be
// starting an endpoint that it is told to stop, and refuse; that has taken 30 ms.
const (
	settleTries = 100
	settlePause = time.Millisecond
)

// errNoLink is a halted endpoint that stays halted.
var errNoLink = fmt.Errorf("%w: the root port has no link", usb.ErrTransfer)

// linked is an error when the device's root port has lost its link: there is nothing to go on with then, and resets of endpoints may stop
// the whole controller (Linux, xhci_handle_halted_endpoint).
func (d *device) linked() error {
	s, err := d.c.Port(int(d.at.RootPort))
	if err == nil && (!s.Enabled || s.Stuck) {
		err = errNoLink
	}
	return err
}

// settle brings the endpoint's hardware to a stop, whatever its state, with its dequeue pointer where the next block goes
// (xHCI 1.2, 4.6.8 - 4.6.10). preserve keeps the sequence number of a halted one; that is left alone when its root port has no link.
// c.commands is held. Afterwards nothing is in flight, or the controller is no more.
func (e *endpoint) settle(preserve bool) error {
	c := e.d.c
	target := endpointBits(e.index) | slotBits(e.d.slot)
	starting := e.inFlight()
	var err error
	for try := range settleTries {
		state := e.hardware()
		if state == hwStopped && starting && try < settleTries-1 {
			state = hwRunning // its doorbell was rung, and it will work on what is in the ring, whatever its pointer is set to now
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
			if _, err = c.issue(nil, trb{parameter: e.ring.dequeue(), control: cmdSetDequeue.bits() | target}); err == nil {
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
				time.Sleep(settlePause)
			}
		case isCode(err, codeSlotNotEnabled) || isCode(err, codeEndpointDisabled):
			e.withdrawn()
			return err
		case e.hardware() == hwRunning:
			return e.lost(err)
		default: // halted, say, and the device gone: it stays so
			e.withdrawn()
			return err
		}
	}
	if e.hardware() == hwRunning {
		return e.lost(err)
	}
	e.withdrawn()
	return fmt.Errorf("%w: endpoint cannot be brought into order", usb.ErrTransfer)
}

// lost is an endpoint that does not stop: only the end of the controller stops its DMA.
func (e *endpoint) lost(err error) error {
	c := e.d.c
	c.mu.Lock()
	defer c.mu.Unlock()
	c.die(fmt.Sprintf("an endpoint does not stop: %v", err))
	return c.err
}

// recover is settle for those who do not hold c.commands. It does not look at a context: it is what a transfer owes.
func (e *endpoint) recover(preserve bool) error {
	c := e.d.c
	if err := c.lockCommands(nil); err != nil {
		return err
	}
	defer c.unlockCommands()
	err := e.settle(preserve)
	e.broken = err != nil && !errors.Is(err, usbhost.ErrDead)
	return err
}

// ResetEndpoint is usbhost.Device's. The reset of a halted endpoint starts with DATA0; one that is not halted is dropped and added
// again for that (xHCI 1.2, 4.6.8, 4.6.6).
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
	if err := e.settle(false); err != nil {
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
