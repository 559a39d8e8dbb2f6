package usbhost

import (
	"context"
	"sync"
	"time"
)

// The default address. A device on a USB 2 port that has just been reset answers at address 0, as every other such device on
// the controller's bus would: so only one may be there at a time, from the end of its port's reset until it has its own address.
// What may overlap is the resets themselves. Each port asks for a window, and begins its reset so early that it ends when the
// window opens.
//
//	port A  |----- reset -----|= recovery, address =|
//	port B       |------ reset ------|(waits for A)|== recovery, address ==|     as it must not be: reset again, alone
//	port B                |------ reset -----------|= recovery, address =|       as it is
//
// A window is an estimate. The lock is what counts: a port whose reset ended while another device still was at the default
// address is disabled, waits and is reset again.
type gate struct {
	lock lock

	mu     sync.Mutex
	free   time.Time     // the end of the last window that was given
	window time.Duration // how long one lasts
	opened time.Time     // when the lock was taken
}

// Windows (policy). The first is recovery, address and its recovery, and 3 ms for the transfers and commands that the address takes.
const (
	firstWindow   = resetRecovery + addressRecovery + 3*time.Millisecond
	longestWindow = 50 * time.Millisecond
)

func newGate() *gate { return &gate{lock: newLock(), window: firstWindow} }

// reserve says when a reset should begin that lasts least, and up to slack longer.
func (g *gate) reserve(now time.Time, least, slack time.Duration) time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	end := now.Add(least)
	if end.Before(g.free) {
		end = g.free
	}
	g.free = end.Add(slack + g.window)
	return end.Add(-least)
}

// enter takes the default address if nobody has it.
func (g *gate) enter() bool {
	if !g.lock.try() {
		return false
	}
	g.open()
	return true
}

// wait takes the default address when it is free.
func (g *gate) wait(ctx context.Context) error {
	if err := g.lock.acquire(ctx, ctx); err != nil {
		return err
	}
	g.open()
	return nil
}

func (g *gate) open() {
	g.mu.Lock()
	g.opened = time.Now()
	g.mu.Unlock()
}

// leave gives the default address free; a device that used it whole shows how long that takes here.
func (g *gate) leave(whole bool) {
	g.mu.Lock()
	if took := time.Since(g.opened); whole && took > g.window {
		g.window = min(took, longestWindow)
	}
	g.mu.Unlock()
	g.lock.release()
}
