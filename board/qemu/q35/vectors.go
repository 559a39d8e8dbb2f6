//go:build tamago

package q35

import (
	"runtime"
	"unsafe"
)

// Descriptors (SDM volume 3, 3.4.5, 6.14.1, 7.7).
const (
	codeSelector = 0x08
	codeSegment  = 0x00209a0000000000
	dataSegment  = 0x00cf92000000ffff
	taskSegment  = 0x0000890000000000 // 64-bit TSS, available

	interruptGate = 0x8e // present, privilege level 0
	gateStack     = 1    // index in the TSS of the stack for what may come at any moment

	exceptions = 32
	vectorNMI  = 2
	vectorDF   = 8
	vectorMC   = 18

	// Interrupts (policy): all do the same, but for the spurious one.
	vectorTimer    = 0x40
	vectorSpurious = 0xff
	idtEntries     = 256
)

// Interrupt controllers of the PC (ICH9, 5.8 and 13.4): they stay silent.
const (
	masterData = 0x21
	slaveData  = 0xa1
	maskAll    = 0xff
)

// taskState is the 64-bit task state segment (SDM volume 3, 7.7): for its stacks alone.
type taskState struct {
	_      uint32
	rsp    [3][2]uint32
	_      [2]uint32
	stacks [7][2]uint32
	_      [2]uint32
	_      uint16
	ioMap  uint16
}

var (
	gdt       [5]uint64
	gdtr      [10]byte
	idt       [2 * idtEntries]uint64
	idtr      [10]byte
	task      taskState
	trapStack [8 << 10]byte
)

func loadTables(gdt, idt *[10]byte)
func setRoot(cr3 uint64)
func vectors() (interrupt, spurious uintptr)

// initVectors sends exceptions to the runtime, which makes Go panics and fatal errors of them.
func initVectors() {
	top := uint64(uintptr(unsafe.Pointer(&trapStack))+unsafe.Sizeof(trapStack)) &^ 15
	task.stacks[gateStack-1] = [2]uint32{uint32(top), uint32(top >> 32)}
	task.ioMap = uint16(unsafe.Sizeof(task)) // no ports: behind the limit
	at := uint64(uintptr(unsafe.Pointer(&task)))
	gdt = [len(gdt)]uint64{
		0, codeSegment, dataSegment,
		taskSegment | uint64(unsafe.Sizeof(task)-1) | at&0xffffff<<16 | at>>24&0xff<<56, at >> 32,
	}
	interrupt, spurious := vectors()
	for v := range uint64(idtEntries) {
		pc, stack := uint64(interrupt), uint64(0)
		switch {
		case v < exceptions:
			pc = uint64(runtime.TrapVectors()) + v*runtime.TrapStride
		case v == vectorSpurious:
			pc = uint64(spurious)
		}
		if v == vectorNMI || v == vectorDF || v == vectorMC {
			stack = gateStack
		}
		idt[2*v] = pc&0xffff | codeSelector<<16 | stack<<32 | interruptGate<<40 | pc>>16&0xffff<<48
		idt[2*v+1] = pc >> 32
	}
	describe(&gdtr, unsafe.Pointer(&gdt), unsafe.Sizeof(gdt))
	describe(&idtr, unsafe.Pointer(&idt), unsafe.Sizeof(idt))
	loadTables(&gdtr, &idtr)
}

// describe makes the operand of LGDT and LIDT.
func describe(d *[10]byte, table unsafe.Pointer, size uintptr) {
	*(*uint16)(unsafe.Pointer(&d[0])) = uint16(size - 1)
	*(*uintptr)(unsafe.Pointer(&d[2])) = uintptr(table)
}
