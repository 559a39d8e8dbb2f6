//go:build tamago

package q35

import (
	"runtime/goos"
	"unsafe"

	"tamaccid/baremetal/cpu/amd64"
	"tamaccid/board/qemu/q35/internal/bootinfo"
)

const bootStackSize = 40 << 10 // the runtime claims 32 KiB of it for g0

// Set by cpuinit.
var (
	loaderInfo uintptr // hvm_start_info
	imageInfo  uintptr // bootinfo.Table

	bootstack [bootStackSize]byte
	mxcsr     uint32 = 0x1f80 // exceptions masked (SDM volume 1, 10.2.3)
)

// State of the hooks, which run in the dispatcher and allocate nothing.
var (
	machineInfo machine
	heap        pages // for the runtime
	dma         pages // for controllers, and tables that map them
	mapping     = amd64.IdentityMap{Alloc: tablePage, At: tableAt}
)

// dmaShare of the memory is set aside for controllers, at most dmaMost (policy).
const (
	dmaShare = 8
	dmaMost  = 64 << 20
	below4G  = 1 << 32
)

//go:linkname memAlloc runtime/goos.MemAlloc
var memAlloc func(n uintptr) uintptr = func(n uintptr) uintptr {
	return uintptr(heap.alloc(uint64(n), runtimeReach))
}

//go:linkname memFree runtime/goos.MemFree
var memFree func(p, n uintptr) = func(p, n uintptr) { heap.add(uint64(p), uint64(p+n)) }

//go:linkname hwinit0 runtime/goos.Hwinit0
func hwinit0() {
	initConsole()
	if problem := machineInfo.read(uint64(loaderInfo), loaderMemory); problem != "" {
		fatal(problem)
	}
	initMemory()
	initVectors()
	initClock()
	initTimer()
}

//go:linkname hwinit1 runtime/goos.Hwinit1
func hwinit1() {}

// loaderMemory reads what the loader left in memory, which is mapped while the kernel image's own
// page tables are in use.
func loaderMemory(addr, n uint64) []byte {
	if addr == 0 || addr >= bootinfo.Reach || n > bootinfo.Reach-addr {
		return nil
	}
	return unsafe.Slice((*byte)(pointer(uintptr(addr))), int(n))
}

// pointer makes a pointer of an address.
func pointer(addr uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&addr)) }

// initMemory divides the memory between runtime and controllers, and maps it with its protections.
func initMemory() {
	image := (*bootinfo.Table)(pointer(imageInfo))
	heap = machineInfo.memory
	heap.take(image.Start, image.End)
	size := min(dmaMost, heap.sum()/dmaShare) &^ (pageSize - 1)
	share := heap.alloc(size, below4G)
	if share == 0 {
		fatal("there is no memory")
	}
	dma.add(share, share+size)

	ok := true
	for i := range machineInfo.memory.n {
		s := machineInfo.memory.free[i]
		ok = ok && mapping.Map(s.lo, s.hi, amd64.ProtectData)
	}
	for _, s := range image.Segments[:min(image.Count, bootinfo.MaxSegments)] {
		ok = ok && mapping.Map(s.Start, s.End, protectionOf(s.Flags))
	}
	if !ok {
		fatal("there is no memory for page tables")
	}
	amd64.WriteCR3(mapping.Root)
	goos.RamSize = uint(heap.sum())
}

func protectionOf(flags uint64) uint64 {
	switch {
	case flags&bootinfo.Executable != 0:
		return amd64.ProtectText
	case flags&bootinfo.Writable != 0:
		return amd64.ProtectData
	}
	return amd64.ProtectConst
}

func tablePage() uint64 { return dma.alloc(pageSize, below4G) }

func tableAt(addr uint64) *amd64.PageTable { return (*amd64.PageTable)(pointer(uintptr(addr))) }

// fatal prints why the machine cannot go on, and ends it.
func fatal(problem string) {
	puts("q35: ")
	puts(problem)
	puts("\n")
	exit(exitFatal)
}

var entropy amd64.Entropy

//go:linkname initRNG runtime/goos.InitRNG
func initRNG() { entropy = amd64.FindEntropy() }

// getRandomData fills b from the processor's generator. Without one crypto/rand fails.
//
//go:linkname getRandomData runtime/goos.GetRandomData
func getRandomData(b []byte) {
	goos.NoEntropy = false
	for len(b) > 0 {
		v, ok := entropy.Word()
		if !ok {
			goos.NoEntropy = true
			return
		}
		for i := 0; i < 8 && len(b) > 0; i++ {
			b[0] = byte(v)
			v >>= 8
			b = b[1:]
		}
	}
}
