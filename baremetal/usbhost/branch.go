package usbhost

import (
	"context"
	"errors"
	"sync"
	"time"

	"tamaccid/ccid/usb"
)

// upstream is what has ports: a controller or a hub. Ports are numbered from 1. status changes nothing but what nobody is told of.
type upstream interface {
	status(ctx context.Context, port int) (PortStatus, error)
	setPower(ctx context.Context, port int, on bool) error
	startReset(ctx context.Context, port int, kind Reset) error
	disable(ctx context.Context, port int) error
	acknowledge(ctx context.Context, port int, changes PortChange) error
}

// timing is what differs between the ports of controllers and of hubs.
type timing struct {
	reset     time.Duration // a reset lasts at least so long,
	slack     time.Duration // and up to so much longer
	poll      time.Duration // how often a port in reset is looked at
	powerGood time.Duration // from power on to good
}

// Root ports.
const (
	// rootReset is TDRSTR (USB 2.0, 7.1.7.5). The controller makes it so.
	rootReset = 50 * time.Millisecond
	// rootPowerGood is how long power takes (xHCI 1.2, 5.4.8, PP: 20 ms).
	rootPowerGood = 20 * time.Millisecond
	// rootPoll is how often a port in reset is looked at besides its changes (policy).
	rootPoll = 5 * time.Millisecond
)

// attachSignal is how long a device may take to show that it is there, from the time that power is good (USB 2.0, 7.1.7.3,
// TSIGATT: 100 ms).
const attachSignal = 100 * time.Millisecond

// A branch is a controller or a hub with its ports and everything behind them.
type branch struct {
	bus    *Bus
	root   *root
	up     upstream
	hub    *device // nil for a controller
	timing timing
	ports  []*port // that with number n at n-1

	ctx    context.Context
	cancel context.CancelFunc

	mu     sync.Mutex
	closed bool
	tasks  sync.WaitGroup // of the ports, and of the hub itself
}

func newBranch(r *root, up upstream, hub *device, ports int, t timing) *branch {
	b := &branch{bus: r.bus, root: r, up: up, hub: hub, timing: t, ports: make([]*port, ports)}
	parent := r.ctx
	if hub != nil {
		parent = hub.ctx
	}
	b.ctx, b.cancel = context.WithCancel(parent)
	for i := range b.ports {
		b.ports[i] = newPort(b, i+1)
	}
	return b
}

// start runs f as a task, unless the branch was closed.
func (b *branch) start(f func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.tasks.Go(f)
	return true
}

// close removes everything behind the branch.
func (b *branch) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.cancel()
	b.tasks.Wait()
}

// powerUp switches the ports on and looks at each of them once. Settle waits for it, and for devices to show that they are there.
func (b *branch) powerUp() error {
	switched := false
	for _, p := range b.ports {
		st, err := b.up.status(b.ctx, p.number)
		if !st.Powered && (err == nil || errors.Is(err, usb.ErrStall)) {
			err = b.up.setPower(b.ctx, p.number, true)
			switched = true
		}
		if err != nil && !errors.Is(err, usb.ErrStall) {
			return err
		}
	}
	if switched {
		if err := sleep(b.ctx, b.timing.powerGood); err != nil {
			return err
		}
	}
	b.bus.begin()
	if !b.start(func() { _ = sleep(b.ctx, attachSignal); b.bus.done() }) {
		b.bus.done()
	}
	return b.scan(func(st PortStatus) bool { return st.Change != 0 || st.Connected || st.OverCurrent })
}

// scan wakes the ports whose status is of interest.
func (b *branch) scan(interesting func(PortStatus) bool) error {
	for _, p := range b.ports {
		st, err := b.up.status(b.ctx, p.number)
		stalled := errors.Is(err, usb.ErrStall) // a hub that does not know the port, now
		if err != nil && !stalled {
			return err
		}
		if stalled || interesting(st) {
			p.poke()
		}
	}
	return nil
}

// appendDevices lists the branch's devices.
func (b *branch) appendDevices(all []DeviceInfo) []DeviceInfo {
	for _, p := range b.ports {
		d := p.configured()
		if d == nil {
			continue
		}
		all = append(all, d.describeSelf())
		if d.hub != nil {
			all = d.hub.branch.appendDevices(all)
		}
	}
	return all
}

// Places in the tree.
const (
	// maxHubs is how many hubs may be between a controller and a device (USB 2.0, 4.1.1: seven tiers, of which the controller is
	// one and the device is one).
	maxHubs = 5
	// routeBits and routeMax are the width of a tier in a route string, and the largest port number in it (USB 3.2, 8.9).
	routeBits = 4
	routeMax  = 15
)

// locate is the place of a device behind a port.
func (b *branch) locate(port int, speed usb.Speed) Location {
	if b.hub == nil {
		return Location{RootPort: uint8(port), Speed: speed}
	}
	hub := b.hub.location
	at := Location{
		RootPort: hub.RootPort,
		Route:    hub.Route | uint32(min(port, routeMax))<<(routeBits*hub.Tier),
		Tier:     hub.Tier + 1,
		Speed:    min(speed, hub.Speed), // nothing is faster than its hub, whatever that says
	}
	switch {
	case at.Speed >= usb.SpeedHigh:
		// No translator has a part in it.
	case hub.Speed == usb.SpeedHigh:
		at.TTHub, at.TTPort, at.MultiTT = b.hub.hardware, uint8(port), b.hub.hub.multi
	default:
		// Behind a full-speed hub it is that hub's translator.
		at.TTHub, at.TTPort, at.MultiTT = hub.TTHub, hub.TTPort, hub.MultiTT
	}
	return at
}
