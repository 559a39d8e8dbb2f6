package xhci

import (
	"context"
	"time"

	"tamaccid/ccid/usb"
)

// Bounds of a command; policy. Address Device talks to a device, which may take its time: the controller gives up by itself. One that does
// not even stop for an abort is dead (xHCI 1.2, 4.6.1.2: 5 s).
const (
	commandWait = 5 * time.Second
	abortWait   = 5 * time.Second
)

// commandState is the command in flight; there is one at most (c.commands), so that events are easily told apart.
type commandState struct {
	ring    *ring
	pending bool
	at      int
	event   trb
	done    chan struct{}
}

// lockCommands takes the right to issue commands, and to fill the input context. Unless it is taken for cleaning up (nil), the
// caller's patience counts.
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

func (c *Controller) unlockCommands() { c.commands <- struct{}{} }

// issue carries a command out; c.commands is held. The error is a *CommandError unless the command's code is a success. When ctx ends
// (nil: it does not), or the controller takes too long, the command is aborted; it may succeed all the same.
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
	case <-c.command.done: // come while the command was aborted
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

// submit puts a command into the ring and rings its doorbell.
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

// commandEvent ends the command in flight, if the event is for it. c.mu is held.
func (c *Controller) commandEvent(e trb) {
	at, ok := c.command.ring.index(e.parameter)
	if !ok || !c.command.pending || at != c.command.at || e.code() == codeRingStopped {
		c.spurious++
		return
	}
	c.finish(e)
	c.command.done <- struct{}{} // has room: one for each command
}

func (c *Controller) finish(e trb) {
	c.command.pending, c.command.event = false, e
	c.urgent--
}

// abort ends the command in flight (xHCI 1.2, 4.6.1.2), whose outcome is in c.command.event then: none when the controller said
// nothing. The ring goes on at its next aligned block, since a stopped ring's pointer has no bits for others (xHCI 1.2, 5.4.5).
func (c *Controller) abort(kind trbType) error {
	c.mu.Lock()
	if c.err != nil || !c.command.pending {
		c.mu.Unlock()
		return c.Err()
	}
	c.report(kind.String() + " command aborted")
	c.alignCommands()
	// All 64 bits: some controllers act only when the upper half is written (Linux, xhci_abort_cmd_ring). Should the ring have stopped by
	// now, this is where it goes on.
	c.writeOp64(opCRCR, c.command.ring.dequeue()|crcrAbort)
	c.mu.Unlock()
	read := func() uint32 {
		select {
		case <-c.gone:
			return 0
		default:
			return c.readOp(opCRCR)
		}
	}
	err := c.wait(read, crcrRunning, 0, abortWait, usb.ErrTimeout)
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

// commandAlign is what a pointer in CRCR is a multiple of, in blocks of the ring (xHCI 1.2, 5.4.5: 64 bytes).
const commandAlign = 64 / trbSize

// alignCommands fills the ring up to a block that CRCR can point to.
func (c *Controller) alignCommands() {
	for c.command.ring.next%commandAlign != 0 {
		c.command.ring.put(trb{control: cmdNoOp.bits()})
	}
}
