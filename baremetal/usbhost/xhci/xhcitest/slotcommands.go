package xhcitest

import (
	"context"

	"tamaccid/ccid/usb"
)

// address is the address of the device: from 1 to 127, not the slot's number.
func (s *slot) address() uint8 { return uint8(1 + (s.id+62)%127) }

// address is Address Device (xHCI 1.2, 4.6.5), including SET_ADDRESS.
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
		if o != nil && o != s && o.port == s.port && o.route == s.route &&
			o.state >= slotAddressed {
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
	setup := usb.Setup{Request: usb.RequestSetAddress, Value: uint16(s.address())}
	_, err := d.Control(ctx, setup, nil)
	err = blocked(ctx, err)
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
	set32(out, 12, slotAddressed<<27|uint32(s.address()))
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
			c.fail("Configure Endpoint: endpoint %d dropped, which does not exist", i)
		case in.drop&bit == 0 && in.add&bit != 0 && s.endpoints[i] != nil:
			c.fail("Configure Endpoint: endpoint %d added, which exists", i)
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
				c.fail("Configure Endpoint: endpoint %d dropped while it runs", i)
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
