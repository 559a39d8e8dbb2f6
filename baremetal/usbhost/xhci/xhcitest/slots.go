package xhcitest

import (
	"context"

	"tamaccid/baremetal/usbhost/usbtest"
	"tamaccid/ccid/usb"
)

// Slot states (xHCI 1.2, table 6-7).
const (
	slotDefault    = 1
	slotAddressed  = 2
	slotConfigured = 3
)

// Endpoint states (xHCI 1.2, table 6-8).
const (
	epDisabled = 0
	epRunning  = 1
	epHalted   = 2
	epStopped  = 3
	epError    = 4
)

// slot is a device slot.
type slot struct {
	c         *Controller
	id        int
	state     uint32
	port      int
	route     uint32
	speed     usb.Speed
	device    usbtest.Device
	endpoints [32]*endpoint
}

// endpoint is an endpoint in the controller.
type endpoint struct {
	slot    *slot
	index   int
	kind    uint32 // EP type
	packet  int
	state   uint32
	dequeue uint64
	cycle   uint32
	// fresh counts the resets of its sequence number.
	fresh int

	active bool            // a goroutine executes its ring
	again  bool            // the doorbell was rung while active
	kept   bool            // it was reset without a new dequeue pointer
	stuck  bool            // it hangs
	begins bool            // its doorbell was rung, but it does not run yet
	run    context.Context // of the controller when the doorbell was rung
	ctx    context.Context
	stop   context.CancelFunc
}

// context returns the endpoint context of an index in the device context, or the slot context
// (index 0).
func (s *slot) context(index int) []byte {
	b := s.c.mem.dma(s.c.dcbaap+uint64(s.id*8), 8, "DCBAA")
	if b == nil {
		return nil
	}
	at := u64(b, 0)
	if at%64 != 0 {
		s.c.fail("device context of slot %d at %#x", s.id, at)
		return nil
	}
	n := s.c.contextSize()
	all := s.c.mem.dma(at, 32*n, "device context")
	if all == nil {
		return nil
	}
	if at/0x1000 != (at+uint64(32*n)-1)/0x1000 {
		s.c.fail("device context at %#x crosses a page", at)
	}
	return all[index*n:][:n]
}

func (c *Controller) contextSize() int {
	if c.o.LongContexts {
		return 64
	}
	return 32
}

// become changes the endpoint's state and updates its context.
func (e *endpoint) become(state uint32) {
	e.state = state
	if b := e.slot.context(e.index); b != nil {
		store(b, 0, load(b, 0)&^7|state)
		set32(b, 8, uint32(e.dequeue)|e.cycle)
		set32(b, 12, uint32(e.dequeue>>32))
	}
}

// rest stops the endpoint and waits until it has stopped, with c.mu released.
func (e *endpoint) rest() {
	if e.stop != nil {
		e.stop()
	}
	for e.active {
		e.slot.c.moved.Wait()
	}
}

// unplugged ends all transfers of a device that was disconnected.
func (s *slot) unplugged() {
	s.device = nil
	for _, e := range s.endpoints {
		if e != nil && e.stop != nil {
			e.stop()
		}
	}
}

// ring handles a write of a doorbell (xHCI 1.2, 4.7).
func (c *Controller) ring(index, v uint32) {
	target := int(v & 0xFF)
	if v&^uint32(0xFF) != 0 {
		c.fail("doorbell %d: %#x", index, v)
		return
	}
	if !c.running() {
		return
	}
	if index == 0 {
		if target != 0 {
			c.fail("doorbell 0: target %d", target)
		}
		c.startCommands()
		return
	}
	if int(index) >= len(c.slots) || c.slots[index] == nil {
		c.fail("doorbell of slot %d, which is disabled", index)
		return
	}
	s := c.slots[index]
	if target < 1 || target > 31 || s.endpoints[target] == nil {
		c.fail("doorbell of slot %d, endpoint %d, which is disabled", index, target)
		return
	}
	e := s.endpoints[target]
	switch e.state {
	case epHalted, epError:
		c.fail("doorbell of slot %d, endpoint %d in state %d", index, target, e.state)
		return
	case epStopped:
		if c.faults.SlowStart > 0 {
			e.begins = true
			break
		}
		if e.state = epRunning; !c.faults.LazyState {
			e.become(epRunning)
		}
	}
	if e.kept && c.faults.NoSoftRetry {
		e.stuck = true
		return
	}
	if e.active {
		e.again = true
		return
	}
	if c.lean {
		e.lean()
		return
	}
	e.active = true
	c.active++
	e.run = c.run
	e.ctx, e.stop = context.WithCancel(c.run)
	go e.work(e.ctx)
}
