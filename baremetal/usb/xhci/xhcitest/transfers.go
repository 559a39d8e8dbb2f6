package xhcitest

import (
	"context"
	"errors"

	wire "tamaccid/ccid/usb"
)

// work carries out the transfer descriptors of an endpoint until there are no more, it halts, or it is stopped.
func (e *endpoint) work(ctx context.Context) {
	c := e.slot.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for ctx.Err() == nil && c.running() && e.state == epRunning {
		if e.once(ctx) {
			continue
		}
		if !e.again {
			break
		}
		e.again = false
	}
	e.active, e.again = false, false
	c.active--
	c.moved.Broadcast()
}

// once carries out one transfer; false when there is none.
func (e *endpoint) once(ctx context.Context) bool {
	at, cycle := e.dequeue, e.cycle
	td, ok := e.descriptor(&at, &cycle)
	if !ok {
		return false
	}
	if e.index == 1 {
		return e.controlTransfer(ctx, td, at, cycle)
	}
	for _, r := range td {
		e.check(r, r.kind() == 1)
	}
	e.checkSizes(td)
	e.dataTransfer(ctx, td, at, cycle)
	return true
}

// descriptor reads a whole transfer descriptor: blocks up to the first that is not chained.
func (e *endpoint) descriptor(at *uint64, cycle *uint32) (td []request, ok bool) {
	c := e.slot.c
	const most = 300 // blocks
	for len(td) < most {
		r, ok := c.fetch(at, cycle, "transfer ring")
		if !ok {
			if len(td) > 0 {
				c.fail("slot %d, endpoint %d: a descriptor that does not end", e.slot.id, e.index)
			}
			return nil, false
		}
		td = append(td, r)
		if r.control&(1<<4) == 0 {
			return td, true
		}
	}
	c.fail("slot %d, endpoint %d: a descriptor of %d blocks", e.slot.id, e.index, most)
	return nil, false
}

func (r request) length() int { return int(r.status & 0x1FFFF) }

// check is what holds for each block (xHCI 1.2, 6.4.1).
func (e *endpoint) check(r request, kindOK bool) {
	c := e.slot.c
	switch {
	case !kindOK:
		c.fail("slot %d, endpoint %d: block of type %d", e.slot.id, e.index, r.kind())
	case r.status>>22 != 0:
		c.fail("interrupter %d", r.status>>22)
	case r.length() > 65536:
		c.fail("block of %d bytes", r.length())
	case r.length() > 0 && r.control&(1<<6) == 0 && r.parameter>>16 != (r.parameter+uint64(r.length())-1)>>16:
		c.fail("block of %d bytes at %#x crosses 64 KiB", r.length(), r.parameter)
	}
}

// checkSizes compares TD sizes with the packets that are left (xHCI 1.2, 4.11.2.4).
func (e *endpoint) checkSizes(td []request) {
	total, at := 0, 0
	for _, r := range td {
		total += r.length()
	}
	for i, r := range td {
		at += r.length()
		want := (total+e.packet-1)/e.packet - at/e.packet
		if e.slot.c.o.Version < 0x100 {
			want = (total - at) >> 10
		}
		if want = min(want, 31); i == len(td)-1 {
			want = 0
		}
		if got := int(r.status >> 17 & 0x1F); got != want {
			e.slot.c.fail("TD size %d of block %d, not %d", got, i, want)
		}
	}
}

// address is the endpoint's on the bus.
func (e *endpoint) address() uint8 {
	return uint8(e.index/2) | uint8(e.index&1)<<7
}

func (e *endpoint) in() bool { return e.index&1 == 1 }

// event posts a transfer event about a block.
func (e *endpoint) event(r request, code, left int) {
	if !e.slot.c.faults.DropTransfers {
		e.slot.c.post(r.at, uint32(code)<<24|uint32(left), 32<<10|uint32(e.index)<<16|uint32(e.slot.id)<<24)
	}
}

// gather and scatter move the data of blocks.
func (e *endpoint) gather(td []request) (b []byte) {
	for _, r := range td {
		if p := e.slot.c.mem.dma(r.parameter, r.length(), "data"); p != nil {
			b = append(b, p...)
		}
	}
	return b
}

func (e *endpoint) scatter(td []request, b []byte) {
	for _, r := range td {
		n := min(r.length(), len(b))
		if p := e.slot.c.mem.dma(r.parameter, n, "data"); p != nil {
			copy(p, b)
		}
		b = b[n:]
	}
}

