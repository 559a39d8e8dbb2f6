package usbhost

import (
	"context"
	"time"
)

// The check for a disconnect (policy).
const (
	// inspectPause is the time in which the port detects a disconnect: a hub samples at the end of
	// a microframe (USB 2.0, 7.1.7.3).
	inspectPause = time.Millisecond
	// inspectLimit bounds the check. A hub that was itself unplugged does not respond.
	inspectLimit = 500 * time.Millisecond
)

// inspect makes the port check whether the device is still connected, after a failed transfer. When
// it returns, the device was removed if it is not.
func (p *port) inspect(ctx context.Context, d *device) {
	if sleep(ctx, inspectPause) != nil {
		return
	}
	checked := make(chan struct{})
	p.mu.Lock()
	p.watchers = append(p.watchers, checked)
	p.mu.Unlock()
	p.check()
	limit := time.NewTimer(inspectLimit)
	defer limit.Stop()
	select {
	case <-checked:
	case <-d.ctx.Done():
	case <-limit.C:
	case <-ctx.Done():
	}
}

// releaseWatchers ends calls of inspect after the port was checked.
func releaseWatchers(watchers []chan struct{}) {
	for _, w := range watchers {
		close(w)
	}
}
