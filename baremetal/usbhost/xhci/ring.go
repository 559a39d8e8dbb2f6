package xhci

import "tamaccid/baremetal/usbhost/hcd"

// Sizes of rings, in TRBs (policy). At most one transfer is in flight on an endpoint, and one
// command on a controller. A ring has room for the longest transfer, maxTD TRBs, and the link. The
// TRBs after the link are spare: VIA's VL805 reads as many beyond the link and may execute them
// later; they must not be part of another ring (Linux: XHCI_TRB_OVERFETCH).
const (
	ringSize      = 60
	ringSpare     = 4
	eventRingSize = 256
	ringBytes     = (ringSize + ringSpare) * trbSize
	ringAlign     = 64 // of the command ring; a transfer ring needs 16 (xHCI 1.2, table 6-1)
)

// ring is a command or transfer ring of one segment: the last TRB links to the first (xHCI 1.2,
// 4.9).
//
// The cycle bit passes a TRB to the controller. The first TRB of a TD is passed last, by commit.
// Until then it is the end of the ring for the controller.
type ring struct {
	buf   hcd.Buffer
	next  int    // index of the next TRB; never of the link
	cycle uint32 // cycle bit of the next TRB

	open  bool // between begin and commit
	first int
	head  uint32 // control word of the first TRB, with its final cycle bit
}

// dequeue is the address of the next TRB with its cycle bit, as in a dequeue pointer (xHCI 1.2,
// table 6-10, 6.4.3.9).
func (r *ring) dequeue() uint64 { return r.buf.Bus + uint64(r.next*trbSize) | uint64(r.cycle) }

// begin starts a TD, or several that are passed to the controller at the same time.
func (r *ring) begin() { r.open, r.first, r.head = true, -1, 0 }

// put adds a TRB and returns its index. A link after it belongs to the TD if the TRB is chained
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

// wrap writes the link, and continues at the start of the ring.
func (r *ring) wrap(chain uint32) {
	l := r.buf.Bytes[r.next*trbSize:]
	put64(l, 0, r.buf.Bus)
	put32(l, trbStatus, 0)
	storeWord(l, trbControl, trbLink.bits()|trbToggle|chain|r.cycle)
	r.next, r.cycle = 0, r.cycle^trbCycle
}

// together ensures that no link is between the next n TRBs.
func (r *ring) together(n int) {
	if r.next+n > ringSize-1 {
		r.wrap(0)
	}
}

// commit passes the TD to the controller.
func (r *ring) commit() {
	if r.first >= 0 {
		storeWord(r.buf.Bytes, r.first*trbSize+trbControl, r.head)
	}
	r.open = false
}

// index returns the index of the TRB at a pointer of an event, and whether there is one.
func (r *ring) index(pointer uint64) (int, bool) {
	off := pointer - r.buf.Bus // below the ring it wraps to a large value
	if off >= (ringSize-1)*trbSize || off%trbSize != 0 {
		return 0, false
	}
	return int(off / trbSize), true
}

// link is the bus address of the link.
func (r *ring) link() uint64 { return r.buf.Bus + (ringSize-1)*trbSize }

// eventRing is the event ring, of one segment (xHCI 1.2, 4.9.4).
type eventRing struct {
	buf, table hcd.Buffer
	next       int
	cycle      uint32
	unread     int // events since the last write of ERDP
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

// take returns the next event, if there is one. It reads the cycle bit first (xHCI 1.2, 4.9.2).
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
