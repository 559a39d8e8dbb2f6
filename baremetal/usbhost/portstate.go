package usbhost

import (
	"context"
	"time"
)

// The state machine of a port.
//
//	empty      no device, or not yet checked
//	attaching  a device is debounced, reset and enumerated, in up to three attempts
//	running    a device is configured
//	refused    enumeration has failed
//	tripped    power is off because of over-current; checked repeatedly until that has ended
//
//	event           | empty     | attaching         | running            | refused | tripped
//	over-current    | tripped   | drop, tripped     | remove, tripped    | tripped | -
//	unplugged,      | -         | drop, empty       | remove, empty      | empty   | -
//	replugged       |           |                   |                    |         |
//	plugged in      | attaching | -                 | -                  | -       | -
//	disabled, stuck,| -         | drop, next try;   | remove, attaching; | -       | -
//	device fails    |           | at last: refused  | often: refused     |         |
//	over-current    | -         | -                 | -                  | -       | power on,
//	has ended       |           |                   |                    |         | empty
//	bus, hub or     | ends      | drop, ends        | remove, ends       | ends    | ends
//	controller ends |           |                   |                    |         |
//
// Both drop and remove end the device and everything behind it (device.remove). Drop applies to a
// device that was not yet reported. After a change to empty the port is checked once more at once,
// since another device may be connected.

// Policy.
const (
	// tripPause is the time between two checks of a port with over-current, tripTries the number of
	// times that its power is switched on again.
	tripPause = 500 * time.Millisecond
	tripTries = 5
	// failuresMax is the number of new enumerations of a device that fails. After a device has run
	// for failuresForget, failures and over-currents are counted from zero.
	failuresMax    = 3
	failuresForget = time.Minute
)

func newPort(up *upstream, number int) *port {
	p := &port{up: up, number: number, wake: make(chan struct{}, 1)}
	p.run = p.loop
	return p
}

// loop is the goroutine of the port.
func (p *port) loop() {
	ctx := p.up.ctx
	for {
		if more, ended := p.next(ctx); ended {
			break
		} else if !more {
			return // check may already have started the goroutine again
		}
		p.step(ctx)
	}
	p.detach()
	p.mu.Lock()
	p.started = false // a goroutine that check starts now ends at once, because ctx has ended
	p.rest()
	p.mu.Unlock()
}

// next waits until the port must be checked (more) or ctx has ended (ended). Both are false if no
// device is connected: then the goroutine must end.
func (p *port) next(ctx context.Context) (more, ended bool) {
	if done, more, ended := p.poll(ctx); done {
		return more, ended
	}
	var retry <-chan time.Time
	if p.retry > 0 {
		timer := time.NewTimer(p.retry)
		defer timer.Stop()
		retry = timer.C
		p.retry = 0
	}
	select {
	case <-retry:
	case <-p.wake:
	case <-ctx.Done():
		return false, true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.woken = false
	p.begin()
	return true, false
}

// poll is the part of next that does not wait.
func (p *port) poll(ctx context.Context) (done, more, ended bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return true, false, true
	case p.woken:
		p.woken = false
		return true, true, false
	}
	p.rest()
	if p.state == empty && p.retry == 0 {
		p.started = false
		return true, false, false
	}
	return false, true, false
}

// action is what the state machine does in a step.
type action uint8

const (
	leave   action = iota
	attach         // enumerate the device
	empties        // remove the device, if there is one: it is disconnected
	restart        // remove the device and enumerate it again
	trip           // handle over-current
	repower        // over-current has ended: switch on the power
)

// decide is the table above, for the states in which the port waits.
func decide(state portState, st PortStatus, failed bool) action {
	switch {
	case state == tripped && st.OverCurrent:
		return leave
	case state == tripped:
		return repower
	case st.OverCurrent, st.Change&OverCurrentChange != 0 && !st.Powered:
		return trip // also after a short over-current that has switched off the power
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

// step reads the port's status and performs the action. An error of the read is an error of the
// controller or hub, which is handled there.
func (p *port) step(ctx context.Context) {
	p.mu.Lock()
	watchers := p.watchers
	p.watchers = nil
	p.mu.Unlock()
	st, err := p.read(ctx)
	p.mu.Lock()
	if err != nil {
		p.watchers = append(p.watchers, watchers...)
		p.mu.Unlock()
		return
	}
	failed := p.failed
	p.failed = nil
	p.mu.Unlock()
	act := decide(p.state, st, failed != nil)
	p.changed = 0
	if act == attach {
		releaseWatchers(watchers) // the device before was removed earlier
		p.enumerate(ctx, st.USB3)
		return
	}
	defer releaseWatchers(watchers)
	switch act {
	case empties:
		p.detach()
		p.state, p.failures = empty, 0
		p.checkAgain()
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

// restart enumerates a device again that has failed, or whose port was disabled by an error (USB
// 2.0, 11.8.1).
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
	p.checkAgain()
}

// trip handles over-current. The controller or hub has switched off the port's power (USB 2.0,
// 11.12.5). Only the first over-current of a series is reported.
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
		// An error means that the controller or hub does not respond, which is handled there.
		_ = p.up.control.setPower(ctx, p.number, false)
		p.report(Refused, errOverCurrent)
		return
	}
	p.retry = tripPause
}

// repower switches the power on again, unless the port was given up.
func (p *port) repower(ctx context.Context) {
	if p.trips > tripTries {
		return
	}
	if p.up.control.setPower(ctx, p.number, true) != nil ||
		sleep(ctx, p.up.timing.powerGood) != nil {
		return
	}
	p.state, p.changed = empty, 0
	p.checkAgain()
}
