package xhci

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/hcd"
)

// Controller is an extensible host controller. It implements usbhost.Controller.
type Controller struct {
	regs hcd.Registers
	mem  hcd.Memory
	o    hcd.Options
	caps capabilities

	contexts    hcd.Buffer   // device context base address array (xHCI 1.2, 6.1)
	scratchpads []hcd.Buffer // the array of pointers first (xHCI 1.2, 4.20)
	input       hcd.Buffer   // input context; used with commands held

	commands chan struct{} // a token: the right to issue a command
	timer    *time.Timer   // of the command

	halted atomic.Bool // by Halt
	wake   chan struct{}
	gone   chan struct{} // closed when the controller was closed or has failed
	pumped chan struct{} // closed when the pump has ended

	mu       sync.Mutex // for all below, and for all rings
	err      error      // why it was closed or has failed
	closed   bool
	changes  chan struct{}
	events   eventRing
	command  commandState
	slots    []*device // by slot ID; slot 0 does not exist
	urgent   int       // commands and transfers that a call waits for
	restarts uint32    // counts commands and transfers, to restart the pump's polling
	spurious uint32    // events that were dropped
}

var _ usbhost.Controller = (*Controller)(nil)

// New takes a controller from firmware, resets and starts it. Nothing else may use the controller.
// Close releases all memory of mem, and so does New before it returns an error.
func New(regs hcd.Registers, mem hcd.Memory, o hcd.Options) (*Controller, error) {
	caps, err := readCapabilities(regs, o.Size)
	if err != nil {
		return nil, err
	}
	c := &Controller{
		regs: regs, mem: mem, o: o, caps: caps,
		commands: make(chan struct{}, 1), timer: time.NewTimer(time.Hour),
		wake: make(chan struct{}, 1), changes: make(chan struct{}, 1),
		gone: make(chan struct{}), pumped: make(chan struct{}),
		slots: make([]*device, caps.slots+1),
	}
	c.timer.Stop()
	c.command.done = make(chan struct{}, 1)
	if err := c.start(); err != nil {
		c.release(c.stop())
		return nil, fmt.Errorf("%s: %w", c.Name(), err)
	}
	c.changes <- struct{}{} // for devices that are already connected
	c.commands <- struct{}{}
	go c.pump()
	return c, nil
}

// Name implements usbhost.Controller.
func (c *Controller) Name() string {
	name := fmt.Sprintf("xHCI %x.%02x", c.caps.version>>8, c.caps.version&0xFF)
	if c.o.Name != "" {
		name += " at " + c.o.Name
	}
	return name
}

// Changes implements usbhost.Controller.
func (c *Controller) Changes() <-chan struct{} { return c.changes }

// Err implements usbhost.Controller.
func (c *Controller) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close implements usbhost.Controller.
func (c *Controller) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		<-c.pumped
		return nil
	}
	c.closed = true
	c.end("closed")
	devices := make([]*device, 0, len(c.slots))
	for i, d := range c.slots {
		if d != nil {
			devices = append(devices, d)
			c.slots[i] = nil
		}
	}
	c.mu.Unlock()
	<-c.pumped
	<-c.commands // for good: the input context is not used any more
	stopped := c.stop()
	for _, d := range devices {
		d.leave()
		if stopped {
			d.free()
		}
	}
	c.release(stopped)
	if !stopped {
		return fmt.Errorf("%s: %w: it does not stop, and keeps its memory",
			c.Name(), usbhost.ErrDead)
	}
	return nil
}

// end marks the controller as closed or failed: all waits end. c.mu is held.
func (c *Controller) end(why string) {
	if c.err != nil {
		return
	}
	c.err = &deadError{why}
	close(c.gone)
	close(c.changes)
}

// die ends a controller that has failed, and stops it as far as possible. c.mu is held.
func (c *Controller) die(why string) {
	if c.err != nil {
		return
	}
	c.report(why)
	c.end(why)
	c.writeOp(opUSBCmd, 0)
}

// changed sends to Changes. c.mu is held.
func (c *Controller) changed() {
	if c.err != nil {
		return
	}
	select {
	case c.changes <- struct{}{}:
	default:
	}
}

func (c *Controller) report(message string) {
	if c.o.Report != nil {
		c.o.Report(c.Name() + ": " + message)
	}
}

// release frees the memory that does not belong to a device, unless the controller may still write
// to it.
func (c *Controller) release(stopped bool) {
	if !stopped {
		return
	}
	for _, b := range []hcd.Buffer{c.contexts, c.input, c.events.buf, c.events.table} {
		c.free(b)
	}
	if c.command.ring != nil {
		c.free(c.command.ring.buf)
	}
	for _, b := range c.scratchpads {
		c.free(b)
	}
	c.scratchpads, c.command.ring = nil, nil
	c.contexts, c.input, c.events = hcd.Buffer{}, hcd.Buffer{}, eventRing{}
}

func (c *Controller) free(b hcd.Buffer) {
	if b.Bytes != nil {
		c.mem.Free(b)
	}
}

// reachable returns an error if the controller cannot address b (AC64, xHCI 1.2, 5.3.6).
func (c *Controller) reachable(b hcd.Buffer) error {
	end := b.Bus + uint64(len(b.Bytes))
	if !c.caps.ac64 && (end > 1<<32 || end < b.Bus) {
		return fmt.Errorf("%w: bus address %#x is beyond 32 bits", usbhost.ErrNoMemory, b.Bus)
	}
	return nil
}

// alloc allocates memory that the controller can address.
func (c *Controller) alloc(size, align int) (hcd.Buffer, error) {
	b, err := c.mem.Alloc(size, align)
	if err != nil {
		return b, err
	}
	if err := c.reachable(b); err != nil {
		c.mem.Free(b)
		return hcd.Buffer{}, err
	}
	return b, nil
}

// allocRing allocates a command or transfer ring.
func (c *Controller) allocRing() (*ring, error) {
	buf, err := c.alloc(ringBytes, ringAlign)
	if err != nil {
		return nil, err
	}
	return &ring{buf: buf, cycle: trbCycle}, nil
}
