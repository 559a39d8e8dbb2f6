package xhcitest

import (
	"time"

	"tamaccid/baremetal/usbhost/usbtest"
	"tamaccid/ccid/usb"
)

// port is a root port (xHCI 1.2, 4.19, 5.4.8).
type port struct {
	c      *Controller
	number int
	super  bool
	power  bool

	device  usbtest.Device
	enabled bool
	busy    bool // in reset
	link    uint32
	changes uint32 // bits 17 to 23
	current bool   // over-current
	timer   *time.Timer
}

// Link states, and the duration of a reset (xHCI 1.2, table 5-27; USB 2.0, 7.1.7.5).
const (
	linkActive   = 0
	linkDisabled = 4
	linkDetect   = 5
	linkInactive = 6
	linkPolling  = 7

	resetTime = 50 * time.Millisecond
	changeAll = 0x7F << 17
)

// reset handles a reset of the controller: the port detects its device again.
func (p *port) reset() {
	if p.timer != nil {
		p.timer.Stop()
	}
	p.power = !p.c.o.PortPower
	p.enabled, p.busy, p.changes, p.link = false, false, 0, linkDetect
	p.connect()
}

// connect detects the device, if the port is powered. A SuperSpeed link trains by itself.
func (p *port) connect() {
	if p.device == nil || !p.power {
		return
	}
	p.changes |= 1 << 17
	p.link = linkPolling
	if p.super {
		p.enabled, p.link = true, linkActive
		p.device.BusReset()
	}
	p.announce()
}

// Attach connects a device to a port, or disconnects it (nil).
func (c *Controller) Attach(number int, d usbtest.Device) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.ports[number-1]
	if p.device != nil {
		c.detach(p)
	}
	p.device = d
	p.connect()
}

func (c *Controller) detach(p *port) {
	p.device = nil
	if p.timer != nil {
		p.timer.Stop()
	}
	if p.enabled && !p.super {
		p.changes |= 1 << 18
	}
	p.enabled, p.busy, p.link = false, false, linkDetect
	p.changes |= 1 << 17
	// Devices behind this port do not respond any more.
	for _, s := range c.slots {
		if s != nil && s.port == p.number {
			s.unplugged()
		}
	}
	p.announce()
}

// Hurt makes a SuperSpeed link inactive, until a warm reset.
func (c *Controller) Hurt(number int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.ports[number-1]
	p.enabled, p.link = false, linkInactive
	p.changes |= 1 << 22
	p.announce()
}

// OverCurrent starts or ends an over-current of a port.
func (c *Controller) OverCurrent(number int, on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.ports[number-1]
	p.current, p.power = on, p.power && !on
	p.changes |= 1 << 20
	p.announce()
}

func (p *port) changed() bool { return p.changes != 0 }

// announce posts a Port Status Change event.
func (p *port) announce() {
	c := p.c
	if c.running() {
		c.usbsts |= 1 << 4
		if !c.faults.DropPorts {
			c.post(uint64(p.number)<<24, 1<<24, 34<<10)
		}
	}
}

func (p *port) read() uint32 {
	v := flag(p.device != nil && p.power, 0) | flag(p.enabled, 1) | flag(p.current, 3) |
		flag(p.busy, 4) | p.link<<5 |
		flag(p.power, 9) | p.changes
	if p.enabled {
		v |= p.speed() << 10
	}
	return v
}

// speed is the speed ID of the device.
func (p *port) speed() uint32 {
	own := p.c.o.SpeedTable
	switch p.device.Speed() {
	case usb.SpeedLow:
		if own {
			return 5
		}
		return 2
	case usb.SpeedFull:
		if own {
			return 6
		}
		return 1
	case usb.SpeedHigh:
		if own {
			return 7
		}
		return 3
	}
	if own {
		return 9
	}
	return 4
}

func (p *port) write(v uint32) {
	if v&(1<<2|1<<28|1<<29) != 0 {
		p.c.fail("PORTSC %d: reserved bits in %#x", p.number, v)
	}
	p.changes &^= v & changeAll
	switch power := v&(1<<9) != 0; {
	case !p.c.o.PortPower && !power:
		p.c.fail("PORTSC %d: power off without a switch", p.number)
	case power && !p.power:
		p.power = true
		p.connect()
	case !power && p.power:
		p.power, p.enabled, p.link = false, false, linkDisabled
	}
	if v&(1<<1) != 0 { // RW1C: this disables
		p.enabled, p.link = false, linkDisabled
	}
	switch {
	case v&(1<<31) != 0 && !p.super:
		p.c.fail("PORTSC %d: warm reset of a USB 2 port", p.number)
	case v&(1<<4|1<<31) != 0 && p.busy:
		p.c.fail("PORTSC %d: reset within a reset", p.number)
	case v&(1<<4|1<<31) != 0 && p.power:
		p.begin(v&(1<<31) != 0)
	}
}

func (p *port) begin(warm bool) {
	p.busy, p.enabled = true, false
	p.timer = time.AfterFunc(resetTime, func() {
		p.c.mu.Lock()
		defer p.c.mu.Unlock()
		if !p.busy {
			return
		}
		p.busy = false
		p.changes |= 1 << 21
		if warm {
			p.changes |= 1 << 19
		}
		if p.device != nil {
			p.enabled, p.link = true, linkActive
			p.device.BusReset()
		}
		p.announce()
	})
}

// behind returns the device at a route string (USB 3.2, 8.9), or nil.
func (c *Controller) behind(number int, route uint32) usbtest.Device {
	if number < 1 || number > len(c.ports) || !c.ports[number-1].enabled {
		return nil
	}
	d := c.ports[number-1].device
	for ; route != 0 && d != nil; route >>= 4 {
		h, ok := d.(*usbtest.Hub)
		if !ok {
			return nil
		}
		d = h.Child(int(route & 0xF))
	}
	return d
}
