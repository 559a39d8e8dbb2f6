package xhcitest

import (
	"context"

	wire "tamaccid/ccid/usb"
)

// commandRing is the command ring (xHCI 1.2, 4.6.1).
type commandRing struct {
	dequeue uint64
	cycle   uint32
	running bool // CRR
	active  bool
	again   bool
	halt    bool          // it is to stop
	aborted chan struct{} // closed by an abort; there while a command is lost
}

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

func (c *Controller) writeCRCR(v uint64, high bool) {
	k := &c.command
	if !k.running {
		if v&(1<<1|1<<2) == 0 || high {
			if v&0x30 != 0 {
				c.fail("CRCR %#x", v)
			}
			c.crcr = v &^ 0xE
			k.dequeue, k.cycle = v&^0x3F, uint32(v&1)
		}
		return
	}
	switch {
	case v&(1<<2) == 0 || high:
	case k.aborted != nil:
		close(k.aborted)
		k.aborted = nil
	case k.active:
		k.halt = true // after the command in hand
	default:
		c.stopCommands()
	}
}

// stopCommands ends the work on the ring (xHCI 1.2, 4.6.1.1).
func (c *Controller) stopCommands() {
	c.command.running, c.command.halt = false, false
	c.post(c.command.dequeue, RingStopped<<24, 33<<10)
}

func (c *Controller) startCommands() {
	k := &c.command
	k.running = true
	if k.active {
		k.again = true
		return
	}
	k.active = true
	c.active++
	go c.workCommands(c.run)
}

func (c *Controller) workCommands(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := &c.command
	for ctx.Err() == nil && c.running() {
		if k.halt {
			c.stopCommands()
			break
		}
		t, ok := c.fetch(&k.dequeue, &k.cycle, "command ring")
		if !ok {
			if !k.again {
				break
			}
			k.again = false
			continue
		}
		if !c.runCommand(ctx, t) {
			break
		}
	}
	k.active = false
	c.active--
	c.moved.Broadcast()
}

// request is a transfer request block with its address.
type request struct {
	at        uint64
	parameter uint64
	status    uint32
	control   uint32
}

func (r request) kind() int { return int(r.control >> 10 & 0x3F) }

// maxLinks bounds links that lead to links.
const maxLinks = 4

// fetch takes the next block from a ring, past links (xHCI 1.2, 4.9.2, 4.11.5.1).
func (c *Controller) fetch(dequeue *uint64, cycle *uint32, what string) (r request, ok bool) {
	for range maxLinks {
		b := c.mem.dma(*dequeue, 16, what)
		if b == nil {
			return r, false
		}
		control := load(b, 12)
		if control&1 != *cycle {
			return r, false
		}
		r = request{at: *dequeue, parameter: u64(b, 0), status: u32(b, 8), control: control}
		if r.kind() != 6 {
			*dequeue += 16
			return r, true
		}
		if r.parameter&0xF != 0 || r.status&0x3FFFFF != 0 || control&^(1|2|1<<4|1<<5|0x3F<<10) != 0 {
			c.fail("%s: link %#x %#x %#x", what, r.parameter, r.status, control)
		}
		*dequeue = r.parameter
		if control&2 != 0 {
			*cycle ^= 1
		}
	}
	c.fail("%s: links to links", what)
	return r, false
}

// runCommand carries out one command and posts its event; false when the ring has stopped.
func (c *Controller) runCommand(ctx context.Context, t request) bool {
	id := int(t.control >> 24)
	kind := t.kind()
	var v Verdict
	if c.faults.Command != nil {
		v = c.faults.Command(kind, id)
	}
	switch {
	case v.Lose:
		return c.lose(ctx, t, id)
	case v.Code == 0:
		v.Code, id = c.do(ctx, t, id)
	}
	if ctx.Err() != nil {
		return false
	}
	if v.Slot != 0 {
		id = v.Slot
	}
	c.log = append(c.log, Done{kind, id, v.Code})
	c.post(t.at, uint32(v.Code)<<24, 33<<10|uint32(id)<<24)
	return true
}

