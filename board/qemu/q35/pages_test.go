package q35

import (
	"math/rand/v2"
	"testing"
)

func spans(p *pages) []span { return p.free[:p.n] }

func same(a, b []span) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestAddedPagesAreMergedAndNeverAddedTwice(t *testing.T) {
	for _, c := range []struct {
		name   string
		lo, hi uint64
		ok     bool
		want   []span
	}{
		{"before all", 0x1000, 0x2000, true,
			[]span{{0x1000, 0x2000}, {0x3000, 0x5000}, {0x8000, 0x9000}}},
		{"between", 0x6000, 0x7000, true,
			[]span{{0x3000, 0x5000}, {0x6000, 0x7000}, {0x8000, 0x9000}}},
		{"behind all", 0xa000, 0xb000, true,
			[]span{{0x3000, 0x5000}, {0x8000, 0x9000}, {0xa000, 0xb000}}},
		{"at an end", 0x5000, 0x6000, true, []span{{0x3000, 0x6000}, {0x8000, 0x9000}}},
		{"at a beginning", 0x7000, 0x8000, true, []span{{0x3000, 0x5000}, {0x7000, 0x9000}}},
		{"filling a hole", 0x5000, 0x8000, true, []span{{0x3000, 0x9000}}},
		{"nothing", 0x6000, 0x6000, true, []span{{0x3000, 0x5000}, {0x8000, 0x9000}}},
		{"backwards", 0x7000, 0x6000, false, []span{{0x3000, 0x5000}, {0x8000, 0x9000}}},
		{"free already", 0x3000, 0x4000, false, []span{{0x3000, 0x5000}, {0x8000, 0x9000}}},
		{"free at its end", 0x2000, 0x4000, false, []span{{0x3000, 0x5000}, {0x8000, 0x9000}}},
		{"free at its beginning", 0x4000, 0x6000, false,
			[]span{{0x3000, 0x5000}, {0x8000, 0x9000}}},
		{"at an end, into the next", 0x5000, 0x9000, false,
			[]span{{0x3000, 0x5000}, {0x8000, 0x9000}}},
		{"around all", 0x1000, 0xb000, false, []span{{0x3000, 0x5000}, {0x8000, 0x9000}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p pages
			if !p.add(0x8000, 0x9000) || !p.add(0x3000, 0x5000) {
				t.Fatal("the first spans are refused")
			}
			if ok := p.add(c.lo, c.hi); ok != c.ok || !same(spans(&p), c.want) {
				t.Errorf("%v, %x", ok, spans(&p))
			}
		})
	}
}

func TestTakeKeepsPagesOutside(t *testing.T) {
	for _, c := range []struct {
		name   string
		lo, hi uint64
		want   []span
	}{
		{"a middle", 0x4000, 0x5000, []span{{0x3000, 0x4000}, {0x5000, 0x6000}, {0x8000, 0x9000}}},
		{"an end and a beginning", 0x5000, 0x8800, []span{{0x3000, 0x5000}, {0x8800, 0x9000}}},
		{"all of one", 0x3000, 0x6000, []span{{0x8000, 0x9000}}},
		{"all", 0, 0x10000, nil},
		{"nothing that is there", 0x6000, 0x8000, []span{{0x3000, 0x6000}, {0x8000, 0x9000}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p pages
			p.add(0x3000, 0x6000)
			p.add(0x8000, 0x9000)
			p.take(c.lo, c.hi)
			if !same(spans(&p), c.want) {
				t.Errorf("%x", spans(&p))
			}
		})
	}
}

func TestAllocPrefersTheSmallestSpanBelowTheLimit(t *testing.T) {
	var p pages
	p.add(0x10000, 0x12000)
	p.add(0x20000, 0x28000)
	p.add(0x100000, 0x200000)
	for _, c := range []struct {
		name           string
		n, limit, want uint64
	}{
		{"the smallest", 0x1000, 1 << 30, 0x10000},
		{"the smallest that has as much", 0x2000, 1 << 30, 0x20000},
		{"a whole span", 0x1000, 1 << 30, 0x11000},
		{"the largest", 0x8000, 1 << 30, 0x100000},
		{"the part of a span below the limit", 0x1000, 0x23000, 0x22000},
		{"more than there is below the limit", 0x8000, 0x30000, 0},
		{"more than there is", 0x1000000, 1 << 30, 0},
		{"nothing", 0, 1 << 30, 0},
	} {
		if got := p.alloc(c.n, c.limit); got != c.want {
			t.Errorf("%s: %#x, want %#x", c.name, got, c.want)
		}
	}
}

// The runtime asks for twice an arena, and gives back what does not lie between multiples of its
// size; single pages come in between.
func TestArenasLieSideBySide(t *testing.T) {
	const arena, mib = 4 << 20, 1 << 20
	var p pages
	p.add(mib, 200*mib)
	n := 0
	for {
		at := p.alloc(2*arena, runtimeReach)
		if at == 0 {
			break
		}
		lo := (at + arena - 1) &^ (arena - 1)
		p.add(at, lo)
		p.add(lo+arena, at+2*arena)
		if p.alloc(pageSize, runtimeReach) == 0 {
			t.Fatal("no page")
		}
		n++
	}
	if n < 47 { // of 49 that there is room for
		t.Errorf("%d arenas in %d bytes", n, 199*mib)
	}
}

// Pages that come back are merged in any order.
func TestReturnedPagesAreMerged(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var p pages
	const lo, hi = 1 << 20, 1 << 24
	p.add(lo, hi)
	type held struct{ at, n uint64 }
	var all []held
	for range 20_000 {
		if len(all) < 200 && random.IntN(3) != 0 {
			n := uint64(1+random.IntN(16)) * pageSize
			if at := p.alloc(n, 1<<40); at != 0 {
				for _, h := range all {
					if at < h.at+h.n && h.at < at+n {
						t.Fatalf("%#x is given twice", at)
					}
				}
				all = append(all, held{at, n})
			}
		} else if len(all) > 0 {
			i := random.IntN(len(all))
			h := all[i]
			// The runtime gives parts back too.
			part := uint64(random.IntN(int(h.n/pageSize))+1) * pageSize
			if !p.add(h.at, h.at+part) {
				t.Fatalf("%#x is not taken back", h.at)
			}
			if all[i] = (held{h.at + part, h.n - part}); part == h.n {
				all = append(all[:i], all[i+1:]...)
			}
		}
	}
	for _, h := range all {
		p.add(h.at, h.at+h.n)
	}
	if !same(spans(&p), []span{{lo, hi}}) {
		t.Errorf("%x", spans(&p))
	}
}

func TestPagesWithoutRoomAreRefused(t *testing.T) {
	var p pages
	for i := range uint64(maxSpans) {
		p.add((2*i+1)*pageSize, (2*i+2)*pageSize)
	}
	if p.add(0x1000000, 0x1003000) {
		t.Error("pages were added without room to note them")
	}
	if !p.add(2*pageSize, 3*pageSize) || p.n != maxSpans-1 {
		t.Errorf("a hole cannot be filled; %d spans", p.n)
	}
}

func TestOverlaps(t *testing.T) {
	var p pages
	p.add(0x3000, 0x6000)
	for _, c := range []struct {
		lo, hi uint64
		want   bool
	}{{0x1000, 0x3000, false}, {0x1000, 0x3001, true}, {0x4000, 0x5000, true},
		{0x5fff, 0x9000, true}, {0x6000, 0x9000, false}} {
		if got := p.overlaps(c.lo, c.hi); got != c.want {
			t.Errorf("%#x to %#x: %v", c.lo, c.hi, got)
		}
	}
}
