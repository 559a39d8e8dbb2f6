package xhcitest

import (
	"context"
	"sync"
	"time"
)

// Options describe a controller.
type Options struct {
	Version      uint16 // HCIVERSION, 0: 1.2
	Slots        int    // 0: 8
	Ports2       int    // USB 2 ports, the first ones; 0: 2
	Ports3       int    // SuperSpeed ports; 0: 2
	LongContexts bool   // contexts of 64 bytes
	Scratchpads  int
	Wide         bool // addresses have 64 bits
	PortPower    bool // ports have power switches, off after a reset
	SpeedTable   bool // has a table of speeds with IDs of its own
	Firmware     bool // is owned by firmware until the driver requests it
	// Fail is called for each violation of the specification by the driver.
	Fail func(format string, args ...any)
	// Faults are its deviations from the specification. Controller.Set changes them.
	Faults Faults
}

// Layout of the registers, which the driver must read from the capability registers.
const (
	capLength = 0x40
	portBase  = capLength + 0x400
	runtime   = 0x1000
	doorbells = 0x2000
	extended  = 0x4000
	Size      = 0x8000 // of the register space
)

// Controller is the model. It implements hcd.Registers.
type Controller struct {
	o   Options
	mem *Memory

	// Interrupt receives a value when the controller has raised its interrupt.
	Interrupt chan struct{}

	mu     sync.Mutex
	moved  *sync.Cond // an endpoint or the command ring has stopped
	faults Faults

	removed            bool
	usbcmd, usbsts     uint32 // without HCH, CNR
	legacy, legacyCtl  uint32
	notReadyUntil      time.Time
	resetUntil         time.Time
	crcr               uint64
	command            commandRing
	dcbaap             uint64
	config             uint32
	iman, imod, erstsz uint32
	erstba, erdp       uint64
	events             eventRing
	ports              []*port
	slots              []*slot // by slot ID
	run                context.Context
	stop               context.CancelFunc
	active             int // endpoints and command rings that run
	log                []Done
	lean               bool
	filled             int
}

// Done is a command that was executed.
type Done struct {
	Command int
	Slot    int
	Code    int
}

// New returns a controller that uses mem. Close ends its goroutines and timers.
func New(mem *Memory, o Options) *Controller {
	if o.Version == 0 {
		o.Version = 0x0120
	}
	for at, v := range map[*int]int{&o.Slots: 8, &o.Ports2: 2, &o.Ports3: 2} {
		if *at == 0 {
			*at = v
		}
	}
	c := &Controller{o: o, mem: mem, faults: o.Faults, Interrupt: make(chan struct{}, 1)}
	c.moved = sync.NewCond(&c.mu)
	for i := range o.Ports2 + o.Ports3 {
		c.ports = append(c.ports,
			&port{c: c, number: i + 1, super: i >= o.Ports2, power: !o.PortPower})
	}
	if o.Firmware {
		c.legacy, c.legacyCtl = 1<<16, 1<<0|1<<13|1<<15
	}
	c.reset()
	return c
}

// Close ends all goroutines and timers, at the end of a test.
func (c *Controller) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removed = true
	c.stop()
	for _, p := range c.ports {
		if p.timer != nil {
			p.timer.Stop()
		}
	}
	for c.active > 0 {
		c.moved.Wait()
	}
}

// reset resets all to the initial state. The ports detect their devices again.
func (c *Controller) reset() {
	if c.stop != nil {
		c.stop()
	}
	c.run, c.stop = context.WithCancel(context.Background())
	c.usbcmd, c.usbsts, c.crcr, c.dcbaap, c.config = 0, 0, 0, 0, 0
	c.iman, c.imod, c.erstsz, c.erstba, c.erdp = 0, 4000, 0, 0, 0
	c.events, c.command = eventRing{}, commandRing{}
	c.slots = make([]*slot, c.o.Slots+1)
	for _, p := range c.ports {
		p.reset()
	}
}

// running reports whether the controller executes TRBs. c.mu is held.
func (c *Controller) running() bool {
	return c.usbcmd&1 != 0 && !c.removed && c.usbsts&(1<<2|1<<12) == 0
}

// halted is HCH: the controller has stopped, and so have all endpoints and the command ring.
func (c *Controller) halted() bool { return !c.running() && c.active == 0 }

// Running reports whether DMA may be in progress.
func (c *Controller) Running() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.removed && !c.halted()
}

// Log is the list of executed commands.
func (c *Controller) Log() []Done {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Done(nil), c.log...)
}

func (c *Controller) fail(format string, args ...any) {
	if c.o.Fail != nil {
		c.o.Fail("xhcitest: "+format, args...)
	}
}