// lose waits with a command until it is aborted.
func (c *Controller) lose(ctx context.Context, t request, id int) bool {
	k := &c.command
	aborted := make(chan struct{})
	k.aborted = aborted
	c.mu.Unlock()
	select {
	case <-aborted:
	case <-ctx.Done():
	}
	c.mu.Lock()
	k.aborted = nil
	if ctx.Err() != nil || c.faults.StuckAbort {
		return false
	}
	if !c.faults.SilentAbort {
		c.post(t.at, Aborted<<24, 33<<10|uint32(id)<<24)
	}
	c.stopCommands()
	return false
}

// allowed are the bits of control that each command has, next to cycle and type, and whether it has a parameter.
var allowed = map[int]struct {
	bits      uint32
	parameter bool
}{
	EnableSlot: {0x1F << 16, false}, DisableSlot: {0xFF << 24, false}, AddressDevice: {0xFF<<24 | 1<<9, true},
	ConfigureEndpoint: {0xFF<<24 | 1<<9, true}, EvaluateContext: {0xFF << 24, true}, ResetEndpoint: {0xFF<<24 | 0x1F<<16 | 1<<9, false},
	StopEndpoint: {0xFF<<24 | 0x1F<<16 | 1<<23, false}, SetDequeue: {0xFF<<24 | 0x1F<<16, true}, NoOp: {0, false},
}

