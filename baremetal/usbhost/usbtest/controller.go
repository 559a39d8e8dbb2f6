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

// Model describes a controller. Zero times are those of ordinary hardware.
type Model struct {
	Name string
	// USB2 and USB3 are the numbers of ports of each kind. The USB 2 ports have the lower numbers.
	USB2, USB3 int
	// ControlTime and TransferTime are the shortest durations of a control transfer and of any
	// other transfer; 0: 1 ms and 125 µs.
	ControlTime, TransferTime time.Duration
	ResetTime                 time.Duration // of a port; 0: 50 ms
	PowerGood                 time.Duration // from power on to good; 0: 20 ms
	MaxTransfer               int           // 0: 65,536
	Slots                     int           // the largest number of devices; 0: 32
	PowerOff                  bool          // the ports are initially not powered
	// Step, if set, is called before each action of the bus. Calls do not overlap. It may plug and
	// unplug devices.
	Step func(*Step)
}

// Step is an action of the bus.
type Step struct {
	// Do is the kind: "reset", "new device", "address", "control", "transfer", "packet size",
	// "hub", "configure", "reset endpoint".
	Do       string
	At       time.Duration // since New
	Device   Device        // nil when there is none
	Port     string        // "2.1"
	Setup    usb.Setup     // of a control transfer
	Endpoint uint8
	Hub      usbhost.HubInfo
	Location usbhost.Location
	// Err, set by Model.Step, is the result of the action, which is then not performed. ErrBlocked
	// is no result until the bus ends the action.
	Err error
}

// Controller is a virtual host controller.
type Controller struct {
	model   Model
	ports   []*port
	changes chan struct{}
	start   time.Time

	stepping sync.Mutex // held while Model.Step runs

	// Protected by world.
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

// New returns a controller.
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
	c := &Controller{model: m, changes: make(chan struct{}, 1), start: time.Now(),
		handles: map[*handle]bool{}}
	for n := 1; n <= m.USB2+m.USB3; n++ {
		super := n > m.USB2
		c.ports = append(c.ports,
			&port{number: n, super: super, controller: func() *Controller { return c },
				changedIt: c.signal,
				resetTime: m.ResetTime, trainTime: trainTime,
				status: usbhost.PortStatus{USB3: super, Powered: !m.PowerOff}})
	}
	return c
}

// signal sends to Changes. world is held.
func (c *Controller) signal() {
	if c.closed || c.dead != nil {
		return
	}
	select {
	case c.changes <- struct{}{}:
	default:
	}
}

// violate records a violation. world is held.
func (c *Controller) violate(format string, args ...any) {
	c.violations = append(c.violations, fmt.Sprintf("%v: ", time.Since(c.start))+
		fmt.Sprintf(format, args...))
}

// Violations are the violations of the specification by the bus.
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

// Blocked is the number of transfers that failed because the buffer of their transaction translator
// was busy.
func (c *Controller) Blocked() int {
	world.Lock()
	defer world.Unlock()
	return c.blocked
}

// Log is the list of all actions of the bus.
func (c *Controller) Log() []Step {
	world.Lock()
	defer world.Unlock()
	return append([]Step(nil), c.log...)
}

// Slots is the number of devices that were not released.
func (c *Controller) Slots() int {
	world.Lock()
	defer world.Unlock()
	return len(c.handles)
}

// Plug connects a device to a root port.
func (c *Controller) Plug(port int, d Device) { c.ports[port-1].plug(d) }

// Unplug disconnects the device of a root port.
func (c *Controller) Unplug(port int) {
	world.Lock()
	defer world.Unlock()
	c.ports[port-1].unplug()
}

// Bounce interrupts the connection of a root port for a moment.
func (c *Controller) Bounce(port int) { c.ports[port-1].bounce() }

// Fault disables a root port because of an error.
func (c *Controller) Fault(port int) { c.ports[port-1].fault() }

// OverCurrent starts or ends an over-current at a root port.
func (c *Controller) OverCurrent(port int, on bool) { c.ports[port-1].overCurrent(on) }

// Stick makes the link of a USB 3 port stuck until a warm reset.
func (c *Controller) Stick(port int) {
	world.Lock()
	defer world.Unlock()
	c.ports[port-1].stuck = true
}

// JamReset makes resets of a port endless.
func (c *Controller) JamReset(port int) {
	world.Lock()
	defer world.Unlock()
	c.ports[port-1].noReset = true
}

// Kill makes the controller fail.
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

// endAll ends all transfers. world is held.
func (c *Controller) endAll(err error) {
	for h := range c.handles {
		h.end(err)
	}
}

// sweep ends the transfers of devices that are not reachable any more. world is held.
func (c *Controller) sweep() {
	for h := range c.handles {
		if !h.node.reachable() {
			h.end(usb.ErrTransfer)
		}
	}
}

// atDefault reports whether a USB 2 device other than n is at the default address. world is held.
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

// step records an action and calls Model.Step. world is not held.
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

// Name implements usbhost.Controller, as the following methods do.
func (c *Controller) Name() string { return c.model.Name }

// Ports is the number of root ports.
func (c *Controller) Ports() int { return len(c.ports) }

// do calls f with a port and world held.
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

// Port returns the state of a port.
func (c *Controller) Port(number int) (st usbhost.PortStatus, err error) {
	err = c.do(number, func(p *port) { st = p.status })
	return st, err
}

// SetPower switches the power of a port.
func (c *Controller) SetPower(number int, on bool) error {
	return c.do(number, func(p *port) { p.power(on) })
}

// PowerGood is the model's.
func (c *Controller) PowerGood() time.Duration { return c.model.PowerGood }

// StartReset starts a reset of a port.
func (c *Controller) StartReset(number int, kind usbhost.Reset) error {
	_ = c.step(Step{Do: "reset", Port: fmt.Sprint(number)})
	return c.do(number, func(p *port) { p.startReset(kind) })
}

// Disable disables a port.
func (c *Controller) Disable(number int) error {
	return c.do(number, func(p *port) { p.disable() })
}

// Acknowledge clears changes of a port.
func (c *Controller) Acknowledge(number int, changes usbhost.PortChange) error {
	return c.do(number, func(p *port) { p.status.Change &^= changes })
}

// Changes receives a value when a port has changed.
func (c *Controller) Changes() <-chan struct{} { return c.changes }

// Close stops the controller.
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

// Err is the reason of a failure.
func (c *Controller) Err() error {
	world.Lock()
	defer world.Unlock()
	return c.dead
}

// Halt makes the controller fail.
func (c *Controller) Halt() { c.Kill(errors.New("halted")) }

// Wipe does nothing: the model keeps no data.
func (c *Controller) Wipe() {}

// sleep waits for d, or until ctx ends, and returns ctx's error.
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
