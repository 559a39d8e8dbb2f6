//go:build tamago && linux

package gate

import (
	"runtime"
	"runtime/goos"
	"unsafe"
)

// While Go runs, exceptions go to the Go runtime and page 0 is not mapped: a
// nil dereference is then a Go panic. Both are of our own making, loaded on
// entry and unloaded before every call of firmware; firmware's tables are read,
// never written.

const (
	idtEntries     = 256
	gateSize       = 16
	vectorNMI      = 2
	vectorMachine  = 18
	exceptionCount = 32
	interruptGate  = 0x8e // present, DPL 0 (Intel SDM volume 3, 6.14.1)
)

var idt [idtEntries * gateSize / 8]uint64

// traps builds the interrupt descriptor table: firmware's, but for exceptions.
// Non-maskable interrupts and machine checks stay firmware's.
func traps() {
	limit := uintptr(*(*uint16)(unsafe.Pointer(&fwidt[0]))) + 1
	base := *(*uintptr)(unsafe.Pointer(&fwidt[2]))
	n := min(limit, idtEntries*gateSize) / 8
	copy(idt[:n], unsafe.Slice((*uint64)(pointer(base)), int(n)))
	for v := uint64(0); v < exceptionCount; v++ {
		if v == vectorNMI || v == vectorMachine {
			continue
		}
		pc := uint64(runtime.TrapVectors()) + v*runtime.TrapStride
		idt[2*v] = pc&0xffff | uint64(cs())<<16 | interruptGate<<40 | pc>>16&0xffff<<48
		idt[2*v+1] = pc >> 32
	}
	gocr3, clonedcr3 = hidePageZero(fwcr3)
	goos.Fault = refresh
	*(*uint16)(unsafe.Pointer(&goidt[0])) = idtEntries*gateSize - 1
	*(*uintptr)(unsafe.Pointer(&goidt[2])) = uintptr(unsafe.Pointer(&idt))
	remachine()
}

// clone is memory of the runtime's, which does not move it: no part of the image.
var clone *tables

// hidePageZero copies the page tables on the way to address 0, without it.
func hidePageZero(root uintptr) (cr3, source uintptr) {
	levels := 4
	if cr4()&la57 != 0 {
		levels = 5
	}
	clone = new(tables)
	base := (uintptr(unsafe.Pointer(clone)) + pageSize - 1) &^ (pageSize - 1)
	t := (*[maxLevels]table)(pointer(base))
	if !cloneTables(t, root, levels, physical) {
		return 0, 0
	}
	return base | root&(pageSize-1), root
}

// physical reads a page table of firmware's, which maps memory one to one.
func physical(addr uintptr) *table { return (*table)(pointer(addr)) }

// Remap takes over what firmware has changed in its page tables since the image
// was started, as it may for a device that appeared later.
func Remap() { refresh(^uintptr(0)) }

// refresh copies firmware's page tables anew when they have changed since, as
// they may when it protects or frees memory, and says whether they had.
func refresh(addr uintptr) bool {
	if addr < pageSize || gocr3 == 0 || fwcr3 != clonedcr3 {
		return false
	}
	levels := 4
	if cr4()&la57 != 0 {
		levels = 5
	}
	t := (*[maxLevels]table)(pointer(gocr3 &^ (pageSize - 1)))
	if !tablesDiffer(t, fwcr3, levels, physical) {
		return false
	}
	ok := cloneTables(t, fwcr3, levels, physical)
	flushTLB()
	return ok
}
