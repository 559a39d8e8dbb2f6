package usbtest

import (
	"sync"
	"time"

	"tamaccid/baremetal/usbhost"
	"tamaccid/ccid/usb"
)

// world protects the state of all virtual buses: what happens on one is little.
var world sync.Mutex

// node is a device on a port, from its plugging in to its unplugging.
type node struct {
	device  Device
	port    *port
	packet0 int
	// atDefault says that it answers at address 0: it was reset, and has no address yet, or not long enough.
	atDefault bool
	reset     time.Time // the last one's end; zero for a link that was only trained
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

// port is a downstream port of a controller or a hub. world protects it.
type port struct {
	number     int
	super      bool
	controller func() *Controller // nil while a hub is not on a bus
	hub        *Hub               // nil for a controller's port
	changedIt  func()             // tells the controller or hub
	resetTime  time.Duration
	trainTime  time.Duration // of a SuperSpeed link

	node   *node // what is plugged in, powered or not
	status usbhost.PortStatus
	since  time.Time // of the connection
	ticket int       // of the last reset or training: an earlier one's end is of no interest

	stuck   bool // each training ends in a stuck link, until a warm reset
	noReset bool // a reset never ends
}

func (p *port) change(c usbhost.PortChange) {
	p.status.Change |= c
	p.changedIt()
}

func (p *port) sweep() {
	if c := p.controller(); c != nil {
		c.sweep()
	}
}

// power switches the port.
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

// appear is a device that shows that it is there.
func (p *port) appear() {
	if p.node == nil || !p.status.Powered || p.status.Connected {
		return
	}
	p.node.busReset() // it had no power
	p.node.atDefault = false
	if p.super {
		p.train(usbhost.ConnectChange)
		return
	}
	p.status.Connected, p.since = true, time.Now()
	p.change(usbhost.ConnectChange)
}

// train is a SuperSpeed link on its way to a port that is enabled.
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

// vanish is a connection that is no more.
func (p *port) vanish() {
	p.ticket++
	was := p.status.Connected
	p.status.Connected, p.status.Enabled, p.status.Resetting, p.status.Stuck = false, false, false, false
	p.status.Speed = usb.SpeedUnknown
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

// plug puts a device in.
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

// bounce is a contact that was open for a moment.
func (p *port) bounce() {
	world.Lock()
	defer world.Unlock()
	p.vanish()
	p.appear()
}

// startReset begins a reset.
func (p *port) startReset(kind usbhost.Reset) {
	if !p.status.Connected || !p.status.Powered {
		return
	}
	c := p.controller()
	// What was plugged in while the request was on its way, the bus cannot know.
	if unknown := p.hub != nil && c != nil && time.Since(p.since) <= c.model.ControlTime; c != nil && !p.super && !unknown && time.Since(p.since) < debounce {
		c.violate("port %s was reset %v after its connection, not %v", p.name(), time.Since(p.since), debounce)
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

// collide counts devices that come to the default address while another one is there.
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

// fault is a port that the hub or controller disables because of an error.
func (p *port) fault() {
	world.Lock()
	defer world.Unlock()
	if p.status.Enabled {
		p.disable()
		p.change(usbhost.EnableChange)
	}
}

// overCurrent is too much current drawn, or its end.
func (p *port) overCurrent(on bool) {
	world.Lock()
	defer world.Unlock()
	p.status.OverCurrent = on
	if on {
		p.power(false)
	}
	p.change(usbhost.OverCurrentChange)
}

// name is the port numbers on the way, "2.1".
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

// reachable says whether all ports on the way are enabled.
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
