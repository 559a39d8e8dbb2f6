// Package wait has the waits of the class driver that a context ends.
package wait

import "context"

// Semaphore has a number of places. Unlike a mutex, a place can be waited for with a context.
type Semaphore chan struct{}

// NewSemaphore returns a semaphore with that many places, all free.
func NewSemaphore(places int) Semaphore { return make(Semaphore, places) }

// Places is the number of places, free or not.
func (s Semaphore) Places() int { return cap(s) }

// Acquire waits for a place. The error is that of ctx. It allocates nothing.
func (s Semaphore) Acquire(ctx context.Context) error {
	if s.TryAcquire() {
		return nil
	}
	select {
	case s <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TryAcquire takes a place if one is free, and reports whether it did.
func (s Semaphore) TryAcquire() bool {
	select {
	case s <- struct{}{}:
		return true
	default:
		return false
	}
}

// Release gives a place back.
func (s Semaphore) Release() { <-s }