func total(td []request) (n int) {
	for _, r := range td {
		n += r.length()
	}
	return n
}

// dataTransfer is a bulk or interrupt transfer.
func (e *endpoint) dataTransfer(ctx context.Context, td []request, next uint64, cycle uint32) {
	c, d := e.slot.c, e.slot.device
	var n int
	var err error
	buf := make([]byte, total(td))
	if !e.in() {
		buf = e.gather(td)
	}
	if d == nil {
		err = wire.ErrGone
	} else {
		c.mu.Unlock()
		if e.in() {
			n, err = d.In(ctx, e.address(), buf)
		} else if err = d.Out(ctx, e.address(), buf); err == nil {
			n = len(buf)
		}
		c.mu.Lock()
	}
	if e.run.Err() != nil || !c.running() {
		return // reset or halted meanwhile: no more DMA
	}
	if e.in() {
		e.scatter(td, buf[:n])
	}
	if e.slot.device == nil && err != nil {
		err = wire.ErrGone
	}
	e.report(td, n, err)
	if err == nil {
		e.dequeue, e.cycle = next, cycle
	}
	e.settled(err)
}

// settled halts an endpoint after an error.
func (e *endpoint) settled(err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		e.become(epHalted)
	}
}

// report posts the events of data blocks, n bytes having been moved (xHCI 1.2, 4.10.1, 4.10.1.1). It says whether the packet was short.
func (e *endpoint) report(td []request, n int, err error) {
	at := 0
	for i, r := range td {
		size := r.length()
		last := i == len(td)-1
		short := err == nil && n < at+size && e.in()
		switch {
		case err != nil && (n < at+size || last):
			e.event(r, codeOf(err), at+size-n)
			return
		case short && (r.control&(1<<2) != 0 || last && r.control&(1<<5) != 0):
			first, second := ShortPacket, ShortPacket
			if e.slot.c.faults.ShortSuccess {
				first = Success
			}
			if e.slot.c.faults.TwiceSuccess {
				second = Success
			}
			if end := td[len(td)-1]; !last && end.control&(1<<5) != 0 && first == ShortPacket {
				e.event(r, first, at+size-n)
				e.event(end, second, at+size-n) // a second one, for the end of the descriptor
			} else {
				e.event(r, first, at+size-n)
			}
			return
		case short:
			return
		case r.control&(1<<5) != 0:
			e.event(r, Success, 0)
		}
		at += size
	}
}

// codeOf is the completion code of an error on the wire.
func codeOf(err error) int {
	switch {
	case errors.Is(err, context.Canceled):
		return Stopped
	case errors.Is(err, wire.ErrStall):
		return StallError
	case errors.Is(err, wire.ErrBabble):
		return Babble
	}
	return Transaction
}

// controlTransfer is a setup stage with the stages that follow (xHCI 1.2, 4.11.2.2).
func (e *endpoint) controlTransfer(ctx context.Context, setup []request, next uint64, cycle uint32) bool {
	c := e.slot.c
	s := setup[0]
	e.check(s, s.kind() == 2)
	if len(setup) != 1 || s.length() != 8 || s.control&(1<<6) == 0 || s.control&^(1|1<<5|1<<6|0x3F<<10|3<<16) != 0 {
		c.fail("setup stage %#x %#x", s.status, s.control)
	}
	var raw [8]byte
	for i := range raw {
		raw[i] = byte(s.parameter >> (8 * i))
	}
	packet := wire.ParseSetup(raw)
	if packet.RequestType == 0 && packet.Request == wire.RequestSetAddress {
		c.fail("SET_ADDRESS sent by software")
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

func (e *endpoint) checkStages(packet wire.Setup, s request, data, status []request) {
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
	if len(status) != 1 || t.kind() != 4 || t.parameter != 0 || t.status != 0 || t.control>>16&1 != in {
		c.fail("status stage %#x %#x %#x", t.parameter, t.status, t.control)
	}
}

func (e *endpoint) runControl(ctx context.Context, packet wire.Setup, data []request, status request, next uint64, cycle uint32) {
	c, d := e.slot.c, e.slot.device
	buf := make([]byte, packet.Length)
	if !packet.In() {
		buf = e.gather(data)
	}
	n, err := 0, error(wire.ErrGone)
	if d != nil {
		c.mu.Unlock()
		n, err = d.Control(ctx, packet, buf)
		c.mu.Lock()
	}
	if e.run.Err() != nil || !c.running() {
		return
	}
	if e.slot.device == nil && err != nil {
		err = wire.ErrGone
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
