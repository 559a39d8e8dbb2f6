package xhcitest

import "tamaccid/ccid/usb"

// inputContext is an input context (xHCI 1.2, 6.2.5).
type inputContext struct {
	b         []byte
	size      int
	drop, add uint32
}

func (in *inputContext) context(i int) []byte { return in.b[(i+1)*in.size:][:in.size] }

// input checks and returns the input context at an address.
func (c *Controller) input(at uint64) *inputContext {
	if at&0xF != 0 {
		c.fail("input context at %#x", at)
		return nil
	}
	n := c.contextSize()
	b := c.mem.dma(at, 33*n, "input context")
	if b == nil {
		return nil
	}
	if at/0x1000 != (at+uint64(33*n)-1)/0x1000 {
		c.fail("input context at %#x crosses a page", at)
	}
	for i := 8; i < 32; i += 4 {
		if u32(b, i) != 0 {
			c.fail("input control context: %#x at %d", u32(b, i), i)
		}
	}
	return &inputContext{b: b, size: n, drop: u32(b, 0), add: u32(b, 4)}
}

// speeds are the speed IDs of a slot context, including those of the own table.
var speeds = map[uint32]usb.Speed{
	1: usb.SpeedFull, 2: usb.SpeedLow, 3: usb.SpeedHigh, 4: usb.SpeedSuper,
	5: usb.SpeedLow, 6: usb.SpeedFull, 7: usb.SpeedHigh, 9: usb.SpeedSuper,
}

// readSlot checks a slot context (xHCI 1.2, 6.2.2) whose last endpoint is last, and stores it.
func (c *Controller) readSlot(s *slot, b []byte, last int) bool {
	w0, w1, w2 := u32(b, 0), u32(b, 4), u32(b, 8)
	for i := 12; i < len(b); i += 4 {
		if u32(b, i) != 0 {
			c.fail("slot context: %#x at %d", u32(b, i), i)
		}
	}
	speed, known := speeds[w0>>20&0xF]
	port := int(w1 >> 16 & 0xFF)
	switch {
	case !known:
		c.fail("slot context: speed %d", w0>>20&0xF)
	case w0&0xFFFFF == 0 && (w0>>20&0xF >= 5) != c.o.SpeedTable:
		c.fail("slot context: speed %d on a root port with another table", w0>>20&0xF)
	case int(w0>>27) != last:
		c.fail("slot context: %d entries, not %d", w0>>27, last)
	case port < 1 || port > len(c.ports):
		c.fail("slot context: root port %d", port)
	case w0&(1<<24) != 0 || w2&(0xF<<18) != 0:
		c.fail("slot context: reserved bits")
	case w2>>22 != 0:
		c.fail("slot context: interrupter %d", w2>>22)
	default:
		if tt := w2 & 0xFF; tt != 0 {
			hub := c.slots[min(int(tt), len(c.slots)-1)]
			if hub == nil || hub.speed != usb.SpeedHigh || speed != usb.SpeedLow &&
				speed != usb.SpeedFull || w2>>8&0xFF == 0 {
				c.fail("slot context: transaction translator %#x of a device at %v", w2, speed)
			} else if out := hub.context(0); out != nil &&
				(u32(out, 0)>>26&1 == 0 || (u32(out, 0)^w0)>>25&1 != 0) {
				c.fail("slot context: %#x does not agree with that of its translator's hub, %#x",
					w0, u32(out, 0))
			}
		}
		s.port, s.route, s.speed = port, w0&0xFFFFF, speed
		return true
	}
	return false
}

// readEndpoint checks an endpoint context (xHCI 1.2, 6.2.3, 4.8.2.1 - 4.8.2.5).
func (c *Controller) readEndpoint(s *slot, index int, b []byte) *endpoint {
	w0, w1, w4 := u32(b, 0), u32(b, 4), u32(b, 16)
	kind, packet, burst := w1>>3&7, int(w1>>16), w1>>8&0xFF
	interval, average, esit := w0>>16&0xFF, w4&0xFFFF, w4>>16|w0>>24<<16
	bad := func(what string, v any) *endpoint {
		c.fail("endpoint context %d: %s %v", index, what, v)
		return nil
	}
	for i := 20; i < len(b); i += 4 {
		if u32(b, i) != 0 {
			return bad("reserved word", i)
		}
	}
	control, bulk, interrupt := kind == 4, kind&3 == 2, kind&3 == 3
	in := kind&4 != 0
	switch {
	case w0&7 != 0 || w0&(0x1F<<3) != 0 || w0>>8&3 != 0 || w0>>10&0x3F != 0:
		return bad("state, mult or streams", w0)
	case w1&1 != 0 || w1&(1<<6) != 0:
		return bad("reserved bits", w1)
	case w1>>1&3 != 3:
		return bad("error count", w1>>1&3)
	case control != (index == 1) || !control && !bulk && !interrupt:
		return bad("type", kind)
	case !control && in != (index&1 == 1):
		return bad("direction", kind)
	case average == 0:
		return bad("average TRB length", average)
	case (esit != 0) != interrupt || esit > uint32(packet)*(burst+1) || interrupt &&
		s.speed != usb.SpeedSuper && esit != uint32(packet)*(burst+1):
		return bad("max ESIT payload", esit)
	case burst > 15 || burst > 0 && s.speed != usb.SpeedSuper &&
		!(s.speed == usb.SpeedHigh && interrupt && burst <= 2):
		return bad("burst", burst)
	case !intervalFits(interval, s.speed, interrupt):
		return bad("interval", interval)
	case !packetFits(packet, s.speed, control, bulk):
		return bad("packet size", packet)
	}
	pointer := u64(b, 8)
	if pointer&0xE != 0 {
		return bad("dequeue pointer", pointer)
	}
	if c.mem.dma(pointer&^0xF, 16, "transfer ring") == nil {
		return nil
	}
	return &endpoint{slot: s, index: index, kind: kind, packet: packet, dequeue: pointer &^ 0xF,
		cycle: uint32(pointer & 1)}
}

// intervalFits is xHCI 1.2, table 6-12.
func intervalFits(v uint32, s usb.Speed, interrupt bool) bool {
	switch {
	case !interrupt:
		return v == 0 || s == usb.SpeedHigh && v <= 15
	case s == usb.SpeedLow || s == usb.SpeedFull:
		return v >= 3 && v <= 10
	}
	return v <= 15
}

// packetFits is USB 2.0, 5.5.3, 5.7.3, 5.8.3 and USB 3.2, 9.6.6. Bulk endpoints at low speed
// violate USB 2.0, but such devices exist.
func packetFits(n int, s usb.Speed, control, bulk bool) bool {
	switch s {
	case usb.SpeedSuper:
		return control && n == 512 || bulk && n == 1024 || !control && !bulk && n > 0 && n <= 1024
	case usb.SpeedHigh:
		return control && n == 64 || bulk && n == 512 || !control && !bulk && n > 0 && n <= 1024
	}
	most := 64
	if s == usb.SpeedLow && !bulk {
		most = 8
	}
	return n > 0 && n <= most && (!control && !bulk || n >= 8 && n&(n-1) == 0)
}
