package runtime

import (
	"internal/runtime/syscall/linux"
	"runtime/goos"
	"unsafe"
)

// Memory comes from the board by the page and goes back by the page. There are no reserved but
// unbacked addresses: a reservation (PROT_NONE) is memory like any other, which is why the overlay
// makes the runtime's reservations small.
//
// The runtime ends the program when mmap is refused. Therefore mmap takes memory from a reserve
// first:
//
//	moment                    reserve
//	entry of the image        taken from the board, or the program does not start
//	mmap                      serves it; what does not fit comes from the board
//	BareRefill                what is missing is taken from the board; when the board refuses,
//	                          BareReserved reports what is left
//
// The reserve has one arena, by which the heap grows, and a pool for the runtime's other requests.
// A program that stays resident calls BareRefill where it can return an error, and refuses a
// request that may need more memory than the heap and the reserve have.

const (
	// bareArena is what the heap grows by.
	bareArena = heapArenaBytes
	// bareStart is the size of the first pool: the tables that the runtime makes at its start
	// (measured with Go 1.26: 1.1 MiB), and a pool.
	bareStart = 1664 << 10
	// barePool is the size of a pool. Besides arenas the runtime asks for at most 256 KiB at once,
	// which is a persistentAlloc chunk.
	barePool = 512 << 10
)

// A barespan is a range of memory.
type barespan struct{ addr, size uintptr }

var (
	barespans   [bareSpans]barespan // memory from the board, reserve included
	barereserve uintptr             // an arena, 0: none
	barepools   [2]barespan         // the rest of the last two pools
	barelacking bool                // the board refused memory, or the limit was reached
)

// bareopen takes the reserve before the runtime starts. Without it the program ends.
//
//go:nowritebarrierrec
func bareopen() {
	if goos.MemAlloc == nil {
		return
	}
	barereserve = baretake(bareArena, bareArena)
	barepools[0] = barespan{baretake(bareStart, barePage), bareStart}
	if barereserve != 0 && barepools[0].addr != 0 {
		return
	}
	bareputs("out of memory: the program cannot start\n")
	if goos.Flush != nil {
		goos.Flush()
	}
	bareexit(2)
}

// baremmap answers mmap. An address at which the runtime prefers its heap (a hint) is refused.
// MAP_FIXED names memory that was returned before, and is an error for other memory. With MAP_ANON
// the offset has no meaning: the overlay passes the alignment there, 0 for a page.
//
//go:nowritebarrierrec
func baremmap(hint, n, flags, align uintptr) uintptr {
	n = (n + barePage - 1) &^ (barePage - 1)
	if flags&_MAP_FIXED != 0 {
		if !bareholds(hint, n) {
			return bareerr(_ENOMEM)
		}
		return hint
	}
	if hint != 0 || n == 0 {
		return bareerr(_ENOMEM)
	}
	align = max(align, barePage)
	p := barefromreserve(n, align)
	if p == 0 {
		p = baretake(n, align)
	}
	if p == 0 {
		return bareerr(_ENOMEM)
	}
	memclrNoHeapPointers(unsafe.Pointer(p), n)
	return p
}

// barefromreserve takes memory from the reserve. 0: the reserve has not enough.
func barefromreserve(n, align uintptr) (p uintptr) {
	if align > barePage {
		if n == bareArena && align == bareArena {
			p, barereserve = barereserve, 0
		}
		return p
	}
	for i := range barepools {
		if s := &barepools[i]; s.size >= n {
			p = s.addr
			s.addr += n
			s.size -= n
			return p
		}
	}
	return 0
}

// baretake takes memory from the board. 0: the board refused. For an alignment it asks for more
// memory and cuts the aligned part out of it; when the board has no more, it asks for n bytes,
// which may be aligned by chance.
//
//go:nowritebarrierrec
func baretake(n, align uintptr) uintptr {
	p := uintptr(0)
	limit := uintptr(goos.RamSize)
	if goos.MemAlloc != nil && n <= limit && baremem.Now <= limit-n {
		more := align - barePage
		if p = goos.MemAlloc(n + more); p == 0 && more != 0 {
			more = 0
			p = goos.MemAlloc(n)
		}
		if p != 0 {
			p = baretrim(p, n, align, more)
		}
	}
	if p == 0 {
		barelacking = true
	}
	return p
}

// baretrim notes the aligned n bytes within [p, p+n+more), and gives the rest back to the board.
func baretrim(p, n, align, more uintptr) uintptr {
	at := (p + align - 1) &^ (align - 1)
	if at-p > more || !barenote(at, n) {
		goos.MemFree(p, n+more)
		return 0
	}
	if at != p {
		goos.MemFree(p, at-p)
	}
	if rest := p + more - at; rest != 0 {
		goos.MemFree(at+n, rest)
	}
	baremem.Now += n
	baremem.Peak = max(baremem.Peak, baremem.Now)
	baremem.Calls++
	return at
}