// do carries a command out and returns its code and slot. Parts of it that take time are done without c.mu.
func (c *Controller) do(ctx context.Context, t request, id int) (code, slotID int) {
	a, ok := allowed[t.kind()]
	if !ok || t.control&^(1|0x3F<<10|a.bits) != 0 || t.status != 0 || !a.parameter && t.parameter != 0 {
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
					c.fail("slot %d disabled while endpoint %d is at work", id, e.index)
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
	e := s.endpoints[t.control>>16&0x1F]
	if e == nil {
		c.fail("command %d for endpoint %d of slot %d, which is disabled", t.kind(), t.control>>16&0x1F, id)
		return EPDisabled, id
	}
	return c.endpointCommand(e, t), id
}

func (c *Controller) endpointCommand(e *endpoint, t request) int {
	switch t.kind() {
	case ResetEndpoint:
		if e.state != epHalted {
			return ContextState
		}
		if t.control&(1<<9) == 0 {
			e.fresh++
		}
		e.become(epStopped)
	case StopEndpoint:
		if e.state != epRunning || e.slot.c.faults.LateStop > 0 {
			e.slot.c.faults.LateStop--
			return ContextState
		}
		e.rest()
		if e.state != epRunning { // it has halted just before
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
		e.dequeue, e.cycle = t.parameter&^0xF, uint32(t.parameter&1)
		e.become(epStopped)
	}
	return Success
}

// address is Address Device (xHCI 1.2, 4.6.5), with the SET_ADDRESS that goes with it.
func (c *Controller) address(ctx context.Context, s *slot, input uint64) int {
	in := c.input(input)
	if in == nil {
		return TRBError
	}
	if in.drop != 0 || in.add != 3 {
		c.fail("Address Device: drop %#x, add %#x", in.drop, in.add)
		return TRBError
	}
	if s.state >= slotAddressed {
		c.fail("Address Device: slot %d is addressed", s.id)
		return ContextState
	}
	if !c.readSlot(s, in.context(0), 1) {
		return Parameter
	}
	for _, o := range c.slots {
		if o != nil && o != s && o.port == s.port && o.route == s.route && o.state >= slotAddressed {
			c.fail("Address Device: slot %d has this device already", o.id)
		}
	}
	e := c.readEndpoint(s, 1, in.context(1))
	if e == nil {
		return Parameter
	}
	s.endpoints[1] = e
	s.device = c.behind(s.port, s.route)
	if s.device != nil && s.device.Speed() != s.speed {
		c.fail("Address Device: the device has %v, not %v", s.device.Speed(), s.speed)
	}
	d := s.device
	if d == nil {
		return Transaction
	}
	c.mu.Unlock()
	_, err := d.Control(ctx, wire.Setup{Request: wire.RequestSetAddress, Value: uint16(s.id)}, nil)
	c.mu.Lock()
	if err != nil {
		s.state = slotDefault
		return codeOf(err)
	}
	s.state = slotAddressed
	out := s.context(0)
	if out == nil {
		return TRBError
	}
	copy(out, in.context(0))
	set32(out, 12, slotAddressed<<27|uint32(s.id))
	if out = s.context(1); out != nil {
		copy(out, in.context(1))
	}
	e.become(epRunning)
	return Success
}

// evaluate is Evaluate Context (xHCI 1.2, 4.6.7).
func (c *Controller) evaluate(s *slot, input uint64) int {
	in := c.input(input)
	if in == nil || in.drop != 0 || in.add&^3 != 0 {
		c.fail("Evaluate Context: flags")
		return TRBError
	}
	if s.state < slotDefault {
		return ContextState
	}
	if in.add&2 != 0 {
		e := c.readEndpoint(s, 1, in.context(1))
		if e == nil {
			return Parameter
		}
		s.endpoints[1].packet = e.packet
		if out := s.context(1); out != nil {
			set32(out, 4, u32(in.context(1), 4))
		}
	}
	return Success
}

// configure is Configure Endpoint (xHCI 1.2, 4.6.6).
func (c *Controller) configure(s *slot, input uint64) int {
	in := c.input(input)
	if in == nil {
		return TRBError
	}
	if in.drop&3 != 0 || in.add&3 != 1 {
		c.fail("Configure Endpoint: drop %#x, add %#x", in.drop, in.add)
		return TRBError
	}
	if s.state < slotAddressed {
		return ContextState
	}
	var next [32]*endpoint
	last := 1
	for i := 2; i < 32; i++ {
		bit := uint32(1) << i
		switch next[i] = s.endpoints[i]; {
		case in.drop&bit != 0 && s.endpoints[i] == nil:
			c.fail("Configure Endpoint: endpoint %d dropped, which is not there", i)
		case in.drop&bit == 0 && in.add&bit != 0 && s.endpoints[i] != nil:
			c.fail("Configure Endpoint: endpoint %d added, which is there", i)
		}
		if in.drop&bit != 0 {
			next[i] = nil
		}
		if in.add&bit != 0 {
			if next[i] = c.readEndpoint(s, i, in.context(i)); next[i] == nil {
				return Parameter
			}
			if old := s.endpoints[i]; old != nil {
				next[i].fresh = old.fresh + 1
			}
		}
		if next[i] != nil {
			last = i
		}
	}
	if !c.readSlot(s, in.context(0), last) {
		return Parameter
	}
	for i := 2; i < 32; i++ {
		if old := s.endpoints[i]; old != nil && old != next[i] {
			if old.active {
				c.fail("Configure Endpoint: endpoint %d dropped while it is at work", i)
			}
			old.rest()
			old.become(epDisabled)
		}
	}
	s.endpoints = [32]*endpoint(append([]*endpoint{nil, s.endpoints[1]}, next[2:]...))
	s.state = slotConfigured
	if out := s.context(0); out != nil {
		address := u32(out, 12) & 0xFF
		copy(out, in.context(0))
		set32(out, 12, slotConfigured<<27|address)
	}
	for i := 2; i < 32; i++ {
		if in.add&(1<<i) != 0 {
			if out := s.context(i); out != nil {
				copy(out, in.context(i))
			}
			next[i].become(epRunning)
		}
	}
	return Success
}
