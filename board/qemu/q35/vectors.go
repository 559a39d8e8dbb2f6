//go:build tamago

package q35

import (
	"runtime"
	"unsafe"

	"tamaccid/baremetal/cpu/amd64"
)

const (
	codeSelector = 0x08
	taskSegment  = 0x0000890000000000 // 64-bit TSS, available (SDM volume 3, 7.7)

	// trapStackIndex is the index in the TSS of the stack for exceptions that may come at any time.
	trapStackIndex = 1

	// Vectors of interrupts (policy). All have the same handler, except for the spurious one.
	vectorTimer    = 0x40
	vectorSpurious = 0xff
)

// Interrupt controllers of the PC (ICH9, 5.8 and 13.4), which are masked.
const (
	masterData = 0x21
	slaveData  = 0xa1
	maskAll    = 0xff
)

// taskState is the 64-bit task state segment (SDM volume 3, 7.7), of which only the stacks are
// used.
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
	gdtr      amd64.TableRegister
	idt       amd64.IDT
	idtr      amd64.TableRegister
	task      taskState
	trapStack [8 << 10]byte
)

func loadTables(gdt, idt *amd64.TableRegister)
func vectors() (interrupt, spurious uintptr)

// initVectors directs exceptions to the runtime, which makes them Go panics and fatal errors.
func initVectors() {
	top := uint64(uintptr(unsafe.Pointer(&trapStack))+unsafe.Sizeof(trapStack)) &^ 15
	task.stacks[trapStackIndex-1] = [2]uint32{uint32(top), uint32(top >> 32)}
	task.ioMap = uint16(unsafe.Sizeof(task)) // behind the limit: no ports
	at := uint64(uintptr(unsafe.Pointer(&task)))
	gdt = [len(gdt)]uint64{
		0, amd64.SegmentCode64, amd64.SegmentData,
		taskSegment | uint64(unsafe.Sizeof(task)-1) | at&0xffffff<<16 | at>>24&0xff<<56, at >> 32,
	}
	interrupt, spurious := vectors()
	for v := range idt {
		pc, stack := interrupt, uint8(0)
		switch v {
		case amd64.VectorNMI, amd64.VectorDoubleFault, amd64.VectorMachineCheck:
			stack = trapStackIndex
		case vectorSpurious:
			pc = spurious
		}
		if v < amd64.Exceptions {
			pc = runtime.TrapVectors() + uintptr(v)*runtime.TrapStride
		}
		idt.Set(v, pc, codeSelector, stack)
	}
	gdtr.SetTable(unsafe.Pointer(&gdt), unsafe.Sizeof(gdt))
	idtr.SetTable(unsafe.Pointer(&idt), unsafe.Sizeof(idt))
	loadTables(&gdtr, &idtr)
}
