package usbhost

import (
	"context"
	"time"

	"tamaccid/ccid/usb"
)

// sleep waits for d, or until ctx ends, and returns ctx's error.
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

// A lock is a mutex whose acquisition can be cancelled.
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

// acquire waits for the lock until ctx ends, or until owner ends, the context of the device that
// the lock belongs to.
func (l lock) acquire(ctx, owner context.Context) error {
	if l.try() {
		return nil
	}
	select {
	case l <- struct{}{}:
		return nil
	case <-owner.Done():
		return usb.ErrGone
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l lock) release() { <-l }
