package runtime

import (
	"runtime/goos"
	"unsafe"
)

// Memory comes from the board by the page and goes back by the page. There are
// no reserved but unbacked addresses on a machine without paging of ours: a
// reservation (PROT_NONE) is memory like any other, which is why the overlay
// makes the runtime's reservations small.

// baremmap answers mmap. The hints at which the runtime would like its heap
// are declined; MAP_FIXED only ever names memory that was returned before.
//
//go:nowritebarrierrec
func baremmap(hint, n, prot, flags uintptr) uintptr {
	n = (n + barePage - 1) &^ (barePage - 1)
	if flags&_MAP_FIXED != 0 {
		return hint
	}
	if hint != 0 || n == 0 {
		return bareerr(_ENOMEM)
	}
	if n > uintptr(goos.RamSize) || baremem.Now > uintptr(goos.RamSize)-n || goos.MemAlloc == nil {
		return bareerr(_ENOMEM)
	}
	s := barespanfree()
	if s == nil {
		return bareerr(_ENOMEM)
	}
	p := goos.MemAlloc(n)
	baremem.Calls++
	if p == 0 {
		return bareerr(_ENOMEM)
	}
	memclrNoHeapPointers(unsafe.Pointer(p), n)
	s.addr, s.size = p, n
	baremem.Now += n
	baremem.Peak = max(baremem.Peak, baremem.Now)
	return p
}

// bareunmap gives [p, p+n) back, whatever part of it is held.
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

// BareRelease gives all memory back. No Go code may run after it but the
// caller's own way out, which is on the dispatcher's stack: its g is found in
// memory of the image from here on, no longer in that of the last thread.
//
//go:nowritebarrierrec
func BareRelease() {
	baretls[0] = uintptr(unsafe.Pointer(&bareg))
	barefs = uintptr(unsafe.Pointer(&baretls[1]))
	barewrfs(barefs)
	for i := range barespans {
		s := &barespans[i]
		if s.size != 0 {
			goos.MemFree(s.addr, s.size)
			s.size = 0
		}
	}
	baremem.Now = 0
}

// BareScrub clears what threads and goroutines have left behind: their stacks, those of signals included, and their registers. No Go
// code may run after it but the caller's own way out, which is on the dispatcher's stack. All memory stays in place.
//
//go:nowritebarrierrec
func BareScrub() {
	for _, s := range mheap_.allspans {
		if s.state.get() == mSpanManual {
			memclrNoHeapPointers(unsafe.Pointer(s.base()), s.npages*pageSize)
		}
	}
	first := &g0 // its stack is the board's
	memclrNoHeapPointers(unsafe.Pointer(first.stack.lo), first.stack.hi-first.stack.lo)
	memclrNoHeapPointers(unsafe.Pointer(&barefibers), unsafe.Sizeof(barefibers))
	memclrNoHeapPointers(unsafe.Pointer(&barexmm), unsafe.Sizeof(barexmm))
}

// BareMemory returns what the runtime holds from the board, and held at most.
func BareMemory() BareMem { return baremem }
