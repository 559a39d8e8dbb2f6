package xhci

import (
	"context"
	"time"

	"tamaccid/ccid/usb"
)

const (
	// commandWait bounds a command (policy). Address Device includes a request to a device, which
	// the controller bounds.
	commandWait = 5 * time.Second
	// abortWait bounds the abort of a command (xHCI 1.2, 4.6.1.2: 5 s). After it the controller
	// counts as failed.
	abortWait = 5 * time.Second
)

// commandState is the command in flight. There is at most one (c.commands), which makes events
// unambiguous.
type commandState struct {
	ring    *ring
	pending bool
	at      int
	event   trb
	done    chan struct{}
}

// lockCommands takes the right to issue commands and to use the input context. Without ctx (nil) it
// cannot be cancelled.
func (c *Controller) lockCommands(ctx context.Context) error {
	var ended <-chan struct{}
	if ctx != nil {
		ended = ctx.Done()
	}
	select {
	case <-c.gone:
		return c.Err()
	default:
	}
	select {
	case <-c.commands:
		return nil
	case <-ended:
		return ctx.Err()
	case <-c.gone:
		return c.Err()
	}
}

// unlockCommands ends lockCommands.
func (c *Controller) unlockCommands() { c.commands <- struct{}{} }

// issue executes a command and returns its event. c.commands is held. The error is a *CommandError
// if the completion code is not Success. The command is aborted when ctx ends (nil: never) or the
// time limit has passed; it may succeed nevertheless.
func (c *Controller) issue(ctx context.Context, t trb) (trb, error) {
	var ended <-chan struct{}
	if ctx != nil {
		if ended = ctx.Done(); ctx.Err() != nil {
			return trb{}, ctx.Err()
		}
	}
	if err := c.submit(t); err != nil {
		return trb{}, err
	}
	c.timer.Reset(commandWait)
	var late error
	select {
	case <-c.command.done:
	case <-ended:
		late = ctx.Err()
	case <-c.timer.C:
		late = usb.ErrTimeout
	case <-c.gone:
		c.timer.Stop()
		return trb{}, c.Err()
	}
	c.timer.Stop()
	if late != nil {
		if err := c.abort(t.kind()); err != nil {
			return trb{}, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.command.done: // received during the abort
	default:
	}
	e := c.command.event
	switch e.code() {
	case codeSuccess:
		return e, nil
	case codeAborted, codeInvalid:
		if late != nil {
			return trb{}, late
		}
	}
	return e, &CommandError{Command: t.kind().String(), Code: uint8(e.code())}
}

// submit puts a command into the ring and rings the doorbell.
func (c *Controller) submit(t trb) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	c.command.pending, c.command.event = true, trb{}
	c.command.at = c.command.ring.put(t)
	c.urgent++
	c.doorbell(0, 0)
	c.look()
	return nil
}

// commandEvent handles a command completion event. c.mu is held.
func (c *Controller) commandEvent(e trb) {
	at, ok := c.command.ring.index(e.parameter)
	if !ok || !c.command.pending || at != c.command.at ||
		e.code() == codeRingStopped {
		c.spurious++
		return
	}
	c.finish(e)
	c.command.done <- struct{}{} // has room: one for each command
}

// finish ends the command in flight. c.mu is held.
func (c *Controller) finish(e trb) {
	c.command.pending, c.command.event = false, e
	c.urgent--
}

// abort aborts the command in flight (xHCI 1.2, 4.6.1.2). c.command.event is then its event, or
// zero if the controller sent none. The ring continues at the next aligned TRB, because the pointer
// in CRCR has no lower bits (xHCI 1.2, 5.4.5).
func (c *Controller) abort(kind trbType) error {
	c.mu.Lock()
	if c.err != nil || !c.command.pending {
		c.mu.Unlock()
		return c.Err()
	}
	c.report(kind.String() + " command aborted")
	c.alignCommands()
	// All 64 bits: some controllers abort only when the upper half is written (Linux,
	// xhci_abort_cmd_ring). If the ring has already stopped, it continues here.
	c.writeOp64(opCRCR, c.command.ring.dequeue()|crcrCA)
	c.mu.Unlock()
	read := func() uint32 {
		select {
		case <-c.gone:
			return 0
		default:
			return c.readOp(opCRCR)
		}
	}
	err := c.wait(read, crcrCRR, 0, abortWait, usb.ErrTimeout)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	if err != nil {
		c.die(kind.String() + " command can not be aborted")
		return c.err
	}
	c.drain()
	if c.command.pending {
		c.finish(trb{})
	}
	c.alignCommands()
	c.writeOp64(opCRCR, c.command.ring.dequeue())
	return nil
}

// commandAlign is the alignment of the pointer in CRCR, in TRBs (xHCI 1.2, 5.4.5: 64 bytes).
const commandAlign = 64 / trbSize

// alignCommands fills the ring with No Ops up to an aligned TRB.
func (c *Controller) alignCommands() {
	for c.command.ring.next%commandAlign != 0 {
		c.command.ring.put(trb{control: cmdNoOp.bits()})
	}
}
