package usbtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"tamaccid/baremetal/usbhost"
	"tamaccid/ccid/usb"
)

// Model describes a controller. Zero times stand for those of ordinary hardware.
type Model struct {
	Name string
	// USB2 and USB3 are the numbers of ports of each kind. The USB 2 ports come first.
	USB2, USB3 int
	// ControlTime and TransferTime are how long a control transfer and another one take at least; 0: 1 ms and 125 µs.
	ControlTime, TransferTime time.Duration
	ResetTime                 time.Duration // of a port; 0: 50 ms
	PowerGood                 time.Duration // from power on to good; 0: 20 ms
	MaxTransfer               int           // 0: 65,536
	Slots                     int           // how many devices there may be; 0: 32
	PowerOff                  bool          // ports are without power at first
	// Step, if set, is called at each thing that the bus does, before it is done, one after the other. It may plug and unplug.
	Step func(*Step)
}

// Step is something that the bus does.
type Step struct {
	// Do is what: "reset", "new device", "address", "control", "transfer", "packet size", "hub", "configure", "reset endpoint".
	Do       string
	At       time.Duration // since New
	Device   Device        // nil when there is none
	Port     string        // "2.1"
	Setup    usb.Setup     // of a control transfer
	Endpoint uint8
	Hub      usbhost.HubInfo
	Location usbhost.Location
	// Err, set by Model.Step, is the result, in place of the thing itself. ErrBlocked is none until the bus gives up.
	Err error
}

// Controller is a virtual host controller.
type Controller struct {
	model   Model
	ports   []*port
	changes chan struct{}
	start   time.Time

	stepping sync.Mutex // held while Model.Step runs

	// world protects these.
	handles    map[*handle]bool
	log        []Step
	violations []string
	collisions int
	blocked    int
	inAddress  int
	dead       error
	closed     bool
}

var _ usbhost.Controller = (*Controller)(nil)

// New makes a controller.
func New(m Model) *Controller {
	defaults := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	defaults(&m.ControlTime, time.Millisecond)
	defaults(&m.TransferTime, 125*time.Microsecond)
	defaults(&m.ResetTime, 50*time.Millisecond)
	defaults(&m.PowerGood, 20*time.Millisecond)
	if m.MaxTransfer == 0 {
		m.MaxTransfer = 65536
	}
	if m.Slots == 0 {
		m.Slots = 32
	}
	if m.Name == "" {
		m.Name = "virtual"
	}
	c := &Controller{model: m, changes: make(chan struct{}, 1), start: time.Now(), handles: map[*handle]bool{}}
	for n := 1; n <= m.USB2+m.USB3; n++ {
		super := n > m.USB2
		c.ports = append(c.ports, &port{number: n, super: super, controller: func() *Controller { return c }, changedIt: c.signal,
			resetTime: m.ResetTime, trainTime: trainTime, status: usbhost.PortStatus{USB3: super, Powered: !m.PowerOff}})
	}
	return c
}

// signal says that a port has changed. It is called with world locked.
func (c *Controller) signal() {
	if c.closed || c.dead != nil {
		return
	}
	select {
	case c.changes <- struct{}{}:
	default:
	}
}

func (c *Controller) violate(format string, args ...any) {
	c.violations = append(c.violations, fmt.Sprintf("%v: ", time.Since(c.start))+fmt.Sprintf(format, args...))
}

// Violations are the rules that were broken.
func (c *Controller) Violations() []string {
	world.Lock()
	defer world.Unlock()
	return append([]string(nil), c.violations...)
}

// Collisions is how often a device came to the default address while another one was there.
func (c *Controller) Collisions() int {
	world.Lock()
	defer world.Unlock()
	return c.collisions
}

// Blocked is how many transfers failed since the buffer of their transaction translator was busy.
func (c *Controller) Blocked() int {
	world.Lock()
	defer world.Unlock()
	return c.blocked
}

// Log is what was done.
func (c *Controller) Log() []Step {
	world.Lock()
	defer world.Unlock()
	return append([]Step(nil), c.log...)
}

// Slots is how many devices the controller has room taken for.
func (c *Controller) Slots() int {
	world.Lock()
	defer world.Unlock()
	return len(c.handles)
}

// Plug puts a device into a root port.
func (c *Controller) Plug(port int, d Device) { c.ports[port-1].plug(d) }

// Unplug takes the device out of a root port.
func (c *Controller) Unplug(port int) {
	world.Lock()
	defer world.Unlock()
	c.ports[port-1].unplug()
}

// Bounce is a contact of a root port that is open for a moment.
func (c *Controller) Bounce(port int) { c.ports[port-1].bounce() }

