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
	Wide         bool // takes addresses of 64 bits
	PortPower    bool // ports have power switches, off after a reset
	SpeedTable   bool // names its speeds in a table, under numbers of its own
	Firmware     bool // is firmware's until it is asked for
	// Fail is told what the driver must not do.
	Fail func(format string, args ...any)
	// Faults is how it misbehaves; it may be changed with Controller.Set.
	Faults Faults
}

// Layout of the registers; a driver has to find it out.
const (
	capLength = 0x40
	portBase  = capLength + 0x400
	runtime   = 0x1000
	doorbells = 0x2000
	extended  = 0x4000
	Size      = 0x8000 // of the register space
)

// Controller is the controller. It is the driver's Registers.
type Controller struct {
	o   Options
	mem *Memory

	// Interrupt has a value when the controller has raised its interrupt.
	Interrupt chan struct{}

	mu     sync.Mutex
	moved  *sync.Cond // an endpoint or the commands came to rest
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
	active             int // endpoints and command rings at work
	log                []Done
	lean               bool
	filled             int
}

// Done is a command that was carried out.
type Done struct {
	Command int
	Slot    int
	Code    int
}

// New makes a controller that uses mem. Close ends what it has begun.
func New(mem *Memory, o Options) *Controller {
	if o.Version == 0 {
		o.Version = 0x0120
	}
	for _, v := range []struct {
		at   *int
		want int
	}{{&o.Slots, 8}, {&o.Ports2, 2}, {&o.Ports3, 2}} {
		if *v.at == 0 {
			*v.at = v.want
		}
	}
	c := &Controller{o: o, mem: mem, faults: o.Faults, Interrupt: make(chan struct{}, 1)}
	c.moved = sync.NewCond(&c.mu)
	for i := range o.Ports2 + o.Ports3 {
		c.ports = append(c.ports, &port{c: c, number: i + 1, super: i >= o.Ports2, power: !o.PortPower})
	}
	if o.Firmware {
		c.legacy, c.legacyCtl = 1<<16, 1<<0|1<<13|1<<15
	}
	c.reset()
	return c
}

// Close is the end of a test: nothing goes on afterwards.
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

// reset brings all into the initial state. What is plugged in is noticed anew.
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

func (c *Controller) running() bool {
	return c.usbcmd&1 != 0 && !c.removed && c.usbsts&(1<<2|1<<12) == 0
}

// halted is HCH: it stands still, and all that was at work has come to rest.
func (c *Controller) halted() bool { return !c.running() && c.active == 0 }

// Running says whether the controller may do DMA.
func (c *Controller) Running() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.removed && !c.halted()
}

// Log is what commands were carried out.
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
