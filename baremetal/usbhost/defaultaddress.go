package usbhost

import (
	"context"
	"sync"
	"time"
)

// Waits of a device before it has an address, and after.
const (
	// resetRecovery is the time between the reset of a device and the first request to it (USB 2.0,
	// 7.1.7.5; USB 3.2, 9.2.6.2: 10 ms).
	resetRecovery = 10 * time.Millisecond
	// addressRecovery is the time between SET_ADDRESS and the next request (USB 2.0, 9.2.6.3: 2
	// ms).
	addressRecovery = 2 * time.Millisecond
)

// A defaultAddress gives the default address to one device at a time. After a reset, a USB 2 device
// responds at address 0, as every other device on the bus of the controller would. Therefore only
// one device may be there, from the end of the reset of its port until it has its own address. The
// resets themselves may overlap. Each port reserves a window at the default address, and starts its
// reset so that it ends when the window begins.
//
//	port A  |----- reset -----|= recovery, address =|
//	port B       |------ reset ------|(waits)|== recovery, address ==|     wrong: reset again
//	port B                |------ reset -----|= recovery, address =|       right
//
// A window is an estimate; the lock decides. A port whose reset has ended while another device is
// at the default address is disabled, waits, and is reset again.
type defaultAddress struct {
	lock lock

	mu     sync.Mutex
	free   time.Time     // the end of the last window
	window time.Duration // the length of a window
	opened time.Time     // when the lock was taken
}

const (
	// firstWindow is the initial length of a window: both recoveries, and 3 ms for transfers and
	// commands (policy).
	firstWindow   = resetRecovery + addressRecovery + 3*time.Millisecond
	longestWindow = 50 * time.Millisecond // policy
)

func newDefaultAddress() *defaultAddress {
	return &defaultAddress{lock: newLock(), window: firstWindow}
}

// reserve reserves a window and returns when to start the reset before it. The reset lasts at least
// least, and up to slack longer.
func (a *defaultAddress) reserve(now time.Time, least, slack time.Duration) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	end := now.Add(least)
	if end.Before(a.free) {
		end = a.free
	}
	a.free = end.Add(slack + a.window)
	return end.Add(-least)
}

// tryAcquire takes the default address if it is free, and reports whether it was.
func (a *defaultAddress) tryAcquire() bool {
	if !a.lock.try() {
		return false
	}
	a.open()
	return true
}

// acquire waits until the default address is free, and takes it.
func (a *defaultAddress) acquire(ctx context.Context) error {
	if err := a.lock.acquire(ctx, ctx); err != nil {
		return err
	}
	a.open()
	return nil
}

func (a *defaultAddress) open() {
	a.mu.Lock()
	a.opened = time.Now()
	a.mu.Unlock()
}

// release frees the default address. addressed: the device has left it with an address of its own;
// the time that it took corrects the estimate.
func (a *defaultAddress) release(addressed bool) {
	a.mu.Lock()
	if took := time.Since(a.opened); addressed && took > a.window {
		a.window = min(took, longestWindow)
	}
	a.mu.Unlock()
	a.lock.release()
}
