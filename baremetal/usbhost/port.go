package usbhost

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// A port, of a controller or a hub. It has a goroutine while there is something on it or to be looked at; only that one reads the
// port's status and acknowledges changes. Everybody else pokes it.
//
//	state      | is
//	empty      | nothing there, or not looked at yet
//	attaching  | a device is debounced, reset and brought up; may have several tries
//	running    | a device is configured
//	refused    | something is there that could not be made to work
//	tripped    | switched off because of over-current; looked at again and again until that is over, or for good
//
//	            | over-current          | unplugged, replugged | plugged in | disabled, stuck,   | current is | bus, hub or
//	            |                       |                      |            | device fails       | well again | controller ends
//	empty       | tripped               | -                    | attaching  | -                  | -          | ends
//	attaching   | drop, tripped         | drop, empty          | -          | drop, next try;    | -          | drop, ends
//	            |                       |                      |            | after all: refused |            |
//	running     | remove, tripped       | remove, empty        | -          | remove, attaching; | -          | remove, ends
//	            |                       |                      |            | often: refused     |            |
//	refused     | tripped               | empty                | -          | -                  | -          | ends
//	tripped     | -                     | -                    | -          | -                  | power on,  | ends
//	            |                       |                      |            |                    | empty      |
//
// drop and remove both end the device with everything behind it (device.remove); drop is of one that nobody has heard of yet. After
// empty the port is looked at once more at once, since something may be there.
type port struct {
	branch *branch
	number int

	// Of the goroutine alone.
	state    portState
	changed  PortChange // seen and acknowledged, not handled
	failures int        // of the device that is there, one after the other
	since    time.Time  // when it came to run
	trips    int        // over-current, one after the other
	retry    time.Duration
	unstable bool // and everybody knows

	wake chan struct{}

	mu      sync.Mutex
	device  *device // while running
	failed  error   // why the device has to go, said by itself
	asked   []chan struct{}
	poked   bool
	busy    bool // Settle waits for it
	started bool // the goroutine is there
}

type portState uint8

const (
	empty portState = iota
	attaching
	running
	refused
	tripped
)

// Policy.
const (
	// tripPause is how often a port with over-current is looked at, tripTries how often it is switched on again.
	tripPause = 500 * time.Millisecond
	tripTries = 5
	// failuresMax is how often a device that has run may fail and be brought up anew. After one has run for failuresForget, failures
	// and over-current are counted from the beginning.
	failuresMax    = 3
	failuresForget = time.Minute
	// unstablePause is how long a port is left alone whose connection does not come to rest.
	unstablePause = time.Second
)

func newPort(b *branch, number int) *port {
	return &port{branch: b, number: number, wake: make(chan struct{}, 1)}
}

// path names the port.
func (p *port) path() string {
	if p.branch.hub == nil {
		return fmt.Sprintf("%s, port %d", p.branch.root.controller.Name(), p.number)
	}
	return fmt.Sprintf("%s.%d", p.branch.hub.path, p.number)
}

func (p *port) report(kind EventKind, err error) {
	p.branch.bus.report(Event{Kind: kind, Path: p.path(), Err: err})
}

// configured is the device that runs, or nil.
func (p *port) configured() *device {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.device
}

// poke makes the port look at itself.
func (p *port) poke() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.poked = true
	if !p.busy {
		p.busy = true
		p.branch.bus.begin()
	}
	if p.started {
		select {
		case p.wake <- struct{}{}:
		default:
		}
		return
	}
	if p.started = p.branch.start(p.run); !p.started {
		p.rest()
	}
}

// rest says that Settle need not wait. It is called with mu held.
func (p *port) rest() {
	if p.busy {
		p.busy = false
		p.branch.bus.done()
	}
}

// fail is said by a hub that does not work any more.
func (p *port) fail(err error) {
	p.mu.Lock()
	p.failed = err
	p.mu.Unlock()
	p.poke()
}

func (p *port) run() {
	ctx := p.branch.ctx
	for {
		if more, ended := p.next(ctx); ended {
			break
		} else if !more {
			return // a poke may have started the goroutine anew by now
		}
		p.look(ctx)
	}
	p.detach()
	p.mu.Lock()
	p.started = false // who pokes now is answered by the end of ctx
	p.rest()
	p.mu.Unlock()
}

// next waits until there is something to look at, or ctx has ended. There is no more where nothing is on the port: then started is
// false, and the goroutine has to go.
func (p *port) next(ctx context.Context) (more, ended bool) {
	if done, more, ended := p.now(ctx); done {
		return more, ended
	}
	var again <-chan time.Time
	if p.retry > 0 {
		timer := time.NewTimer(p.retry)
		defer timer.Stop()
		again = timer.C
		p.retry = 0
	}
	select {
	case <-again:
	case <-p.wake:
	case <-ctx.Done():
		return false, true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.poked = false
	if !p.busy {
		p.busy = true
		p.branch.bus.begin()
	}
	return true, false
}

// now is the part of next that does not wait.
func (p *port) now(ctx context.Context) (done, more, ended bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return true, false, true
	case p.poked:
		p.poked = false
		return true, true, false
	}
	p.rest()
	if p.state == empty && p.retry == 0 {
		p.started = false
		return true, false, false
	}
	return false, true, false
}