// barenote adds memory from the board to barespans.
func barenote(p, n uintptr) bool {
	for i := range barespans {
		switch s := &barespans[i]; {
		case s.size == 0:
		case s.addr+s.size == p:
			s.size += n
			return true
		case p+n == s.addr:
			s.addr, s.size = p, s.size+n
			return true
		}
	}
	s := barespanfree()
	if s == nil {
		return false
	}
	s.addr, s.size = p, n
	return true
}

// bareholds reports whether all of [p, p+n) is memory from the board.
func bareholds(p, n uintptr) bool {
	end := p + n
	for i := 0; i < len(barespans) && p < end; i++ {
		if s := &barespans[i]; p-s.addr < s.size {
			p, i = s.addr+s.size, -1
		}
	}
	return p >= end
}

// bareunmap gives back the parts of [p, p+n) that are held.
//
//go:nowritebarrierrec
func bareunmap(p, n uintptr) uintptr {
	end := p + (n+barePage-1)&^(barePage-1)
	if p%barePage != 0 || end < p {
		return bareerr(bareEINVAL)
	}
	for i := range barespans {
		s := &barespans[i]
		lo, hi := max(p, s.addr), min(end, s.addr+s.size)
		if s.size == 0 || lo >= hi {
			continue
		}
		if tail := s.addr + s.size - hi; tail != 0 && lo != s.addr {
			t := barespanfree()
			if t == nil {
				return bareerr(_ENOMEM)
			}
			t.addr, t.size = hi, tail
			s.size = lo - s.addr
		} else if lo == s.addr {
			s.addr, s.size = hi, tail
		} else {
			s.size = lo - s.addr
		}
		baremem.Now -= hi - lo
		baremem.Calls++
		goos.MemFree(lo, hi-lo)
	}
	return bareOK
}

func barespanfree() *barespan {
	for i := range barespans {
		if barespans[i].size == 0 {
			return &barespans[i]
		}
	}
	return nil
}

// barerefill takes from the board what is missing in the reserve.
//
//go:nowritebarrierrec
func barerefill() uintptr {
	if barereserve == 0 {
		barereserve = baretake(bareArena, bareArena)
	}
	small, large := &barepools[0], &barepools[1]
	if large.size < small.size {
		small, large = large, small
	}
	full := large.size >= barePool
	if !full {
		if p := baretake(barePool, barePage); p != 0 {
			bareunmap(small.addr, small.size)
			small.addr, small.size, full = p, barePool, true
		}
	}
	if barereserve == 0 || !full {
		return bareerr(_ENOMEM)
	}
	return bareOK
}

// BareRefill takes from the board what is missing in the reserve, and reports whether the reserve
// is full then.
func BareRefill() bool {
	_, _, e := linux.Syscall6(bareSysRefill, 0, 0, 0, 0, 0, 0)
	return e == 0
}

// BareReserved reports whether the reserve has an arena for the heap, and whether it has enough for
// everything else that one request may need.
func BareReserved() (heap, rest bool) {
	return barereserve != 0, max(barepools[0].size, barepools[1].size) >= barePool/2
}

// BareRoom returns the size of the largest free piece of the heap.
func BareRoom() (size uintptr) {
	systemstack(func() {
		lock(&mheap_.lock)
		for _, s := range mheap_.pages.summary[0] {
			size = max(size, uintptr(s.max())*pageSize)
		}
		unlock(&mheap_.lock)
	})
	return size
}

// BareLacking reports whether memory that the runtime asked for was refused, by the board or
// because of the limit goos.RamSize. The runtime ends the program then, unless the request was for
// the reserve.
func BareLacking() bool { return barelacking }

// BareRelease gives all memory back. After it only the caller's own way out may run, on the
// dispatcher's stack: the running g is then the dispatcher's, which is in memory of the image.
//
//go:nowritebarrierrec
func BareRelease() {
	bareleavethreads()
	for i := range barespans {
		s := &barespans[i]
		if s.size != 0 {
			goos.MemFree(s.addr, s.size)
			s.size = 0
		}
	}
	baremem.Now = 0
}

// BareScrub clears the stacks of threads, goroutines and signals, and the saved registers. After it
// only the caller's own way out may run, on the dispatcher's stack. All memory stays in place.
//
//go:nowritebarrierrec
func BareScrub() {
	for _, s := range mheap_.allspans {
		if s.state.get() == mSpanManual {
			memclrNoHeapPointers(unsafe.Pointer(s.base()), s.npages*pageSize)
		}
	}
	first := &g0 // its stack is in memory of the board
	memclrNoHeapPointers(unsafe.Pointer(first.stack.lo), first.stack.hi-first.stack.lo)
	memclrNoHeapPointers(unsafe.Pointer(&barefibers), unsafe.Sizeof(barefibers))
	memclrNoHeapPointers(unsafe.Pointer(&barefpu), unsafe.Sizeof(barefpu))
}

// BareMemory returns how much memory the runtime holds from the board, and held at most.
func BareMemory() BareMem { return baremem }

// barelimit is the memory limit of the collector in bytes: goos.RamSize without the reserve. The
// collector runs before the runtime asks for more than the board may give.
func barelimit() int64 {
	return max(0, int64(goos.RamSize)-bareArena-barePool)
}
