//go:build tamago && linux

package uefi

import (
	"runtime/goos"
	_ "unsafe" // for go:linkname
)

// An image of the stock compiler takes memory from firmware on demand.

const (
	bsAllocatePages = 40
	bsFreePages     = 48

	pageSize           = 4096
	allocateMaxAddress = 1 // EFI_ALLOCATE_TYPE
	bootServicesData   = 4 // EFI_MEMORY_TYPE

	// runtimeReach is the last address that the overlay's runtime can use (heapAddrBits).
	runtimeReach = 1<<36 - 1
	// defaultMemory is how many bytes an application may take (policy).
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

// allocatePages takes n bytes from firmware, within the addresses that the runtime can use.
func allocatePages(n uintptr) uintptr {
	out[0] = runtimeReach
	status := call(boot(bsAllocatePages), allocateMaxAddress, bootServicesData, n/pageSize,
		address(&out))
	if status != 0 {
		return 0
	}
	return uintptr(out[0])
}

// freePages gives memory back. It tries twice: memory that firmware does not take back is lost.
func freePages(p, n uintptr) {
	if call(boot(bsFreePages), p, n/pageSize, 0, 0) != 0 {
		call(boot(bsFreePages), p, n/pageSize, 0, 0)
	}
}

func setWall(offset int64) { goos.WallOffset = offset }

func noEntropy(none bool) { goos.NoEntropy = none }

// endsOutput reports whether buffered output is printed after a character. The runtime flushes it
// after each write.
func endsOutput(byte) bool { return false }
