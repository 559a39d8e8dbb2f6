package usbhost

import (
	"context"
	"fmt"
	"sync"
	"time"

	"tamaccid/ccid/usb"
)

// portControl operates the ports of a controller or a hub. Ports are numbered from 1.
type portControl interface {
	status(ctx context.Context, port int) (PortStatus, error)
	setPower(ctx context.Context, port int, on bool) error
	startReset(ctx context.Context, port int, kind Reset) error
	disable(ctx context.Context, port int) error
	acknowledge(ctx context.Context, port int, changes PortChange) error
}

// timing is how the ports of controllers and hubs differ in time.
type timing struct {
	reset     time.Duration // the shortest duration of a reset
	slack     time.Duration // how much longer a reset may take
	poll      time.Duration // between two reads of the status of a port in reset
	powerGood time.Duration // from power on to good power
}

// An upstream is a controller or hub, as its ports use it.
type upstream struct {
	tree    *tree
	control portControl
	hub     *device // nil for a controller
	multiTT bool    // the hub uses a transaction translator per port
	timing  timing

	ctx    context.Context
	cancel context.CancelFunc

	mu     sync.Mutex
	closed bool
	tasks  sync.WaitGroup // of the ports, and of the hub itself
}

func newUpstream(t *tree, control portControl, hub *device, tm timing) *upstream {
	u := &upstream{tree: t, control: control, hub: hub, timing: tm}
	parent := t.ctx
	if hub != nil {
		parent = hub.ctx
	}
	u.ctx, u.cancel = context.WithCancel(parent)
	return u
}

// start runs f as a task, unless the upstream was closed. It reports whether it does.
func (u *upstream) start(f func()) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return false
	}
	u.tasks.Go(f)
	return true
}

// close ends all tasks, which remove the devices.
func (u *upstream) close() {
	u.mu.Lock()
	u.closed = true
	u.mu.Unlock()
	u.cancel()
	u.tasks.Wait()
}

// path names a port.
func (u *upstream) path(port int) string {
	if u.hub == nil {
		return fmt.Sprintf("%s, port %d", u.tree.controller.Name(), port)
	}
	return fmt.Sprintf("%s.%d", u.hub.path, port)
}

// Limits of the tree.
const (
	// maxHubs is the largest number of hubs between a controller and a device (USB 2.0, 4.1.1:
	// seven tiers, including the controller and the device).
	maxHubs = 5
	// routeBits is the width of a tier in a route string, routeMax the largest port number in it
	// (USB 3.2, 8.9).
	routeBits = 4
	routeMax  = 15
)

// locate returns the location of a device on a port.
func (u *upstream) locate(port int, speed usb.Speed) Location {
	if u.hub == nil {
		return Location{RootPort: uint8(port), Speed: speed}
	}
	hub := u.hub.location
	at := Location{
		RootPort: hub.RootPort,
		Route:    hub.Route | uint32(min(port, routeMax))<<(routeBits*hub.Tier),
		Tier:     hub.Tier + 1,
		Speed:    min(speed, hub.Speed), // no device is faster than its hub
	}
	switch {
	case at.Speed >= usb.SpeedHigh:
		// No translator is involved.
	case hub.Speed == usb.SpeedHigh:
		at.TTHub, at.TTPort, at.MultiTT = u.hub.address, uint8(port), u.multiTT
	default:
		// A device behind a full-speed hub uses that hub's translator.
		at.TTHub, at.TTPort, at.MultiTT = hub.TTHub, hub.TTPort, hub.MultiTT
	}
	return at
}

// newDevice makes the device on a port.
func (u *upstream) newDevice(p devicePort, port int, speed usb.Speed) *device {
	d := &device{
		controller: u.tree.controller,
		number:     u.tree.number,
		port:       p,
		location:   u.locate(port, speed),
		path:       u.path(port),
		pipe0:      newLock(),
		changing:   newLock(),
	}
	if d.location.TTHub != 0 {
		if d.translator = u.hub; u.hub.location.Speed != usb.SpeedHigh {
			d.translator = u.hub.translator
		}
	}
	d.ctx, d.cancel = context.WithCancel(u.ctx)
	return d
}
