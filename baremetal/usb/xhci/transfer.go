package xhci

import (
	"context"
	"fmt"
	"time"

	wire "tamaccid/ccid/usb"
)

// Sizes of transfers; policy. Data are copied through pieces of memory that the controller can reach, a page each: a board finds
// pages long after it has no 64 KiB in one piece any more, and no page crosses a 64 KiB boundary (xHCI 1.2, table 6-1).
const (
	pieceSize   = 4096
	maxTransfer = 64 << 10
	maxTD       = maxTransfer/pieceSize + 2 // with setup and status stages
)

// softRetries is how often a bulk or interrupt transfer goes on after a transaction error (xHCI 1.2, 4.6.8.1), each time with three
// tries of the controller's; policy.
const softRetries = 3

// transfer is what is in flight on an endpoint: blocks of its ring from first on.
type transfer struct {
	pending bool
	control bool
	first   int
	count   int
	end     [maxTD]uint32 // data bytes up to the end of each block
	n       int           // moved
	short   bool          // the data stage ended early, with n
	code    code
}

// MaxTransfer is usb.Device's.
func (d *device) MaxTransfer() int { return maxTransfer }

// Control is usb.Device's.
func (d *device) Control(ctx context.Context, setup wire.Setup, data []byte, timeout time.Duration) (int, error) {
	if len(data) < int(setup.Length) {
		return 0, fmt.Errorf("%w: %d bytes of data for a length of %d", wire.ErrTransfer, len(data), setup.Length)
	}
	e, err := d.endpoint(defaultPipe)
	if err != nil {
		return 0, err
	}
	return e.transfer(ctx, setup, data[:setup.Length], setup.In(), timeout)
}

// Transfer is usb.Device's.
func (d *device) Transfer(ctx context.Context, endpoint uint8, buf []byte, timeout time.Duration) (int, error) {
	index := endpointIndex(endpoint)
	if index == defaultPipe {
		return 0, errNoEndpoint
	}
	if len(buf) > maxTransfer {
		return 0, fmt.Errorf("%w: %d bytes in one transfer", wire.ErrTransfer, len(buf))
	}
	e, err := d.endpoint(index)
	if err != nil {
		return 0, err
	}
	return e.transfer(ctx, wire.Setup{}, buf, endpoint&wire.DirIn != 0, timeout)
}

// transfer does one transfer, from the copy to the copy back.
func (e *endpoint) transfer(ctx context.Context, setup wire.Setup, buf []byte, in bool, timeout time.Duration) (int, error) {
	if err := e.acquire(ctx); err != nil {
		return 0, err
	}
	defer e.release()
	switch {
	case e.halted:
		return 0, wire.ErrStall
	case e.broken:
		if err := e.recover(true); err != nil {
			return 0, err
		}
	}
	if err := e.grow(len(buf)); err != nil {
		return 0, err
	}
	if !in {
		e.copyOut(buf)
	}
	if err := e.submit(setup, len(buf), in); err != nil {
		e.wipe(len(buf))
		return 0, err
	}
	if timeout > 0 {
		e.timer.Reset(timeout)
	}
	err := e.finish(e.await(ctx, timeout))
	e.timer.Stop()
	n := min(e.td.n, len(buf))
	used := len(buf)
	switch {
	case e.d.c.Err() != nil: // the memory is the controller's until it is closed
		return 0, err
	case in:
		e.copyIn(buf[:n])
		if err == nil {
			used = n
		}
	}
	e.wipe(used)
	return n, err
}

// submit puts a transfer into the ring and rings the doorbell.
func (e *endpoint) submit(setup wire.Setup, n int, in bool) error {
	c := e.d.c
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return c.err
	case e.closed:
		return wire.ErrGone
	}
	if e.index == defaultPipe {
		e.queueControl(setup, n, in)
	} else {
		e.td = transfer{}
		e.ring.begin()
		e.queueData(trbNormal.bits(), n, in, true)
	}
	e.ring.commit()
	e.ringDoorbell()
	return nil
}

