//go:build tamago && linux

package uefi

import (
	"runtime/goos"
	_ "unsafe" // for go:linkname
)

// The stock compiler's image asks firmware for memory as it needs it.

const (
	bsAllocatePages = 40
	bsFreePages     = 48

	pageSize           = 4096
	allocateMaxAddress = 1 // EFI_ALLOCATE_TYPE
	bootServicesData   = 4 // EFI_MEMORY_TYPE

	// runtimeReach is the last address that the overlay's runtime can use.
	runtimeReach = 1<<36 - 1
	// defaultMemory is what an application may take (policy).
	defaultMemory = 512 << 20
)

//go:linkname ramSize runtime/goos.RamSize
var ramSize uint = defaultMemory

//go:linkname memAlloc runtime/goos.MemAlloc
var memAlloc func(n uintptr) uintptr = allocatePages

//go:linkname memFree runtime/goos.MemFree
var memFree func(p, n uintptr) = freePages

//go:linkname flush runtime/goos.Flush
var flush func() = flushConsole

// allocatePages takes memory from firmware, below what the runtime's tables
// reach.
func allocatePages(n uintptr) uintptr {
	out[0] = runtimeReach
	if call(boot(bsAllocatePages), allocateMaxAddress, bootServicesData, n/pageSize, address(&out)) != 0 {
		return 0
	}
	return uintptr(out[0])
}

// freePages gives memory back, at the second attempt where firmware refuses
// the first: the memory is lost otherwise.
func freePages(p, n uintptr) {
	if call(boot(bsFreePages), p, n/pageSize, 0, 0) != 0 {
		call(boot(bsFreePages), p, n/pageSize, 0, 0)
	}
}

func setWall(offset int64) { goos.WallOffset = offset }

func noEntropy(none bool) { goos.NoEntropy = none }

// endsOutput says whether a character ends what is kept back: a write does.
func endsOutput(byte) bool { return false }
