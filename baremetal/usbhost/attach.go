package usbhost

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tamaccid/ccid/usb"
)

// What a port does with a device that was plugged in.

// Waits.
const (
	// debounceTime is how long a connection must have been stable (USB 2.0, 7.1.7.3, TATTDB: 100 ms). USB 3 has nothing of the
	// kind: its link is trained (USB 3.2, 7.5).
	debounceTime = 100 * time.Millisecond
	// debouncePoll is how often it is looked at meanwhile, debounceLimit how long one waits for it in all (policy).
	debouncePoll  = 20 * time.Millisecond
	debounceLimit = 2 * time.Second
	// resetLimit is the end of a reset, ten times what it takes (policy).
	resetLimit = 500 * time.Millisecond
	// trainLimit is how long a USB 3 link may need until its port is enabled (USB 3.2, table 7-13: 360 ms for Polling.LFPS,
	// and a rest for what follows; policy).
	trainLimit = 500 * time.Millisecond
	// bringUpTries is how often a device is reset and brought up before it is refused (policy).
	bringUpTries = 3
)

// What may go wrong with a port.
var (
	errLost        = errors.New("usb: unplugged during enumeration")
	errDisabled    = errors.New("usb: the port was disabled")
	errNoReset     = errors.New("usb: the port's reset does not end")
	errNotEnabled  = errors.New("usb: the port is not enabled after its reset")
	errUnstable    = errors.New("usb: the connection does not come to rest")
	errOverCurrent = errors.New("usb: too much current, again and again")
	errHub         = errors.New("usb: hub does not answer")
	errTiers       = errors.New("usb: too many hubs in a row")
)

// hopeless says whether another try makes no sense.
func hopeless(err error) bool {
	return errors.Is(err, ErrNoMemory) || errors.Is(err, ErrNoRoom) || errors.Is(err, errTiers)
}

// lost says whether the device that was there is there no more.
func lost(st PortStatus) bool {
	return !st.Connected || st.OverCurrent || st.Change&ConnectChange != 0
}

// attach takes a device from its connection to its offer.
func (p *port) attach(ctx context.Context, usb3 bool) {
	p.state = attaching
	if !usb3 && !p.debounce(ctx) {
		p.state = empty
		return
	}
	var err error
	for n := range bringUpTries {
		var d *device
		if d, err = p.try(ctx, n); err == nil {
			p.settleIn(d)
			return
		}
		if ctx.Err() != nil || errors.Is(err, errLost) {
			p.state, p.failures = empty, 0
			p.again() // it may be there again
			return
		}
		if errors.Is(err, ErrDead) || errors.Is(err, errHub) {
			p.state = empty // that is not the device's affair
			return
		}
		if hopeless(err) {
			break
		}
	}
	p.refuse(ctx, usb3, err)
}

// settleIn is the end of a device's enumeration.
func (p *port) settleIn(d *device) {
	p.state, p.since = running, time.Now()
	p.mu.Lock()
	p.device = d
	p.mu.Unlock()
	p.branch.bus.report(Event{Kind: Found, Path: d.path, Device: &d.info})
	if d.hub != nil {
		d.hub.run()
		return
	}
	d.offer()
}

// debounce waits until a connection is stable. It is false when there is none, or none that becomes stable: then the port is
// looked at later.
func (p *port) debounce(ctx context.Context) bool {
	began := time.Now()
	since, connected := began, true
	for {
		// The end of the interval is met as exactly as the clock can.
		if p.pause(ctx, min(debouncePoll, time.Until(since.Add(debounceTime)))) != nil {
			return false
		}
		st, err := p.read(ctx)
		if err != nil {
			return false
		}
		now := time.Now()
		if st.Connected != connected || st.Change&ConnectChange != 0 || st.OverCurrent {
			p.changed &^= ConnectChange
			since, connected = now, st.Connected
		}
		switch {
		case st.OverCurrent:
			p.again()
			return false
		case now.Sub(since) >= debounceTime:
			p.unstable = false
			return connected
		case now.Sub(began) >= debounceLimit:
			if !p.unstable { // once, however long it lasts
				p.report(Unstable, errUnstable)
			}
			p.unstable = true
			p.retry = unstablePause
			return false
		}
	}
}

// pause waits until the time is over or somebody pokes the port.
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

// try does one try to bring a device up.
func (p *port) try(ctx context.Context, n int) (d *device, err error) {
	st, fresh, leave, err := p.enable(ctx, n)
	if err != nil {
		return nil, err
	}
	d = newDevice(p, p.branch.locate(p.number, st.Speed))
	addressed, finished := make(chan struct{}), make(chan error, 1)
	go func() { finished <- d.bringUp(fresh, addressed) }()
	err, whole := p.watch(ctx, d, addressed, finished, leave)
	if err == nil {
		return d, nil
	}
	d.cancel()
	d.remove()
	if !whole && !st.USB3 {
		p.quiet(ctx)
	}
	if !whole {
		leave(false)
	}
	return nil, err
}

