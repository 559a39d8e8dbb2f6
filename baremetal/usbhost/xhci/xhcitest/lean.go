package xhcitest

import "context"

// Lean makes the controller complete transfers during the write of the doorbell, with few checks
// and without allocations, to measure the driver alone. Control transfers have no effect.
func (c *Controller) Lean(on bool) {
	c.mu.Lock()
	c.lean = on
	c.mu.Unlock()
}

// lean executes the TRBs in a ring.
func (e *endpoint) lean() {
	c, d := e.slot.c, e.slot.device
	for {
		r, ok := c.fetch(&e.dequeue, &e.cycle, "transfer ring")
		if !ok {
			return
		}
		n := r.length()
		if e.index == 1 {
			if r.kind() == 4 {
				e.event(r, Success, 0)
			}
			continue
		}
		b := c.mem.dma(r.parameter, n, "data")
		if !e.in() {
			d.Out(context.Background(), e.address(), b)
			e.event(r, Success, 0)
			continue
		}
		got, _ := d.In(context.Background(), e.address(), b)
		code := Success
		if got < n {
			code = ShortPacket
		}
		e.event(r, code, n-got)
		for got < n && r.control&(1<<4) != 0 { // the rest of the TD
			if r, ok = c.fetch(&e.dequeue, &e.cycle, "transfer ring"); !ok {
				return
			}
		}
	}
}
