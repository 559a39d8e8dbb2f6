package xhcitest

import (
	"context"

	"tamaccid/ccid/usb"
)

// controlTransfer executes a setup stage and the stages that follow it (xHCI 1.2, 4.11.2.2). It
// reports whether the endpoint continues.
func (e *endpoint) controlTransfer(ctx context.Context, setup []request, next uint64,
	cycle uint32) bool {
	c := e.slot.c
	s := setup[0]
	e.check(s, s.kind() == 2)
	if len(setup) != 1 || s.length() != 8 || s.control&(1<<6) == 0 ||
		s.control&^(1|1<<5|1<<6|0x3F<<10|3<<16) != 0 {
		c.fail("setup stage %#x %#x", s.status, s.control)
	}
	var raw [8]byte
	for i := range raw {
		raw[i] = byte(s.parameter >> (8 * i))
	}
	packet := usb.ParseSetup(raw)
	if packet.RequestType == 0 && packet.Request == usb.RequestSetAddress {
		c.fail("SET_ADDRESS sent by software")
	}
	if c.faults.SplitControl && c.linked(next, cycle) {
		e.event(s, Transaction, 0)
		e.become(epHalted)
		return true
	}
	var data []request
	status, ok := e.descriptor(&next, &cycle)
	if ok && status[0].kind() == 3 {
		data = status
		status, ok = e.descriptor(&next, &cycle)
	}
	if !ok {
		c.fail("control transfer without a status stage")
		return false
	}
	e.checkStages(packet, s, data, status)
	e.runControl(ctx, packet, data, status[0], next, cycle)
	return true
}

// checkStages checks the TDs of a control transfer.
func (e *endpoint) checkStages(packet usb.Setup, s request, data, status []request) {
	c := e.slot.c
	kind := uint32(0)
	if len(data) > 0 {
		kind = 2
		if packet.In() {
			kind = 3
		}
	}
	if s.control>>16&3 != kind {
		c.fail("setup stage: transfer type %d, not %d", s.control>>16&3, kind)
	}
	for i, r := range data {
		e.check(r, i == 0 && r.kind() == 3 || i > 0 && r.kind() == 1)
		if i == 0 && r.control>>16&1 != uint32(packet.RequestType>>7) {
			c.fail("data stage: wrong direction")
		}
	}
	if len(data) > 0 {
		e.checkSizes(data)
	}
	if n := total(data); n != int(packet.Length) {
		c.fail("data stage of %d bytes, wLength %d", n, packet.Length)
	}
	t := status[0]
	in := uint32(1)
	if len(data) > 0 && packet.In() {
		in = 0
	}
	if len(status) != 1 || t.kind() != 4 || t.parameter != 0 || t.status != 0 ||
		t.control>>16&1 != in {
		c.fail("status stage %#x %#x %#x", t.parameter, t.status, t.control)
	}
}

// runControl performs the transfer and posts its events.
func (e *endpoint) runControl(
	ctx context.Context, packet usb.Setup, data []request, status request, next uint64,
	cycle uint32,
) {
	c, d := e.slot.c, e.slot.device
	buf := make([]byte, packet.Length)
	if !packet.In() {
		buf = e.gather(data)
	}
	n, err := 0, error(usb.ErrGone)
	if d != nil {
		c.mu.Unlock()
		n, err = d.Control(ctx, packet, buf)
		err = blocked(ctx, err)
		c.mu.Lock()
	}
	if e.run.Err() != nil || !c.running() {
		return
	}
	if e.slot.device == nil && err != nil {
		err = usb.ErrGone
	}
	switch {
	case err != nil && len(data) > 0:
		e.event(data[0], codeOf(err), data[0].length())
	case err != nil:
		e.event(status, codeOf(err), 0)
	default:
		if packet.In() {
			e.scatter(data, buf[:n])
			e.report(data, n, nil)
		}
		if status.control&(1<<5) != 0 {
			e.event(status, Success, 0)
		}
		e.dequeue, e.cycle = next, cycle
	}
	e.settled(err)
}
