package xhcitest

// eventRing is the producer's side of the event ring of one segment (xHCI 1.2, 4.9.4).
type eventRing struct {
	base  uint64
	size  int
	next  int
	cycle uint32
	full  bool
	queue [][3]uint64 // events that wait for space
}

// startEvents starts the event ring, after a write of ERSTBA.
func (c *Controller) startEvents() {
	if c.erstsz != 1 {
		c.fail("ERSTSZ %d", c.erstsz)
		return
	}
	if c.erstba%64 != 0 {
		c.fail("ERSTBA %#x", c.erstba)
		return
	}
	b := c.mem.dma(c.erstba, 16, "segment table")
	if b == nil {
		return
	}
	base, size := u64(b, 0), u32(b, 8)
	if base%64 != 0 || size < 16 || size > 4096 || u32(b, 12) != 0 {
		c.fail("event ring segment at %#x, size %d", base, size)
		return
	}
	if c.mem.dma(base, int(size)*16, "event ring") == nil {
		return
	}
	c.events = eventRing{base: base, size: int(size), cycle: 1}
	if c.erdp != base {
		c.fail("ERDP %#x is not the start of the segment", c.erdp)
	}
}

// free is the number of events that fit. One TRB always stays free.
func (e *eventRing) free(erdp uint64) int {
	read := int(erdp&^0xF-e.base) / 16
	return (read - e.next - 1 + e.size) % e.size
}

// post puts an event into the ring. The last free TRB is for the Event Ring Full event.
func (c *Controller) post(parameter uint64, status, control uint32) {
	e := &c.events
	if e.size == 0 || c.removed {
		return
	}
	switch {
	case len(e.queue) > 0 || e.free(c.erdp) <= 1:
		if !e.full {
			e.full = true
			c.filled++
			c.write(0, 21<<24, 37<<10)
		}
		e.queue = append(e.queue, [3]uint64{parameter, uint64(status), uint64(control)})
	default:
		c.write(parameter, status, control)
	}
}

// write writes an event to the ring and raises the interrupt.
func (c *Controller) write(parameter uint64, status, control uint32) {
	e := &c.events
	b := c.mem.dma(e.base+uint64(e.next*16), 16, "event")
	if b == nil {
		return
	}
	set32(b, 0, uint32(parameter))
	set32(b, 4, uint32(parameter>>32))
	set32(b, 8, status)
	store(b, 12, control&^1|e.cycle)
	if e.next++; e.next == e.size {
		e.next, e.cycle = 0, e.cycle^1
	}
	if c.usbcmd&(1<<2) != 0 && c.iman&2 != 0 {
		c.iman |= 1
		c.usbsts |= 1 << 3
		select {
		case c.Interrupt <- struct{}{}:
		default:
		}
	}
}

// flushEvents writes waiting events, after a write of ERDP.
func (c *Controller) flushEvents() {
	e := &c.events
	if e.size == 0 {
		return
	}
	if at := c.erdp &^ 0xF; at < e.base || at >= e.base+uint64(e.size*16) {
		c.fail("ERDP %#x is not in the ring", at)
		c.erdp = e.base
	}
	for len(e.queue) > 0 && e.free(c.erdp) > 1 {
		v := e.queue[0]
		e.queue = e.queue[1:]
		c.write(v[0], uint32(v[1]), uint32(v[2]))
	}
	if len(e.queue) == 0 {
		e.full = false
	}
}

// Filled is how often the event ring was full.
func (c *Controller) Filled() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.filled
}
