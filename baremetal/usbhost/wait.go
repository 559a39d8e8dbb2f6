package usbhost

import (
	"context"
	"time"

	"tamaccid/ccid/usb"
)

// sleep waits, or returns ctx's error.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A lock is a mutex for which one can stop to wait.
type lock chan struct{}

func newLock() lock { return make(lock, 1) }

func (l lock) try() bool {
	select {
	case l <- struct{}{}:
		return true
	default:
		return false
	}
}

// acquire waits until ctx ends, or there, the device that the lock belongs to, has gone.
func (l lock) acquire(ctx, there context.Context) error {
	if l.try() {
		return nil
	}
	select {
	case l <- struct{}{}:
		return nil
	case <-there.Done():
		return usb.ErrGone
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l lock) release() { <-l }