// read reads the status and acknowledges what has changed. Its Change has all that was not handled yet.
func (p *port) read(ctx context.Context) (PortStatus, error) {
	st, err := p.branch.up.status(ctx, p.number)
	if err != nil {
		return st, err
	}
	if st.Change != 0 {
		if err := p.branch.up.acknowledge(ctx, p.number, st.Change); err != nil {
			return st, err
		}
	}
	p.changed |= st.Change
	st.Change = p.changed
	return st, nil
}

// action is what a port does next.
type action uint8

const (
	leave   action = iota
	attach         // bring up what is there
	empties        // remove the device, if there is one: it has gone
	restart        // remove the device and bring it up anew
	trip           // over-current
	repower        // over-current has ended
)

// decide is the table above, for states between which a port waits.
func decide(state portState, st PortStatus, failed bool) action {
	switch {
	case state == tripped && st.OverCurrent:
		return leave
	case state == tripped:
		return repower
	case st.OverCurrent, st.Change&OverCurrentChange != 0 && !st.Powered:
		return trip // or was for a moment, and has switched the port off
	case state == empty && st.Connected:
		return attach
	case state == empty:
		return leave
	case !st.Connected || st.Change&ConnectChange != 0:
		return empties
	case state == running && (failed || !st.Enabled || st.Stuck):
		return restart
	}
	return leave
}

// look reads the port's status and does what has to be done. An error is the controller's or hub's, who hears of it by itself.
func (p *port) look(ctx context.Context) {
	p.mu.Lock()
	asked := p.asked
	p.asked = nil
	p.mu.Unlock()
	st, err := p.read(ctx)
	p.mu.Lock()
	if err != nil {
		p.asked = append(p.asked, asked...)
		p.mu.Unlock()
		return
	}
	failed := p.failed
	p.failed = nil
	p.mu.Unlock()
	act := decide(p.state, st, failed != nil)
	p.changed = 0
	if act == attach {
		answer(asked) // what was there has long gone
		p.attach(ctx, st.USB3)
		return
	}
	defer answer(asked)
	switch act {
	case empties:
		p.detach()
		p.state, p.failures = empty, 0
		p.again()
	case restart:
		p.restart(ctx, st.USB3, failed)
	case trip:
		p.trip(ctx)
	case repower:
		p.repower(ctx)
	case leave:
		if p.state == tripped && p.trips <= tripTries {
			p.retry = tripPause
		}
	}
}

// again makes the port look once more without anybody's poke.
func (p *port) again() {
	p.mu.Lock()
	p.poked = true
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
	p.branch.bus.report(Event{Kind: Removed, Path: d.path, Device: &d.info})
}

// restart brings a device up anew that has failed, or whose port was disabled by an error (USB 2.0, 11.8.1).
func (p *port) restart(ctx context.Context, usb3 bool, failed error) {
	p.detach()
	if time.Since(p.since) >= failuresForget {
		p.failures = 0
	}
	p.state = empty
	if p.failures++; p.failures > failuresMax {
		if failed == nil {
			failed = errDisabled
		}
		p.refuse(ctx, usb3, failed)
		return
	}
	p.again()
}

// refuse leaves what is there alone. A USB 3 port stays enabled: a disabled one would not notice that the device is unplugged (USB
// 3.2, 10.3.1.1).
func (p *port) refuse(ctx context.Context, usb3 bool, err error) {
	p.state = refused
	if !usb3 {
		_ = p.branch.up.disable(ctx, p.number) // nothing is to be had from it either way
	}
	p.report(Refused, err)
}

// trip takes note of over-current. The port's power is off: hubs and controllers see to that (USB 2.0, 11.12.5). The first
// report of a series is the only one.
func (p *port) trip(ctx context.Context) {
	if p.state == running && time.Since(p.since) >= failuresForget {
		p.trips = 0
	}
	p.detach()
	p.state = tripped
	p.trips++
	switch {
	case p.trips == 1:
		p.report(OverCurrent, nil)
	case p.trips > tripTries:
		_ = p.branch.up.setPower(ctx, p.number, false) // off it is, or the port is out of reach
		p.report(Refused, errOverCurrent)
		return
	}
	p.retry = tripPause
}

// repower switches a port on again. What has been off for good stays so.
func (p *port) repower(ctx context.Context) {
	if p.trips > tripTries {
		return
	}
	if p.branch.up.setPower(ctx, p.number, true) != nil || sleep(ctx, p.branch.timing.powerGood) != nil {
		return
	}
	p.state, p.changed = empty, 0
	p.again()
}
