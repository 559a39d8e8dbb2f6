package usbhost

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A port of a controller or a hub. It has a goroutine while there is a device or something to
// check. Only this goroutine reads the port's status and acknowledges changes; the others wake it.
// The state machine is in portstate.go.
type port struct {
	up     *upstream
	number int
	run    func() // the goroutine

	// Used by the goroutine only.
	state    portState
	changed  PortChange // acknowledged, but not yet handled
	failures int        // consecutive failures of the device
	since    time.Time  // start of the state running
	trips    int        // consecutive over-currents
	retry    time.Duration
	unstable bool // Unstable was reported

	wake chan struct{}

	mu       sync.Mutex
	device   *device         // in the state running
	failed   error           // why the device needs a new enumeration
	watchers []chan struct{} // of inspect
	woken    bool
	busy     bool // counted in tree.work
	started  bool // the goroutine runs
}

type portState uint8

// The states of a port. See portstate.go.
const (
	empty portState = iota
	attaching
	running
	refused
	tripped
)

// Errors of a port.
var (
	errDisconnected = errors.New("usb: unplugged during enumeration")
	errDisabled     = errors.New("usb: the port was disabled")
	errNoReset      = errors.New("usb: the port's reset does not end")
	errNotEnabled   = errors.New("usb: the port is not enabled after its reset")
	errUnstable     = errors.New("usb: the connection does not become stable")
	errOverCurrent  = errors.New("usb: too much current repeatedly")
	errHub          = errors.New("usb: hub does not answer")
	errTiers        = errors.New("usb: too many hubs in a row")
)

func (p *port) report(kind EventKind, err error) {
	p.up.tree.report(Event{Kind: kind, Path: p.up.path(p.number), Err: err})
}

// configured returns the configured device, or nil.
func (p *port) configured() *device {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.device
}

// check makes the goroutine check the port.
func (p *port) check() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.woken = true
	p.begin()
	if p.started {
		select {
		case p.wake <- struct{}{}:
		default:
		}
		return
	}
	if p.started = p.up.start(p.run); !p.started {
		p.rest()
	}
}

// checkAgain makes the goroutine check the port once more. It is called by the goroutine.
func (p *port) checkAgain() {
	p.mu.Lock()
	p.woken = true
	p.mu.Unlock()
}

// begin counts the port as work, and rest ends that. mu is held.
func (p *port) begin() {
	if !p.busy {
		p.busy = true
		p.up.tree.work.begin()
	}
}

func (p *port) rest() {
	if p.busy {
		p.busy = false
		p.up.tree.work.done()
	}
}

// fail requests a new enumeration of the device. The hub driver calls it.
func (p *port) fail(err error) {
	p.mu.Lock()
	p.failed = err
	p.mu.Unlock()
	p.check()
}

// read reads the status and acknowledges the changes in it. Change of the result also has the
// acknowledged changes that were not yet handled.
func (p *port) read(ctx context.Context) (PortStatus, error) {
	st, err := p.up.control.status(ctx, p.number)
	if err != nil {
		return st, err
	}
	if st.Change != 0 {
		if err := p.up.control.acknowledge(ctx, p.number, st.Change); err != nil {
			return st, err
		}
	}
	p.changed |= st.Change
	st.Change = p.changed
	return st, nil
}

// pause waits for d, or until the port is woken, or until ctx ends, and returns ctx's error.
func (p *port) pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.wake:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// disable disables the port, where a device may be at the default address. An error means that the
// hub does not respond, which its own port handles.
func (p *port) disable(ctx context.Context) {
	_ = p.up.control.disable(ctx, p.number)
}

// disconnected reports whether the device has been disconnected, even if another one is connected
// now.
func disconnected(st PortStatus) bool {
	return !st.Connected || st.OverCurrent || st.Change&ConnectChange != 0
}

// setDevice stores the device, in the state running.
func (p *port) setDevice(d *device) {
	p.state, p.since = running, time.Now()
	p.mu.Lock()
	p.device = d
	p.mu.Unlock()
}

// detach removes the device, if there is one.
func (p *port) detach() {
	p.mu.Lock()
	d := p.device
	p.device, p.failed = nil, nil
	p.mu.Unlock()
	if d == nil {
		return
	}
	d.remove()
	p.up.tree.report(Event{Kind: Removed, Path: d.path, Device: &d.info})
}

// refuse leaves the device alone from now on. A USB 3 port stays enabled: a disabled one would not
// detect that the device is unplugged (USB 3.2, 10.3.1.1).
func (p *port) refuse(ctx context.Context, usb3 bool, err error) {
	p.state = refused
	if !usb3 {
		p.disable(ctx)
	}
	p.report(Refused, err)
}
