//go:build tamago && linux

package gate

import (
	"runtime"
	"runtime/goos"
	"unsafe"

	"tamaccid/baremetal/cpu/amd64"
)

// While Go runs, exceptions go to the Go runtime and page 0 is not mapped: a nil dereference is a
// Go panic. The interrupt descriptor table and the page tables for that are the image's own. They
// are loaded on entry and unloaded before every call of firmware, whose tables are only read.

var idt amd64.IDT

// initExceptions builds the interrupt descriptor table, a copy of firmware's with the runtime's
// exceptions, and the page tables. Non-maskable interrupts and machine checks stay firmware's.
func initExceptions() {
	base, size := fwidt.Table()
	n := min(size, unsafe.Sizeof(idt)) / unsafe.Sizeof(idt[0])
	copy(idt[:n], unsafe.Slice((*[2]uint64)(pointer(base)), int(n)))
	for v := range amd64.Exceptions {
		if v == amd64.VectorNMI || v == amd64.VectorMachineCheck {
			continue
		}
		pc := runtime.TrapVectors() + uintptr(v)*runtime.TrapStride
		idt.Set(v, pc, amd64.CodeSelector(), 0)
	}
	// In memory of the runtime, which does not move it, and not in the image.
	guard = new(amd64.NullGuard)
	if guard.Copy(fwcr3, amd64.PagingLevels(), physical) {
		gocr3, clonedcr3 = guard.Root()|fwcr3&(amd64.PageSize-1), fwcr3
	}
	goos.Fault = refresh
	goidt.SetTable(unsafe.Pointer(&idt), unsafe.Sizeof(idt))
	loadGo()
}

// guard is the page tables for Go.
var guard *amd64.NullGuard

// physical reads a page table of firmware, which maps memory one to one.
func physical(addr uintptr) *amd64.PageTable { return (*amd64.PageTable)(pointer(addr)) }

func remap() { refresh(^uintptr(0)) }

// refresh copies firmware's page tables again when they have changed since, as they may when
// firmware protects or frees memory, and reports whether that may have removed the cause of a fault
// at addr.
func refresh(addr uintptr) bool {
	if addr < amd64.PageSize || gocr3 == 0 || fwcr3 != clonedcr3 {
		return false
	}
	levels := amd64.PagingLevels()
	if !guard.Outdated(fwcr3, levels, physical) {
		return false
	}
	ok := guard.Copy(fwcr3, levels, physical)
	amd64.WriteCR3(amd64.ReadCR3()) // flushes the TLB
	return ok
}

// forgetPageTables ends the use of the page tables, whose memory is given back.
func forgetPageTables() { gocr3 = 0 }
