package xhci

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"tamaccid/baremetal/usbhost"
)

// Options are what a board knows of a controller.
type Options struct {
	// Name says where it is, for messages: "PCI 0000:00:04.0".
	Name string
	// Size is the length of the register space in bytes, 0 when it is not known. Nothing beyond is accessed.
	Size uint32
	// Interrupt has a value whenever the controller has raised its interrupt. Nil: it raises none, and is polled.
	Interrupt <-chan struct{}
	// Clock counts nanoseconds. Halt bounds its wait by it, or by a count of register reads when it is nil.
	Clock func() int64
	// Report, if set, hears what is not as it should be, though work goes on or the controller is given up: a line for a log.
	// It is called from the controller's goroutines and must not call the controller.
	Report func(message string)
}

// Controller is an extensible host controller. It implements usbhost.Controller.
type Controller struct {
	regs Registers
	mem  usbhost.Memory
	o    Options
	caps capabilities

	contexts    usbhost.Buffer   // device context base address array (xHCI 1.2, 6.1)
	scratchpads []usbhost.Buffer // the array of pointers first (xHCI 1.2, 4.20)
	input       usbhost.Buffer   // input context; belongs to who holds commands

	commands chan struct{} // a token: the right to issue a command
	timer    *time.Timer   // of the command

	halted atomic.Bool // by Halt
	wake   chan struct{}
	gone   chan struct{} // closed when the controller is no more
	pumped chan struct{} // closed when the pump has ended

	mu       sync.Mutex // for all below, and for all rings
	err      error      // why it is no more
	closed   bool
	changes  chan struct{}
	events   eventRing
	command  commandState
	slots    []*device // by slot ID; 0 is nobody
	urgent   int       // commands and transfers that somebody waits for
	restarts uint32    // of the pump's patience: counts what was begun
	spurious uint32    // events that belong to nothing
}

var _ usbhost.Controller = (*Controller)(nil)

// New takes a controller over, from firmware too, resets and starts it. Nobody else may use it. What it got from mem is given
// back by Close, or before New returns an error.
func New(regs Registers, mem usbhost.Memory, o Options) (*Controller, error) {
	caps, err := readCapabilities(regs, o.Size)
	if err != nil {
		return nil, err
	}
	c := &Controller{
		regs: regs, mem: mem, o: o, caps: caps,
		commands: make(chan struct{}, 1), wake: make(chan struct{}, 1), changes: make(chan struct{}, 1),
		gone: make(chan struct{}), pumped: make(chan struct{}),
		slots: make([]*device, caps.slots+1), timer: time.NewTimer(time.Hour),
	}
	c.timer.Stop()
	c.command.done = make(chan struct{}, 1)
	if err := c.start(); err != nil {
		c.release(c.stop())
		return nil, fmt.Errorf("%s: %w", c.Name(), err)
	}
	c.changes <- struct{}{} // whatever was connected before
	c.commands <- struct{}{}
	go c.pump()
	return c, nil
}

// Name is usbhost.Controller's.
func (c *Controller) Name() string {
	name := fmt.Sprintf("xHCI %x.%02x", c.caps.version>>8, c.caps.version&0xFF)
	if c.o.Name != "" {
		name += " at " + c.o.Name
	}
	return name
}

// Changes is usbhost.Controller's.
func (c *Controller) Changes() <-chan struct{} { return c.changes }

// Err is usbhost.Controller's.
func (c *Controller) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close is usbhost.Controller's.
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
	<-c.commands // for good: nobody fills the input context any more
	stopped := c.stop()
	for _, d := range devices {
		d.leave()
		if stopped {
			d.free()
		}
	}
	c.release(stopped)
	if !stopped {
		return fmt.Errorf("%s: %w: it does not stop, and keeps its memory", c.Name(), usbhost.ErrDead)
	}
	return nil
}

// end makes the controller one that is no more: all that waits for it goes on. c.mu is held.
func (c *Controller) end(why string) {
	if c.err != nil {
		return
	}
	c.err = &deadError{why}
	close(c.gone)
	close(c.changes)
}

// die ends a controller that does not work any more, and stops it as far as it can be. c.mu is held.
func (c *Controller) die(why string) {
	if c.err != nil {
		return
	}
	c.report(why)
	c.end(why)
	c.writeOp(opUSBCmd, 0)
}

// changed leaves a token for the bus. c.mu is held.
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

// release gives back the memory that is not a device's, unless the controller may still write to it.
func (c *Controller) release(stopped bool) {
	if !stopped {
		return
	}
	for _, b := range []usbhost.Buffer{c.contexts, c.input, c.events.buf, c.events.table} {
		c.free(b)
	}
	if c.command.ring != nil {
		c.free(c.command.ring.buf)
	}
	for _, b := range c.scratchpads {
		c.free(b)
	}
	c.scratchpads, c.command.ring = nil, nil
	c.contexts, c.input, c.events = usbhost.Buffer{}, usbhost.Buffer{}, eventRing{}
}

func (c *Controller) free(b usbhost.Buffer) {
	if b.Bytes != nil {
		c.mem.Free(b)
	}
}

// reachable is an error when the controller cannot address b (AC64, xHCI 1.2, 5.3.6).
func (c *Controller) reachable(b usbhost.Buffer) error {
	if end := b.Bus + uint64(len(b.Bytes)); !c.caps.wide && (end > 1<<32 || end < b.Bus) {
		return fmt.Errorf("%w: bus address %#x is beyond 32 bits", usbhost.ErrNoMemory, b.Bus)
	}
	return nil
}

// alloc is Memory's Alloc, of what the controller can reach.
func (c *Controller) alloc(size, align int) (usbhost.Buffer, error) {
	b, err := c.mem.Alloc(size, align)
	if err != nil {
		return b, err
	}
	if err := c.reachable(b); err != nil {
		c.mem.Free(b)
		return usbhost.Buffer{}, err
	}
	return b, nil
}

// allocRing is newRing in memory that the controller can reach.
func (c *Controller) allocRing() (*ring, error) {
	buf, err := c.alloc(ringBytes, ringAlign)
	if err != nil {
		return nil, err
	}
	return &ring{buf: buf, cycle: trbCycle}, nil
}