// ringDoorbell makes the controller work on what is in the ring. c.mu is held.
func (e *endpoint) ringDoorbell() {
	c := e.d.c
	e.td.pending = true
	if e.urgentKind() {
		c.urgent++
	}
	c.doorbell(e.d.slot, uint32(e.index))
	c.look()
}

// queueControl puts the stages of a control transfer into the ring, a descriptor each (xHCI 1.2, 4.11.2.2).
func (e *endpoint) queueControl(setup wire.Setup, n int, in bool) {
	e.td = transfer{control: true}
	e.ring.begin()
	packet := setup.Bytes()
	kind, status := uint32(0), uint32(trbDirIn)
	if n > 0 {
		kind = trbSetupOut
		if in {
			kind, status = trbSetupIn, 0
		}
	}
	e.queue(trb{parameter: get64(packet[:], 0), status: wire.SetupSize, control: trbSetupStage.bits() | trbImmediate | kind<<trbSetupShift}, 0)
	if n > 0 {
		first := trbDataStage.bits()
		if in {
			first |= trbDirIn
		}
		e.queueData(first, n, in, false)
	}
	e.queue(trb{control: trbStatusStage.bits() | trbIOC | status}, 0)
}

// queueData puts the blocks of one transfer descriptor into the ring: the first is of the kind given, the others are normal ones. A short packet in
// any of them is told; the end of the last if it ends the transfer.
func (e *endpoint) queueData(kind uint32, n int, in, last bool) {
	for at := 0; ; {
		size := min(n-at, pieceSize)
		t := trb{control: kind}
		if n > 0 {
			t.parameter = e.pieces[at/pieceSize].Bus
		} else {
			t.parameter = e.ring.buf.Bus // of no bytes: anywhere
		}
		at += size
		t.status = uint32(size) | e.packetsAfter(at, n)<<trbSizeShift
		if in {
			t.control |= trbShort
		}
		if at < n {
			t.control |= trbChain
		} else if last {
			t.control |= trbIOC
		}
		e.queue(t, size)
		if at >= n {
			return
		}
		kind = trbNormal.bits()
	}
}

// oldSize is the last version in which a block's TD size counts kilobytes (xHCI 0.96, 4.11.2.4), and not packets.
const oldSize = 0x0096

// packetsAfter is the TD size of a block that ends at byte at of n (xHCI 1.2, 4.11.2.4): the packets that are left then.
func (e *endpoint) packetsAfter(at, n int) uint32 {
	left := (n+e.packet-1)/e.packet - at/e.packet
	if e.d.c.caps.version <= oldSize {
		left = (n - at) >> 10
	}
	if at >= n {
		left = 0
	}
	return uint32(min(left, trbSizeMax))
}

// queue puts one block into the ring that moves size bytes.
func (e *endpoint) queue(t trb, size int) {
	at := e.ring.put(t)
	td := &e.td
	before := uint32(0)
	if td.count == 0 {
		td.first = at
	} else {
		before = td.end[td.count-1]
	}
	td.end[td.count] = before + uint32(size)
	td.count++
}

// await waits for the end of the transfer, nil, or for a reason to end it.
func (e *endpoint) await(ctx context.Context, timeout time.Duration) error {
	var due <-chan time.Time
	if timeout > 0 {
		due = e.timer.C
	}
	for retries := 0; ; retries++ {
		select {
		case <-e.done:
		case <-ctx.Done():
			return ctx.Err()
		case <-due:
			return wire.ErrTimeout
		case <-e.cancel:
			return context.Canceled
		case <-e.gone:
			return wire.ErrGone
		case <-e.d.c.gone:
			return e.d.c.Err()
		}
		if retries == softRetries || !e.again() {
			return nil
		}
	}
}

