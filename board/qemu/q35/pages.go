package q35

import "tamaccid/baremetal/cpu/amd64"

const (
	pageSize = amd64.PageSize
	// maxSpans bounds the spans of pages: the runtime holds 256 pieces, each of which leaves one
	// hole (policy).
	maxSpans = 512
	// maxRegions bounds the memory map (policy: PCs have about ten entries).
	maxRegions = 128
)

// span is the memory lo <= a < hi.
type span struct{ lo, hi uint64 }

func (s span) size() uint64 { return s.hi - s.lo }

// pages are free pages: spans in ascending order, which neither touch nor overlap. Its methods
// allocate nothing: hooks call them.
type pages struct {
	free [maxSpans]span
	n    int
}

// add adds [lo, hi) to the free pages. It reports whether it could: not when a part of it is free
// already, or there is no room for another span.
func (p *pages) add(lo, hi uint64) bool {
	if lo >= hi {
		return lo == hi
	}
	i := 0
	for i < p.n && p.free[i].hi < lo {
		i++
	}
	// free[i] is the first span that ends at lo or above.
	if i < p.n && p.free[i].hi > lo && p.free[i].lo < hi {
		return false
	}
	before := i < p.n && p.free[i].hi == lo
	next := i
	if before {
		next++
	}
	if next < p.n && p.free[next].lo < hi {
		return false
	}
	after := next < p.n && p.free[next].lo == hi
	switch {
	case before && after:
		p.free[i].hi = p.free[next].hi
		p.remove(next)
	case before:
		p.free[i].hi = hi
	case after:
		p.free[next].lo = lo
	default:
		return p.insert(i, span{lo, hi})
	}
	return true
}

// insert inserts a span before free[i].
func (p *pages) insert(i int, s span) bool {
	if p.n == maxSpans {
		return false
	}
	for k := p.n; k > i; k-- {
		p.free[k] = p.free[k-1]
	}
	p.free[i] = s
	p.n++
	return true
}

func (p *pages) remove(i int) {
	p.n--
	for k := i; k < p.n; k++ {
		p.free[k] = p.free[k+1]
	}
}

// take removes [lo, hi) from the free pages.
func (p *pages) take(lo, hi uint64) {
	for i := 0; i < p.n; i++ {
		s := p.free[i]
		if hi <= s.lo || s.hi <= lo {
			continue
		}
		left, right := span{s.lo, max(lo, s.lo)}, span{min(hi, s.hi), s.hi}
		switch {
		case left.size() > 0 && right.size() > 0:
			p.free[i] = left
			p.insert(i+1, right)
			return
		case left.size() > 0:
			p.free[i] = left
		case right.size() > 0:
			p.free[i] = right
		default:
			p.remove(i)
			i--
		}
	}
}

// alloc takes n bytes, a multiple of the page size, that end below limit, from the smallest span
// that has them. 0: there is none. Thereby single pages fill holes, and the runtime's arenas, for
// which it asks for twice their size because of the alignment, lie side by side in the largest
// span.
func (p *pages) alloc(n, limit uint64) uint64 {
	best, least := -1, ^uint64(0)
	for i := range p.n {
		s := p.free[i]
		if s.hi = min(s.hi, limit); s.lo < s.hi && s.size() >= n && s.size() < least {
			best, least = i, s.size()
		}
	}
	if best < 0 || n == 0 {
		return 0
	}
	lo := p.free[best].lo
	if p.free[best].lo += n; p.free[best].size() == 0 {
		p.remove(best)
	}
	return lo
}

// overlaps reports whether a part of [lo, hi) is free.
func (p *pages) overlaps(lo, hi uint64) bool {
	for i := range p.n {
		if lo < p.free[i].hi && p.free[i].lo < hi {
			return true
		}
	}
	return false
}

// sum returns the number of free bytes.
func (p *pages) sum() (n uint64) {
	for i := range p.n {
		n += p.free[i].size()
	}
	return n
}
