package usbtest

import (
	"sync"
	"time"

	"tamaccid/baremetal/usbhost"
	"tamaccid/ccid/usb"
)

// world protects the state of all virtual buses. One lock is sufficient for their small load.
var world sync.Mutex

// node is a device on a port, while it is plugged in.
type node struct {
	device  Device
	port    *port
	packet0 int
	// atDefault: it responds at address 0. It was reset and has no address, or is in its recovery.
	atDefault bool
	reset     time.Time // end of the last reset; zero if the link was only trained
	addressed time.Time
}

// busReset resets the device. It is called with world locked.
func (n *node) busReset() {
	if h, ok := n.device.(*Hub); ok {
		h.lose() // BusReset locks world
		return
	}
	n.device.BusReset()
}

// port is a downstream port of a controller or a hub. It is protected by world.
type port struct {
	number     int
	super      bool
	controller func() *Controller // returns nil while a hub is not on a bus
	hub        *Hub               // nil for a controller's port
	changedIt  func()             // signals a change to the controller or hub
	resetTime  time.Duration
	trainTime  time.Duration // of a SuperSpeed link

	node   *node // the device, or nil
	status usbhost.PortStatus
	since  time.Time // of the connection
	ticket int       // of the last reset or training; the ends of earlier ones are ignored

	stuck   bool // each training ends in a stuck link, until a warm reset
	noReset bool // resets do not end
}

// change sets a change and signals it.
func (p *port) change(c usbhost.PortChange) {
	p.status.Change |= c
	p.changedIt()
}

func (p *port) sweep() {
	if c := p.controller(); c != nil {
		c.sweep()
	}
}

// power switches the power of the port.
func (p *port) power(on bool) {
	if p.status.Powered == on {
		return
	}
	p.status.Powered = on
	if on {
		p.appear()
	} else {
		p.vanish()
	}
}

// appear connects the device, if the port is powered.
func (p *port) appear() {
	if p.node == nil || !p.status.Powered || p.status.Connected {
		return
	}
	p.node.busReset() // it was not powered before
	p.node.atDefault = false
	if p.super {
		p.train(usbhost.ConnectChange)
		return
	}
	p.status.Connected, p.since = true, time.Now()
	p.change(usbhost.ConnectChange)
}

// train trains a SuperSpeed link, which enables the port.
func (p *port) train(c usbhost.PortChange) {
	p.ticket++
	ticket := p.ticket
	time.AfterFunc(p.trainTime, func() {
		world.Lock()
		defer world.Unlock()
		if ticket != p.ticket || p.node == nil || !p.status.Powered {
			return
		}
		p.status.Resetting = false
		p.status.Connected, p.since = true, time.Now()
		p.status.Stuck, p.status.Enabled = p.stuck, !p.stuck
		if p.status.Enabled {
			p.status.Speed = usb.SpeedSuper
			p.node.atDefault = true
		}
		p.change(c | usbhost.LinkChange)
	})
}

// vanish ends the connection.
func (p *port) vanish() {
	p.ticket++
	was := p.status.Connected
	p.status = usbhost.PortStatus{
		USB3: p.super, Powered: p.status.Powered, OverCurrent: p.status.OverCurrent,
		Change: p.status.Change,
	}
	if h, ok := p.deviceHub(); ok {
		h.lose()
	}
	if was {
		p.change(usbhost.ConnectChange)
	}
	p.sweep()
}

func (p *port) deviceHub() (*Hub, bool) {
	if p.node == nil {
		return nil, false
	}
	h, ok := p.node.device.(*Hub)
	return h, ok
}

// plug connects a device.
func (p *port) plug(d Device) {
	world.Lock()
	defer world.Unlock()
	p.unplug()
	p.node = &node{device: d, port: p}
	if h, ok := d.(*Hub); ok {
		h.at = p
	}
	p.appear()
}

func (p *port) unplug() {
	if p.node == nil {
		return
	}
	p.vanish()
	if h, ok := p.deviceHub(); ok {
		h.at = nil
	}
	p.node = nil
}

// bounce interrupts the connection.
func (p *port) bounce() {
	world.Lock()
	defer world.Unlock()
	p.vanish()
	p.appear()
}

// startReset starts a reset.
func (p *port) startReset(kind usbhost.Reset) {
	if !p.status.Connected || !p.status.Powered {
		return
	}
	c := p.controller()
	age := time.Since(p.since)
	// A device may have been plugged in during the request to the hub.
	if c != nil && !p.super && age < debounce && (p.hub == nil || age > c.model.ControlTime) {
		c.violate("port %s was reset %v after its connection, not %v", p.name(), age, debounce)
	}
	p.status.Enabled, p.status.Resetting = false, true
	p.node.atDefault = false
	if h, ok := p.deviceHub(); ok {
		h.lose()
	}
	p.sweep()
	if p.noReset {
		return
	}
	if p.super && kind == usbhost.WarmReset {
		p.stuck = false
	}
	p.ticket++
	ticket := p.ticket
	time.AfterFunc(p.resetTime, func() {
		world.Lock()
		defer world.Unlock()
		if ticket != p.ticket || !p.status.Resetting {
			return
		}
		p.status.Resetting, p.status.Enabled, p.status.Stuck = false, !p.stuck, p.stuck
		if p.status.Enabled {
			p.status.Speed = p.node.device.Speed()
			if p.hub != nil && p.hub.at != nil && !p.super {
				p.status.Speed = min(p.status.Speed, p.hub.at.status.Speed)
			}
			p.node.atDefault, p.node.reset = true, time.Now()
			p.node.busReset()
			p.collide()
		}
		p.change(usbhost.ResetChange)
	})
}

// collide counts the device if another one is at the default address.
func (p *port) collide() {
	if c := p.controller(); c != nil && !p.super && c.atDefault(p.node) {
		c.collisions++
	}
}

// debounce is TATTDB (USB 2.0, 7.1.7.3).
const debounce = 100 * time.Millisecond

func (p *port) disable() {
	if p.status.Enabled || p.status.Resetting {
		p.ticket++
		p.status.Enabled, p.status.Resetting = false, false
		if h, ok := p.deviceHub(); ok {
			h.lose()
		}
		p.sweep()
	}
}

// fault disables the port because of an error.
func (p *port) fault() {
	world.Lock()
	defer world.Unlock()
	if p.status.Enabled {
		p.disable()
		p.change(usbhost.EnableChange)
	}
}

// overCurrent starts or ends an over-current.
func (p *port) overCurrent(on bool) {
	world.Lock()
	defer world.Unlock()
	p.status.OverCurrent = on
	if on {
		p.power(false)
	}
	p.change(usbhost.OverCurrentChange)
}

// name has the port numbers on the path, "2.1".
func (p *port) name() string {
	s := string(rune('0' + p.number%10))
	if p.number > 9 {
		s = string(rune('0'+p.number/10)) + s
	}
	if p.hub != nil && p.hub.at != nil {
		s = p.hub.at.name() + "." + s
	}
	return s
}

// silent reports whether the device does not respond yet after a reset. world is held.
func (n *node) silent() bool {
	g, ok := n.device.(*Gadget)
	return ok && !n.reset.IsZero() && time.Since(n.reset) < g.Silence
}

// reachable reports whether all ports on the path are enabled.
func (n *node) reachable() bool {
	p := n.port
	if p == nil || p.node != n {
		return false
	}
	for p != nil && p.status.Enabled && p.status.Powered {
		if p.hub == nil {
			return true
		}
		p = p.hub.at
	}
	return false
}