// watch waits for the end of bringUp and looks after the port meanwhile. It gives the default address free as soon as it can, which
// whole says.
func (p *port) watch(ctx context.Context, d *device, addressed <-chan struct{}, finished <-chan error, leave func(bool)) (err error, whole bool) {
	for {
		select {
		case <-addressed:
			addressed, whole = nil, true
			leave(true)
			continue
		case err = <-finished:
			if !whole {
				select {
				case <-addressed:
					whole = true
					leave(true)
				default:
				}
			}
			if err == nil {
				return nil, whole
			}
			finished = nil
		case <-p.wake:
		case <-ctx.Done():
			err = ctx.Err()
		}
		// A device that fails may have been unplugged.
		if ctx.Err() == nil {
			if st, failed := p.read(ctx); failed != nil {
				err = failed
			} else if lost(st) {
				err = errLost
			} else if err == nil && !st.Enabled {
				err = errDisabled
			}
		}
		if err == nil {
			continue
		}
		if finished != nil {
			d.cancel()
			<-finished
			if !whole {
				select {
				case <-addressed:
					whole = true
					leave(true)
				default:
				}
			}
		}
		return err, whole
	}
}

// enable makes the port enabled, by a reset but for the first try on a USB 3 port, which enables itself. fresh says that there was a
// reset. The caller calls leave when the device has left the default address.
func (p *port) enable(ctx context.Context, n int) (st PortStatus, fresh bool, leave func(whole bool), err error) {
	if st, err = p.read(ctx); err != nil {
		return st, false, nil, err
	}
	if lost(st) {
		return st, false, nil, errLost
	}
	if st.USB3 {
		st, fresh, err = p.enable3(ctx, n, st)
		return st, fresh, func(bool) {}, checkEnabled(st, err)
	}
	gate := p.branch.root.defaults
	begin := gate.reserve(time.Now(), p.branch.timing.reset, p.branch.timing.slack)
	for time.Until(begin) > 0 {
		if err = p.pause(ctx, time.Until(begin)); err != nil {
			return st, false, nil, err
		}
		if st, err = p.read(ctx); err != nil {
			return st, false, nil, err
		}
		if lost(st) {
			return st, false, nil, errLost
		}
	}
	st, err = p.reset(ctx, HotReset)
	if err = checkEnabled(st, err); err != nil {
		p.quiet(ctx)
		return st, true, nil, err
	}
	if !gate.enter() {
		// Another device is at the default address still.
		if err = p.branch.up.disable(ctx, p.number); err != nil {
			return st, true, nil, err
		}
		if err = gate.wait(ctx); err != nil {
			return st, true, nil, err
		}
		st, err = p.reset(ctx, HotReset)
		if err = checkEnabled(st, err); err != nil {
			p.quiet(ctx)
			gate.leave(false)
			return st, true, nil, err
		}
	}
	return st, true, gate.leave, nil
}

// quiet disables a port that may have a device at the default address, another one even than that which was looked for. Where the
// hub does not answer nothing can be done about it, nor need it.
func (p *port) quiet(ctx context.Context) {
	_ = p.branch.up.disable(ctx, p.number)
}

func checkEnabled(st PortStatus, err error) error {
	switch {
	case err != nil:
		return err
	case !st.Enabled:
		return errNotEnabled
	case st.Speed == usb.SpeedUnknown:
		return fmt.Errorf("%w: %s", errNotEnabled, st.Speed)
	}
	return nil
}

// enable3 waits for a SuperSpeed link to be trained, and helps by a reset where that does not happen: a warm one where the link is
// stuck or a hot one did not help (USB 3.2, 10.3.1, 7.4.2).
func (p *port) enable3(ctx context.Context, n int, st PortStatus) (_ PortStatus, reset bool, err error) {
	for end := time.Now().Add(trainLimit); n == 0 && !st.Enabled && !st.Stuck && time.Now().Before(end); {
		if err = p.pause(ctx, p.branch.timing.poll); err != nil {
			return st, false, err
		}
		if st, err = p.read(ctx); err != nil {
			return st, false, err
		}
		if lost(st) {
			return st, false, errLost
		}
	}
	switch {
	case n == 0 && st.Enabled && !st.Stuck:
		return st, false, nil
	case n == 1 && st.Enabled && !st.Stuck:
		st, err = p.reset(ctx, HotReset)
	default:
		st, err = p.reset(ctx, WarmReset)
	}
	return st, true, err
}

// reset resets the port and waits for its end.
func (p *port) reset(ctx context.Context, kind Reset) (st PortStatus, err error) {
	p.changed &^= ResetChange
	if err = p.branch.up.startReset(ctx, p.number, kind); err != nil {
		return st, err
	}
	end := time.Now().Add(resetLimit)
	wait := p.branch.timing.poll
	if p.branch.hub != nil {
		wait = p.branch.timing.reset // no sooner, and each look is a transfer
	}
	for {
		if err = p.pause(ctx, wait); err != nil {
			return st, err
		}
		wait = p.branch.timing.poll
		if st, err = p.read(ctx); err != nil {
			return st, err
		}
		if st.USB3 {
			// The link may have been down for a moment: a warm reset trains it anew.
			p.changed &^= ConnectChange
			st.Change = p.changed
		}
		switch {
		case lost(st):
			return st, errLost
		case !st.Resetting && st.Change&ResetChange != 0:
			p.changed &^= ResetChange
			return st, nil
		case !time.Now().Before(end):
			return st, errNoReset
		}
	}
}
