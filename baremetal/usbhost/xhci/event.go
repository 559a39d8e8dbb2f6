package xhci

import (
	"fmt"
	"runtime"
	"time"
)

// The pump's policy. While somebody waits for a command, a control or a bulk transfer, the event ring, which is plain memory, is
// looked at many times with nothing but a yield in between, since most answers come within microseconds; then with short sleeps
// that grow. Otherwise only keys are pressed, cards inserted and plugs pulled: a look every ten milliseconds is enough. Where
// there is an interrupt, sleeps are long: they are for one that was lost.
const (
	eagerLooks  = 500
	firstNap    = 20 * time.Microsecond
	longestNap  = time.Millisecond
	idleNap     = 10 * time.Millisecond
	lazyNap     = 100 * time.Millisecond
	ringQuarter = eventRingSize / 4
)

// pump handles events until the controller is no more. It is the only goroutine of a controller.
func (c *Controller) pump() {
	defer close(c.pumped)
	timer := time.NewTimer(idleNap)
	defer timer.Stop()
	var seen uint32
	looks, nap := 0, firstNap
	for {
		c.mu.Lock()
		if c.drain() > 0 || c.restarts != seen {
			seen, looks, nap = c.restarts, 0, firstNap
		}
		urgent := c.urgent > 0
		c.mu.Unlock()
		select {
		case <-c.gone:
			return
		default:
		}
		sleep := idleNap
		switch {
		case c.o.Interrupt != nil:
			sleep = lazyNap
		case urgent && looks < eagerLooks:
			looks++
			runtime.Gosched()
			continue
		case urgent:
			sleep, nap = nap, min(2*nap, longestNap)
		}
		if sleep >= longestNap && !c.check() {
			return
		}
		timer.Reset(sleep)
		select {
		case <-timer.C:
		case <-c.wake:
		case <-c.o.Interrupt:
			c.acknowledge()
		case <-c.gone:
			return
		}
	}
}

// look handles what is there already, since a fast device answers while its doorbell is rung, and makes the pump attentive
// otherwise. c.mu is held.
func (c *Controller) look() {
	c.restarts++
	c.drain()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// acknowledge ends an interrupt (xHCI 1.2, 4.17.5); events that come later raise another.
func (c *Controller) acknowledge() {
	c.writeOp(opUSBSts, stsInterrupt)
	c.writeRT(rtIMan, imanPending|imanEnable)
}

// check asks the controller how it is, before a sleep: what it has no event for. It also tells it what was read of the event
// ring. It is false when the controller is no more.
func (c *Controller) check() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return false
	}
	if c.events.unread > 0 {
		c.advance()
	}
	switch v := c.status(); {
	case c.halted.Load():
		c.die("halted for good")
	case v == allOnes:
		c.die("removed: registers read as all ones")
	case v&stsError != 0:
		c.die("internal error (HCE)")
	case v&stsSystemError != 0:
		c.die("error on the system bus (HSE)")
	case v&stsHalted != 0:
		c.die("stopped by itself")
	case v&stsPortChange != 0:
		c.writeOp(opUSBSts, stsPortChange)
		c.changed() // its event may have been lost
	}
	return c.err == nil
}

// drain handles the events that are there, at most one ring of them, and returns how many. c.mu is held.
func (c *Controller) drain() int {
	n := 0
	for ; n < eventRingSize && c.err == nil; n++ {
		e, ok := c.events.take()
		if !ok {
			break
		}
		c.handle(e)
		// A write is slow, the ring is long. An interrupt comes again only after one (xHCI 1.2, 4.17.2).
		if c.events.unread >= ringQuarter {
			c.advance()
		}
	}
	if n > 0 && c.o.Interrupt != nil && c.err == nil {
		c.advance()
	}
	return n
}

// advance tells the controller how far the event ring was read.
func (c *Controller) advance() {
	c.events.unread = 0
	c.writeRT64(rtERDP, c.events.dequeue()|erdpBusy)
}

func (c *Controller) handle(e trb) {
	switch e.kind() {
	case eventTransfer:
		c.transferEvent(e)
	case eventCommand:
		c.commandEvent(e)
	case eventPort:
		c.changed()
	case eventController:
		if e.code() == codeEventRingFull {
			c.changed() // a port's event may have been dropped (xHCI 1.2, 4.9.4)
			c.advance()
			return
		}
		c.report(fmt.Sprintf("host controller event %d", e.code()))
	default:
		c.spurious++
	}
}

// transferEvent finds the endpoint that an event is for. Events for slots that are free again, for other endpoints, or with pointers to nowhere
// are dropped.
func (c *Controller) transferEvent(e trb) {
	if slot := int(e.slot()); slot < len(c.slots) && c.slots[slot] != nil && e.control&trbEventData == 0 {
		if ep := c.slots[slot].endpoints[e.endpoint()]; ep != nil && ep.event(e) {
			return
		}
	}
	c.spurious++
}