// again goes on with a transfer that ended with a transaction error: the controller keeps the place where it was (soft retry, xHCI 1.2,
// 4.6.8.1: not for control, nor behind a transaction translator).
func (e *endpoint) again() bool {
	c := e.d.c
	if e.td.code != codeTransaction || e.td.control || e.d.ttSlot != 0 || c.lockCommands(nil) != nil {
		return false
	}
	defer c.unlockCommands()
	t := trb{control: cmdResetEndpoint.bits() | trbPreserve | endpointBits(e.index) | slotBits(e.d.slot)}
	if _, err := c.issue(nil, t); err != nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || e.closed {
		return false
	}
	e.ringDoorbell()
	return true
}

// finish brings the endpoint into order and says how the transfer went: late is why it was not waited for, nil if it was.
func (e *endpoint) finish(late error) error {
	c := e.d.c
	if late != nil {
		if err := e.recover(true); err != nil && c.Err() != nil {
			return err
		}
	}
	switch code := e.td.code; code {
	case codeSuccess, codeShort:
		return nil
	case codeStall:
		if e.td.control {
			e.recover(false)
		} else {
			e.halted = true
		}
		return wire.ErrStall
	case codeStopped, codeStoppedLength, codeStoppedShort:
		if late != nil {
			return late
		}
		e.recover(true)
		return &TransferError{uint8(code)}
	default:
		if late == nil {
			e.recover(true)
		}
		if code == codeBabble {
			return wire.ErrBabble
		}
		return &TransferError{uint8(code)}
	}
}

// withdrawn ends the transfer that is in flight, if no event has: the controller does not know it any more.
func (e *endpoint) withdrawn() {
	c := e.d.c
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drain()
	if e.td.pending {
		e.complete(codeStopped, 0)
	}
	select {
	case <-e.done:
	default:
	}
}

// complete ends the transfer in flight. c.mu is held.
func (e *endpoint) complete(code code, n int) {
	e.td.pending, e.td.code, e.td.n = false, code, n
	if e.urgentKind() {
		e.d.c.urgent--
	}
	select {
	case e.done <- struct{}{}:
	default:
	}
}

// event is told what an event says of this endpoint; false when it is about nothing that is in flight. c.mu is held.
func (e *endpoint) event(t trb) bool {
	td, code := &e.td, t.code()
	if code == codeRingUnderrun || code == codeRingOverrun {
		return true // of isochronous endpoints; points nowhere
	}
	at, ok := e.ring.index(t.parameter)
	if !ok && t.parameter == e.ring.link() && code >= codeStopped && code <= codeStoppedShort {
		at, ok, code = 0, true, codeStoppedLength
	}
	k := (at - td.first + ringSize - 1) % (ringSize - 1)
	if !td.pending || !ok || k >= td.count {
		return false
	}
	before, last := uint32(0), k == td.count-1
	if k > 0 {
		before = td.end[k-1]
	}
	left := t.residue()
	switch {
	case code == codeStoppedShort:
		// EDTLA: what the descriptor has moved (xHCI 1.2, 4.6.9)
		e.complete(code, int(min(left, td.end[td.count-1])))
		return true
	case code == codeStoppedLength:
		left = td.end[k] - before
	case left > td.end[k]-before && (code == codeSuccess || code == codeShort):
		e.complete(codeInvalid, 0) // more is left than there was
		return true
	case left > td.end[k]-before:
		left = td.end[k] - before
	}
	n := int(td.end[k] - left)
	switch {
	case code != codeSuccess && code != codeShort:
		if td.control && last {
			n = td.moved(n)
		}
		e.complete(code, n)
	case td.control && !last:
		if left > 0 || code == codeShort {
			td.short, td.n = true, n
		}
	case td.control:
		e.complete(codeSuccess, td.moved(n))
	case last || code == codeShort:
		e.complete(code, n)
	}
	return true
}

// moved is the length of the data stage, once the status stage is reached.
func (td *transfer) moved(all int) int {
	if td.short {
		return td.n
	}
	return all
}
