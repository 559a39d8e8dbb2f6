package usbhost

import (
	"context"
	"fmt"
	"time"

	"tamaccid/ccid/usb"
)

// Waits of a port before its device is enumerated.
const (
	// debounceTime is how long a connection must have been stable (USB 2.0, 7.1.7.3, TATTDB: 100
	// ms). USB 3 ports need no debouncing: their link is trained (USB 3.2, 7.5).
	debounceTime = 100 * time.Millisecond
	// debouncePoll is the time between two reads of the status, debounceLimit the bound of the
	// whole wait (policy).
	debouncePoll  = 20 * time.Millisecond
	debounceLimit = 2 * time.Second
	// unstablePause is the time until a port with an unstable connection is debounced again
	// (policy).
	unstablePause = time.Second
	// resetLimit bounds a reset: ten times its duration (policy).
	resetLimit = 500 * time.Millisecond
	// trainLimit bounds the training of a USB 3 link (USB 3.2, table 7-13: 360 ms for Polling.LFPS;
	// the rest is policy).
	trainLimit = 500 * time.Millisecond
)

// debounce waits until the connection is stable. It reports whether a device is connected; if the
// connection does not become stable, the port is checked again later.
func (p *port) debounce(ctx context.Context) bool {
	began := time.Now()
	since, connected := began, true
	for {
		// The last wait ends when the interval does, as exactly as the clock allows.
		left := time.Until(since.Add(debounceTime))
		if p.pause(ctx, min(debouncePoll, left)) != nil {
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
			p.checkAgain()
			return false
		case now.Sub(since) >= debounceTime:
			p.unstable = false
			return connected
		case now.Sub(began) >= debounceLimit:
			if !p.unstable { // only the first time
				p.report(Unstable, errUnstable)
			}
			p.unstable = true
			p.retry = unstablePause
			return false
		}
	}
}

// enable enables the port for attempt n, from 0. It resets the port, unless this is the first
// attempt on a USB 3 port, which enables itself; reset reports whether it did. The caller calls
// release when the device has left the default address.
func (p *port) enable(ctx context.Context, n int) (
	st PortStatus, reset bool, release func(addressed bool), err error,
) {
	if st, err = p.read(ctx); err != nil {
		return st, false, nil, err
	}
	if disconnected(st) {
		return st, false, nil, errDisconnected
	}
	if st.USB3 {
		st, reset, err = p.enable3(ctx, n, st)
		return st, reset, func(bool) {}, checkEnabled(st, err)
	}
	address := p.up.tree.defaultAddress
	begin := address.reserve(time.Now(), p.up.timing.reset, p.up.timing.slack)
	for time.Until(begin) > 0 {
		if err = p.pause(ctx, time.Until(begin)); err != nil {
			return st, false, nil, err
		}
		if st, err = p.read(ctx); err != nil {
			return st, false, nil, err
		}
		if disconnected(st) {
			return st, false, nil, errDisconnected
		}
	}
	st, err = p.reset(ctx, HotReset)
	if err = checkEnabled(st, err); err != nil {
		p.disable(ctx)
		return st, true, nil, err
	}
	if !address.tryAcquire() {
		// Another device is still at the default address.
		if err = p.up.control.disable(ctx, p.number); err != nil {
			return st, true, nil, err
		}
		if err = address.acquire(ctx); err != nil {
			return st, true, nil, err
		}
		st, err = p.reset(ctx, HotReset)
		if err = checkEnabled(st, err); err != nil {
			p.disable(ctx)
			address.release(false)
			return st, true, nil, err
		}
	}
	return st, true, address.release, nil
}

// checkEnabled returns the error of a port that is not enabled.
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

// enable3 waits until a SuperSpeed link is trained. If that fails, it resets the port: with a warm
// reset if the link is stuck or if a hot reset was not sufficient (USB 3.2, 10.3.1, 7.4.2).
func (p *port) enable3(ctx context.Context, n int, st PortStatus) (
	_ PortStatus, reset bool, err error,
) {
	end := time.Now().Add(trainLimit)
	for n == 0 && !st.Enabled && !st.Stuck && time.Now().Before(end) {
		if err = p.pause(ctx, p.up.timing.poll); err != nil {
			return st, false, err
		}
		if st, err = p.read(ctx); err != nil {
			return st, false, err
		}
		if disconnected(st) {
			return st, false, errDisconnected
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

// reset resets the port and waits for the end of the reset.
func (p *port) reset(ctx context.Context, kind Reset) (st PortStatus, err error) {
	p.changed &^= ResetChange
	if err = p.up.control.startReset(ctx, p.number, kind); err != nil {
		return st, err
	}
	end := time.Now().Add(resetLimit)
	wait := p.up.timing.poll
	if p.up.hub != nil {
		wait = p.up.timing.reset // each read is a transfer, and before that it is useless
	}
	for {
		if err = p.pause(ctx, wait); err != nil {
			return st, err
		}
		wait = p.up.timing.poll
		if st, err = p.read(ctx); err != nil {
			return st, err
		}
		if st.USB3 {
			// A warm reset trains the link anew, which may change the connection.
			p.changed &^= ConnectChange
			st.Change = p.changed
		}
		switch {
		case disconnected(st):
			return st, errDisconnected
		case !st.Resetting && st.Change&ResetChange != 0:
			p.changed &^= ResetChange
			return st, nil
		case !time.Now().Before(end):
			return st, errNoReset
		}
	}
}
