package xhci

import (
	"testing"

	"tamaccid/baremetal/usbhost/xhci/xhcitest"
)

func testRing(t *testing.T) *ring {
	t.Helper()
	b, err := xhcitest.NewMemory(busBase, t.Errorf).Alloc(ringBytes, ringAlign)
	if err != nil {
		t.Fatal(err)
	}
	return &ring{buf: b, cycle: 1}
}

// block is the TRB at an index.
func (r *ring) block(i int) (parameter uint64, status, control uint32) {
	b := r.buf.Bytes[16*i:]
	return get64(b, 0), get32(b, 8), get32(b, 12)
}

func TestRingWraps(t *testing.T) {
	r := testRing(t)
	for i := range 59 {
		if at := r.put(trb{parameter: uint64(i), control: 1 << 10}); at != i {
			t.Fatalf("block %d at %d", i, at)
		}
	}
	if p, _, c := r.block(59); p != busBase || c != 6<<10|2|1 {
		t.Errorf("link %#x %#x", p, c)
	}
	if d := r.dequeue(); d != busBase {
		t.Errorf("dequeue %#x: the cycle bit must be 0 after the link", d)
	}
	r.put(trb{control: 1 << 10})
	if _, _, c := r.block(0); c != 1<<10 {
		t.Errorf("first block of the second round: %#x", c)
	}
	for range 58 {
		r.put(trb{control: 1 << 10})
	}
	if _, _, c := r.block(59); c != 6<<10|2 || r.dequeue() != busBase|1 {
		t.Errorf("link of the second round: %#x, dequeue %#x", c, r.dequeue())
	}
}

func TestLinkWithinATDIsChained(t *testing.T) {
	r := testRing(t)
	r.next = 58
	r.begin()
	r.put(trb{control: 1<<10 | 1<<4})
	r.put(trb{control: 1 << 10})
	if _, _, c := r.block(59); c != 6<<10|1<<4|2|1 {
		t.Errorf("link %#x", c)
	}
	if _, _, c := r.block(58); c&1 != 0 {
		t.Error("the first block is the controller's before the last is written")
	}
	r.commit()
	if _, _, c := r.block(58); c != 1<<10|1<<4|1 {
		t.Errorf("first block %#x", c)
	}
	if _, _, c := r.block(0); c != 1<<10 {
		t.Errorf("second block %#x, of the next round", c)
	}
}

func TestTRBsAreKeptTogether(t *testing.T) {
	r := testRing(t)
	r.next = 57
	if r.together(2); r.next != 57 {
		t.Errorf("a link though there is room: next %d", r.next)
	}
	if r.together(3); r.dequeue() != busBase {
		t.Errorf("dequeue %#x: the ring does not go on at its start", r.dequeue())
	}
	if p, _, c := r.block(57); p != busBase || c != 6<<10|2|1 {
		t.Errorf("link %#x %#x", p, c)
	}
}

func TestPointersOfEventsAreChecked(t *testing.T) {
	r := testRing(t)
	for _, k := range []struct {
		pointer uint64
		index   int
		ok      bool
	}{
		{pointer: busBase, ok: true}, {pointer: busBase + 16, index: 1, ok: true},
		{pointer: busBase + 58*16, index: 58, ok: true}, {pointer: busBase + 59*16},
		{pointer: busBase + 60*16},
		{pointer: busBase + 8}, {pointer: busBase - 16}, {pointer: 0}, {pointer: ^uint64(0)},
		{pointer: ^uint64(15)}, {pointer: 1<<63 + busBase},
	} {
		if i, ok := r.index(k.pointer); i != k.index || ok != k.ok {
			t.Errorf("%#x: %d, %v", k.pointer, i, ok)
		}
	}
}

func TestEventsAreTakenByTheirCycle(t *testing.T) {
	m := xhcitest.NewMemory(busBase, t.Errorf)
	var e eventRing
	e.buf, _ = m.Alloc(eventRingSize*trbSize, 64)
	e.table, _ = m.Alloc(segmentTableSize, 64)
	e.describe()
	if get64(e.table.Bytes, 0) != e.buf.Bus || get32(e.table.Bytes, 8) != 256 {
		t.Fatal("segment table")
	}
	if _, ok := e.take(); ok {
		t.Fatal("an event in an empty ring")
	}
	for round := range uint32(3) {
		for i := range eventRingSize {
			put32(e.buf.Bytes, i*16, uint32(i))
			put32(e.buf.Bytes, i*16+12, 34<<10|(round+1)&1)
			v, ok := e.take()
			if !ok || v.parameter != uint64(i) || v.kind() != eventPort {
				t.Fatalf("round %d, event %d: %v %v", round, i, v, ok)
			}
			if _, ok := e.take(); ok {
				t.Fatalf("round %d: an event of the round before", round)
			}
		}
	}
}
