package xhcitest

// request is a TRB with its address.
type request struct {
	at        uint64
	parameter uint64
	status    uint32
	control   uint32
}

func (r request) kind() int { return int(r.control >> 10 & 0x3F) }

func (r request) endpoint() int { return int(r.control >> 16 & 0x1F) }

func (r request) length() int { return int(r.status & 0x1FFFF) }

// maxLinks bounds consecutive links.
const maxLinks = 4

// fetch reads the next TRB of a ring and follows links (xHCI 1.2, 4.9.2, 4.11.5.1).
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
		if r.parameter&0xF != 0 || r.status&0x3FFFFF != 0 ||
			control&^(1|2|1<<4|1<<5|0x3F<<10) != 0 {
			c.fail("%s: link %#x %#x %#x", what, r.parameter, r.status, control)
		}
		if c.faults.Overfetch {
			c.mem.dma(*dequeue+16, 4*16, what+", beyond the link")
		}
		*dequeue = r.parameter
		if control&2 != 0 {
			*cycle ^= 1
		}
	}
	c.fail("%s: links to links", what)
	return r, false
}

// linked reports whether the next TRB of a ring is a link.
func (c *Controller) linked(dequeue uint64, cycle uint32) bool {
	b := c.mem.dma(dequeue, 16, "transfer ring")
	return b != nil && load(b, 12)&1 == cycle && load(b, 12)>>10&0x3F == 6
}
