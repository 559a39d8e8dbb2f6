package xhcitest

import (
	"context"
	"errors"
	"time"

	"tamaccid/baremetal/usbhost/usbtest"
	"tamaccid/ccid/usb"
)

// work executes the TDs of an endpoint until the ring is empty, or the endpoint halts or is
// stopped.
func (e *endpoint) work(ctx context.Context) {
	c := e.slot.c
	c.mu.Lock()
	defer c.mu.Unlock()
	e.begin(ctx)
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

// begin is a slow start (Faults.SlowStart). The controller has read the dequeue pointer before it,
// and ignores changes during it.
func (e *endpoint) begin(ctx context.Context) {
	if !e.begins {
		return
	}
	c := e.slot.c
	dequeue, cycle, takes := e.dequeue, e.cycle, c.faults.SlowStart
	c.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
	}
	c.mu.Lock()
	if e.begins = false; ctx.Err() == nil {
		e.dequeue, e.cycle = dequeue, cycle
		e.become(epRunning)
	}
}

// once executes one transfer. It reports whether there was one.
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

// descriptor reads a TD: TRBs up to the first one that is not chained.
func (e *endpoint) descriptor(at *uint64, cycle *uint32) (td []request, ok bool) {
	c := e.slot.c
	const most = 300 // TRBs
	for len(td) < most {
		r, ok := c.fetch(at, cycle, "transfer ring")
		if !ok {
			if len(td) > 0 {
				c.fail("slot %d, endpoint %d: a TD without an end", e.slot.id, e.index)
			}
			return nil, false
		}
		td = append(td, r)
		if r.control&(1<<4) == 0 {
			return td, true
		}
	}
	c.fail("slot %d, endpoint %d: a TD of %d TRBs", e.slot.id, e.index, most)
	return nil, false
}

// check checks a TRB of a transfer (xHCI 1.2, 6.4.1).
func (e *endpoint) check(r request, kindOK bool) {
	c := e.slot.c
	switch {
	case !kindOK:
		c.fail("slot %d, endpoint %d: TRB of type %d", e.slot.id, e.index, r.kind())
	case r.status>>22 != 0:
		c.fail("interrupter %d", r.status>>22)
	case r.length() > 65536:
		c.fail("TRB of %d bytes", r.length())
	case r.length() > 0 && r.control&(1<<6) == 0 &&
		r.parameter>>16 != (r.parameter+uint64(r.length())-1)>>16:
		c.fail("TRB of %d bytes at %#x crosses 64 KiB", r.length(), r.parameter)
	}
}

// checkSizes compares TD sizes with the number of packets after each TRB (xHCI 1.2, 4.11.2.4).
// Before version 1.0 they are kilobytes, including the TRB's own (Linux, xhci_td_remainder).
func (e *endpoint) checkSizes(td []request) {
	all, at := total(td), 0
	for i, r := range td {
		before := at
		at += r.length()
		want := (all+e.packet-1)/e.packet - at/e.packet
		if i == len(td)-1 {
			want = 0
		}
		if e.slot.c.o.Version < 0x100 {
			want = (all - before) >> 10
		}
		if got := int(r.status >> 17 & 0x1F); got != min(want, 31) {
			e.slot.c.fail("TD size %d of TRB %d, not %d", got, i, want)
		}
	}
}

// address is bEndpointAddress.
func (e *endpoint) address() uint8 {
	return uint8(e.index/2) | uint8(e.index&1)<<7
}

func (e *endpoint) in() bool { return e.index&1 == 1 }

// event posts a transfer event of a TRB.
func (e *endpoint) event(r request, code, left int) {
	if !e.slot.c.faults.DropTransfers {
		e.slot.c.post(r.at, uint32(code)<<24|uint32(left), 32<<10|uint32(e.index)<<16|
			uint32(e.slot.id)<<24)
	}
}

// settled halts the endpoint after an error.
func (e *endpoint) settled(err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		e.become(epHalted)
	}
}

// blocked waits for the end of ctx if an endpoint responds with NAK without end.
func blocked(ctx context.Context, err error) error {
	if errors.Is(err, usbtest.ErrBlocked) {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

// codeOf is the completion code of an error of a device.
func codeOf(err error) int {
	switch {
	case errors.Is(err, context.Canceled):
		return Stopped
	case errors.Is(err, usb.ErrStall):
		return StallError
	case errors.Is(err, usb.ErrBabble):
		return Babble
	}
	return Transaction
}