// Fault disables a root port as an error does.
func (c *Controller) Fault(port int) { c.ports[port-1].fault() }

// OverCurrent begins or ends too high a current at a root port.
func (c *Controller) OverCurrent(port int, on bool) { c.ports[port-1].overCurrent(on) }

// Stick makes a USB 3 port's link end up stuck until a warm reset.
func (c *Controller) Stick(port int) {
	world.Lock()
	defer world.Unlock()
	c.ports[port-1].stuck = true
}

// JamReset makes resets of a port never end.
func (c *Controller) JamReset(port int) {
	world.Lock()
	defer world.Unlock()
	c.ports[port-1].noReset = true
}

// Kill is the sudden death of the controller.
func (c *Controller) Kill(why error) {
	world.Lock()
	defer world.Unlock()
	if c.closed || c.dead != nil {
		return
	}
	c.dead = fmt.Errorf("%w: %w", usbhost.ErrDead, why)
	c.endAll(c.dead)
	close(c.changes)
}

func (c *Controller) endAll(err error) {
	for h := range c.handles {
		h.end(err)
	}
}

// sweep ends the transfers of devices that are no longer there. It is called with world locked.
func (c *Controller) sweep() {
	for h := range c.handles {
		if !h.node.reachable() {
			h.end(usb.ErrTransfer)
		}
	}
}

// atDefault says whether another USB 2 device than n is at the default address.
func (c *Controller) atDefault(n *node) bool {
	found := false
	var visit func(ports []*port)
	visit = func(ports []*port) {
		for _, p := range ports {
			if p.node == nil || p.super {
				continue
			}
			if p.node != n && p.node.atDefault && p.node.reachable() {
				found = true
			}
			if h, ok := p.deviceHub(); ok {
				visit(h.ports)
			}
		}
	}
	visit(c.ports)
	return found
}

// step records what the bus does and lets the test have its say. It is called without world.
func (c *Controller) step(s Step) error {
	s.At = time.Since(c.start)
	if c.model.Step != nil {
		c.stepping.Lock()
		c.model.Step(&s)
		c.stepping.Unlock()
	}
	world.Lock()
	c.log = append(c.log, s)
	world.Unlock()
	return s.Err
}

// Name, Ports and so on are those of usbhost.Controller.
func (c *Controller) Name() string { return c.model.Name }

// Ports is the number of root ports.
func (c *Controller) Ports() int { return len(c.ports) }

// do runs f on a port.
func (c *Controller) do(number int, f func(p *port)) error {
	world.Lock()
	defer world.Unlock()
	switch {
	case c.dead != nil:
		return c.dead
	case c.closed:
		return usb.ErrGone
	}
	f(c.ports[number-1])
	return nil
}

// Port reads a port's state.
func (c *Controller) Port(number int) (st usbhost.PortStatus, err error) {
	err = c.do(number, func(p *port) { st = p.status })
	return st, err
}

// SetPower switches a port's power.
func (c *Controller) SetPower(number int, on bool) error {
	return c.do(number, func(p *port) { p.power(on) })
}

// PowerGood is the model's.
func (c *Controller) PowerGood() time.Duration { return c.model.PowerGood }

// StartReset begins a reset.
func (c *Controller) StartReset(number int, kind usbhost.Reset) error {
	_ = c.step(Step{Do: "reset", Port: fmt.Sprint(number)})
	return c.do(number, func(p *port) { p.startReset(kind) })
}

// Disable ends the traffic on a port.
func (c *Controller) Disable(number int) error {
	return c.do(number, func(p *port) { p.disable() })
}

// Acknowledge clears changes.
func (c *Controller) Acknowledge(number int, changes usbhost.PortChange) error {
	return c.do(number, func(p *port) { p.status.Change &^= changes })
}

// Changes has a token when a port has changed.
func (c *Controller) Changes() <-chan struct{} { return c.changes }

// Close stops everything.
func (c *Controller) Close() error {
	world.Lock()
	defer world.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	if len(c.handles) > 0 {
		c.violate("closed with %d devices", len(c.handles))
	}
	c.endAll(usb.ErrGone)
	if c.dead == nil {
		close(c.changes)
	}
	return nil
}

// Err is why it has died.
func (c *Controller) Err() error {
	world.Lock()
	defer world.Unlock()
	return c.dead
}

// Halt makes the controller fail.
func (c *Controller) Halt() { c.Kill(errors.New("halted")) }

// Wipe does nothing: the model keeps no data.
func (c *Controller) Wipe() {}

// sleep waits, or returns the reason why ctx has ended.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
