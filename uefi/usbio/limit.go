package usbio

import (
	"context"
	"time"

	"tamaccid/ccid/usb"
)

// limit is the end of a call, and its source.
type limit struct {
	at    time.Time // zero: never
	byCtx bool      // it is the context's deadline
}

// newLimit is the earlier of a positive timeout and the context's deadline, where there are such;
// else a positive fallback.
func newLimit(ctx context.Context, timeout, fallback time.Duration) limit {
	var l limit
	if timeout > 0 {
		l.at = time.Now().Add(timeout)
	}
	if d, ok := ctx.Deadline(); ok && (l.at.IsZero() || d.Before(l.at)) {
		l.at, l.byCtx = d, true
	}
	if l.at.IsZero() && fallback > 0 {
		l.at = time.Now().Add(fallback)
	}
	return l
}

// forever is longer than any wait for firmware.
const forever = time.Hour

// left is the time left, forever without a limit.
func (l limit) left() time.Duration {
	if l.at.IsZero() {
		return forever
	}
	return time.Until(l.at)
}

// expired is the error of a call that reached its limit. The context's own timer may not have run
// yet.
func (l limit) expired() error {
	if l.byCtx {
		return context.DeadlineExceeded
	}
	return usb.ErrTimeout
}

// milliseconds rounds up. It is never 0, which would be no limit (UEFI 2.11, 17.2.4).
func milliseconds(d time.Duration) uint32 {
	return uint32(max(1, (min(d, forever)+time.Millisecond-1)/time.Millisecond))
}
