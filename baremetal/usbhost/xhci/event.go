package xhci

import (
	"fmt"
	"runtime"
	"time"
)

// The pump's polling (policy). While a call waits for a command, a control transfer or a bulk
// transfer, the pump first polls the event ring, which is plain memory, eagerPolls times with only
// a yield between two polls, since most events come within microseconds. Then it sleeps between
// polls, from firstSleep, doubled each time, to longestSleep. Otherwise only interrupt transfers
// and port changes can end, and it polls every idleSleep. With an interrupt, sleeps last
// interruptSleep, in case one is lost.
const (
	eagerPolls     = 500
	firstSleep     = 20 * time.Microsecond
	longestSleep   = time.Millisecond
	idleSleep      = 10 * time.Millisecond
	interruptSleep = 100 * time.Millisecond

	ringQuarter = eventRingSize / 4
)

// pump handles events until the controller is closed or has failed. It is the controller's only
// goroutine.
func (c *Controller) pump() {
	defer close(c.pumped)
	timer := time.NewTimer(idleSleep)
	defer timer.Stop()
	var seen uint32
	polls, next := 0, firstSleep
	for {
		c.mu.Lock()
		if c.drain() > 0 || c.restarts != seen {
			seen, polls, next = c.restarts, 0, firstSleep
		}
		urgent := c.urgent > 0
		c.mu.Unlock()
		select {
		case <-c.gone:
			return
		default:
		}
		sleep := idleSleep
		switch {
		case c.o.Interrupt != nil:
			sleep = interruptSleep
		case urgent && polls < eagerPolls:
			polls++
			runtime.Gosched()
			continue
		case urgent:
			sleep, next = next, min(2*next, longestSleep)
		}
		if sleep >= longestSleep && !c.check() {
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

// look handles the events that are already there, since a fast device responds while the doorbell
// is rung, and restarts the pump's eager polling. c.mu is held.
func (c *Controller) look() {
	c.restarts++
	c.drain()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// acknowledge clears an interrupt (xHCI 1.2, 4.17.5). Later events raise another one.
func (c *Controller) acknowledge() {
	c.writeOp(opUSBSts, stsEINT)
	c.writeRT(rtIMan, imanIP|imanIE)
}

// check reads the controller's status before a sleep, for conditions without an event, and writes
// the event ring's dequeue pointer. It reports whether the controller still works.
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
	case v&stsHCE != 0:
		c.die("internal error (HCE)")
	case v&stsHSE != 0:
		c.die("error on the system bus (HSE)")
	case v&stsHCH != 0:
		c.die("stopped by itself")
	case v&stsPCD != 0:
		c.writeOp(opUSBSts, stsPCD)
		c.changed() // the event may have been dropped
	}
	return c.err == nil
}

// drain handles the events in the event ring, at most one ring of them, and returns their number.
// c.mu is held.
func (c *Controller) drain() int {
	n := 0
	for ; n < eventRingSize && c.err == nil; n++ {
		e, ok := c.events.take()
		if !ok {
			break
		}
		c.handle(e)
		// A register write is slow, so there is one for many events. With interrupts, the next one
		// is raised only after it (xHCI 1.2, 4.17.2).
		if c.events.unread >= ringQuarter {
			c.advance()
		}
	}
	if n > 0 && c.o.Interrupt != nil && c.err == nil {
		c.advance()
	}
	return n
}

// advance writes the dequeue pointer of the event ring.
func (c *Controller) advance() {
	c.events.unread = 0
	c.writeRT64(rtERDP, c.events.dequeue()|erdpEHB)
}

// handle handles one event. c.mu is held.
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

// transferEvent handles a transfer event. Events of slots that were released, of other endpoints,
// and with invalid pointers are dropped. c.mu is held.
func (c *Controller) transferEvent(e trb) {
	slot := int(e.slot())
	if slot < len(c.slots) && c.slots[slot] != nil && e.control&trbEventData == 0 {
		if ep := c.slots[slot].endpoints[e.endpoint()]; ep != nil && ep.event(e) {
			return
		}
	}
	c.spurious++
}
