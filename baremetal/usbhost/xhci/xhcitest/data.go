package xhcitest

import (
	"context"

	"tamaccid/ccid/usb"
)

// dataTransfer performs a bulk or interrupt transfer.
func (e *endpoint) dataTransfer(ctx context.Context, td []request, next uint64, cycle uint32) {
	c, d := e.slot.c, e.slot.device
	var n int
	var err error
	buf := make([]byte, total(td))
	if !e.in() {
		buf = e.gather(td)
	}
	if d == nil {
		err = usb.ErrGone
	} else {
		c.mu.Unlock()
		if e.in() {
			n, err = d.In(ctx, e.address(), buf)
		} else if err = blocked(ctx, d.Out(ctx, e.address(), buf)); err == nil {
			n = len(buf)
		}
		c.mu.Lock()
	}
	if e.run.Err() != nil || !c.running() {
		return // reset or halted during the transfer: no more DMA
	}
	if e.in() {
		e.scatter(td, buf[:n])
	}
	if e.slot.device == nil && err != nil {
		err = usb.ErrGone
	}
	e.report(td, n, err)
	if err == nil {
		e.dequeue, e.cycle = next, cycle
	}
	e.settled(err)
}

// report posts the events of a TD of which n bytes were transferred (xHCI 1.2, 4.10.1, 4.10.1.1).
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
				e.event(end, second, at+size-n) // a second one, for the last TRB of the TD
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

// gather reads the data of a TD, and scatter writes them.
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
