package xhcitest

import "context"

// Completion codes (xHCI 1.2, table 6-90).
const (
	Success       = 1
	Babble        = 3
	Transaction   = 4
	TRBError      = 5
	StallError    = 6
	Bandwidth     = 8
	NoSlots       = 9
	SlotDisabled  = 11
	EPDisabled    = 12
	ShortPacket   = 13
	Parameter     = 17
	ContextState  = 19
	RingStopped   = 24
	Aborted       = 25
	Stopped       = 26
	StoppedLength = 27
)

// Commands (xHCI 1.2, table 6-91).
const (
	EnableSlot        = 9
	DisableSlot       = 10
	AddressDevice     = 11
	ConfigureEndpoint = 12
	EvaluateContext   = 13
	ResetEndpoint     = 14
	StopEndpoint      = 15
	SetDequeue        = 16
	NoOp              = 23
)

// allowed has the bits of control that each command defines, besides cycle and type, and whether it
// has a parameter.
var allowed = map[int]struct {
	bits      uint32
	parameter bool
}{
	EnableSlot: {0x1F << 16, false}, DisableSlot: {0xFF << 24, false},
	AddressDevice:     {0xFF<<24 | 1<<9, true},
	ConfigureEndpoint: {0xFF<<24 | 1<<9, true}, EvaluateContext: {0xFF << 24, true},
	ResetEndpoint: {0xFF<<24 | 0x1F<<16 | 1<<9, false},
	StopEndpoint:  {0xFF<<24 | 0x1F<<16 | 1<<23, false}, SetDequeue: {0xFF<<24 | 0x1F<<16, true},
	NoOp: {0, false},
}

// do executes a command and returns its completion code and slot. c.mu is not held during
// transfers.
func (c *Controller) do(ctx context.Context, t request, id int) (code, slotID int) {
	a, ok := allowed[t.kind()]
	if !ok || t.control&^(1|0x3F<<10|a.bits) != 0 || t.status != 0 || !a.parameter &&
		t.parameter != 0 {
		c.fail("command %#x %#x %#x", t.parameter, t.status, t.control)
		return TRBError, id
	}
	switch t.kind() {
	case NoOp:
		return Success, 0
	case EnableSlot:
		for i := 1; i <= int(c.config&0xFF); i++ {
			if c.slots[i] == nil {
				c.slots[i] = &slot{c: c, id: i}
				return Success, i
			}
		}
		return NoSlots, 0
	}
	if id < 1 || id >= len(c.slots) || c.slots[id] == nil {
		c.fail("command %d for slot %d, which is disabled", t.kind(), id)
		return SlotDisabled, id
	}
	s := c.slots[id]
	switch t.kind() {
	case DisableSlot:
		for _, e := range s.endpoints {
			if e != nil {
				if e.active {
					c.fail("slot %d disabled while endpoint %d runs", id, e.index)
				}
				e.rest()
			}
		}
		c.slots[id] = nil
		return Success, id
	case AddressDevice:
		return c.address(ctx, s, t.parameter), id
	case ConfigureEndpoint:
		return c.configure(s, t.parameter), id
	case EvaluateContext:
		return c.evaluate(s, t.parameter), id
	}
	e := s.endpoints[t.endpoint()]
	if e == nil {
		c.fail("command %d for endpoint %d of slot %d, which is disabled", t.kind(), t.endpoint(),
			id)
		return EPDisabled, id
	}
	return c.endpointCommand(e, t), id
}

func (c *Controller) endpointCommand(e *endpoint, t request) int {
	switch t.kind() {
	case ResetEndpoint:
		if c.faults.NoLinkNoReset && !c.ports[e.slot.port-1].enabled {
			c.stopByItself()
		}
		if e.state != epHalted {
			return ContextState
		}
		if t.control&(1<<9) == 0 {
			e.fresh++
		}
		e.kept = true
		e.become(epStopped)
	case StopEndpoint:
		if e.state != epRunning || e.slot.c.faults.LateStop > 0 {
			e.slot.c.faults.LateStop--
			return ContextState
		}
		e.rest()
		if e.state != epRunning { // it has halted
			return ContextState
		}
		e.become(epStopped)
	case SetDequeue:
		if e.state != epStopped && e.state != epError {
			return ContextState
		}
		if t.parameter&0xE != 0 {
			c.fail("dequeue pointer %#x", t.parameter)
		}
		c.mem.dma(t.parameter&^0xF, 16, "dequeue pointer")
		e.dequeue, e.cycle, e.kept = t.parameter&^0xF, uint32(t.parameter&1), false
		e.become(epStopped)
	}
	return Success
}
