package xhci

import "tamaccid/baremetal/usbhost"

// Sizes of rings, in transfer request blocks; policy. One transfer is in flight on an endpoint, and one command on a controller,
// so that both have room for a whole one: maxTD blocks, and the link. The blocks after the link are spare: VIA's VL805 reads as many from
// beyond it, and may later use what it read there, were it another ring, though that has changed (Linux: XHCI_TRB_OVERFETCH).
const (
	ringSize      = 60
	ringSpare     = 4
	eventRingSize = 256
	ringBytes     = (ringSize + ringSpare) * trbSize
	ringAlign     = 64 // of the command ring (xHCI 1.2, table 6-1); a transfer ring asks for 16
)

// ring is a command or transfer ring of one segment: the last block links to the first (xHCI 1.2, 4.9).
//
// Blocks become the controller's by their cycle bit. The first of a transfer descriptor is given away last, by commit: until
// then the controller, should it look, sees the end of the ring.
type ring struct {
	buf   usbhost.Buffer
	next  int    // where the next block goes; never the link
	cycle uint32 // what makes a block at next the controller's

	open  bool // between begin and commit
	first int
	head  uint32 // control of the first block, with the cycle bit it will have
}

// dequeue is the address of the next block with its cycle bit, as the controller is told it (xHCI 1.2, table 6-10, 6.4.3.9).
func (r *ring) dequeue() uint64 { return r.buf.Bus + uint64(r.next*trbSize) | uint64(r.cycle) }

// begin opens a transfer descriptor, or several that are to be seen at once.
func (r *ring) begin() { r.open, r.first, r.head = true, -1, 0 }

// put adds a block and returns its index. The link after the last one is part of the descriptor when that is chained to it
// (xHCI 1.2, 4.11.7).
func (r *ring) put(t trb) int {
	at := r.next
	b := r.buf.Bytes[at*trbSize:]
	put64(b, 0, t.parameter)
	put32(b, trbStatus, t.status)
	control := t.control | r.cycle
	if r.open && r.first < 0 {
		r.first, r.head = at, control
		control ^= trbCycle
	}
	storeWord(b, trbControl, control)
	if r.next++; r.next == ringSize-1 {
		r.wrap(t.control & trbChain)
	}
	return at
}

// wrap writes a link to the start and goes on there.
func (r *ring) wrap(chain uint32) {
	l := r.buf.Bytes[r.next*trbSize:]
	put64(l, 0, r.buf.Bus)
	put32(l, trbStatus, 0)
	storeWord(l, trbControl, trbLink.bits()|trbToggle|chain|r.cycle)
	r.next, r.cycle = 0, r.cycle^trbCycle
}

// together sees to it that no link parts the next n blocks.
func (r *ring) together(n int) {
	if r.next+n > ringSize-1 {
		r.wrap(0)
	}
}

// commit gives the open blocks away.
func (r *ring) commit() {
	if r.first >= 0 {
		storeWord(r.buf.Bytes, r.first*trbSize+trbControl, r.head)
	}
	r.open = false
}

// index finds the block that an event points to. What the controller says is looked up, not believed.
func (r *ring) index(pointer uint64) (int, bool) {
	off := pointer - r.buf.Bus // wraps to something large when it lies below
	if off >= (ringSize-1)*trbSize || off%trbSize != 0 {
		return 0, false
	}
	return int(off / trbSize), true
}

// link is the address of the link.
func (r *ring) link() uint64 { return r.buf.Bus + (ringSize-1)*trbSize }

// eventRing is the ring that the controller fills, one segment (xHCI 1.2, 4.9.4).
type eventRing struct {
	buf, table usbhost.Buffer
	next       int
	cycle      uint32
	unread     int // handled since the controller was told
}

// Sizes and alignments of the event ring and its segment table (xHCI 1.2, table 6-1, 6.5).
const (
	segmentTableSize = 16
	segmentAlign     = 64
)

// describe fills the segment table (xHCI 1.2, 6.5).
func (e *eventRing) describe() {
	e.cycle = trbCycle
	put64(e.table.Bytes, 0, e.buf.Bus)
	put32(e.table.Bytes, 8, eventRingSize)
}

// take returns the next event if there is one: the cycle bit is read first (xHCI 1.2, 4.9.2).
func (e *eventRing) take() (t trb, ok bool) {
	b := e.buf.Bytes[e.next*trbSize:]
	t.control = loadWord(b, trbControl)
	if t.control&trbCycle != e.cycle {
		return t, false
	}
	t.parameter, t.status = get64(b, 0), get32(b, trbStatus)
	if e.next++; e.next == eventRingSize {
		e.next, e.cycle = 0, e.cycle^trbCycle
	}
	e.unread++
	return t, true
}

// dequeue is the address of the next event.
func (e *eventRing) dequeue() uint64 { return e.buf.Bus + uint64(e.next*trbSize) }
