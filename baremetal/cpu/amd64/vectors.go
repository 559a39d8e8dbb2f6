package amd64

import "unsafe"

// Exceptions (SDM volume 3, 6.3.1 and 6.15).
const (
	VectorNMI          = 2  // non-maskable interrupt
	VectorDoubleFault  = 8  // #DF
	VectorMachineCheck = 18 // #MC
	Exceptions         = 32 // vectors below are exceptions
)

// Descriptors of flat segments of privilege level 0 (SDM volume 3, 3.4.5).
const (
	SegmentCode64 = 0x00209a0000000000
	SegmentData   = 0x00cf92000000ffff
)

// interruptGate is the type of a present interrupt gate of privilege level 0 (SDM volume 3,
// 6.14.1).
const interruptGate = 0x8e

// An IDT is an interrupt descriptor table.
type IDT [256][2]uint64

// Set makes the descriptor of a vector an interrupt gate to the code at pc. stack is the index of a
// stack in the task state segment, 0 for the stack that is in use.
func (t *IDT) Set(vector int, pc uintptr, selector uint16, stack uint8) {
	at := uint64(pc)
	t[vector] = [2]uint64{
		at&0xffff | uint64(selector)<<16 | uint64(stack)<<32 | interruptGate<<40 |
			at>>16&0xffff<<48,
		at >> 32,
	}
}

// A TableRegister is the operand of LGDT, LIDT and SIDT: limit and base of a descriptor table (SDM
// volume 3, 2.4). Base 0 stands for no table.
type TableRegister [10]byte

// SetTable makes r describe a table of size bytes.
func (r *TableRegister) SetTable(table unsafe.Pointer, size uintptr) {
	*(*uint16)(unsafe.Pointer(&r[0])) = uint16(size - 1)
	*(*uintptr)(unsafe.Pointer(&r[2])) = uintptr(table)
}

// Table returns base and size in bytes of the table.
func (r *TableRegister) Table() (base, size uintptr) {
	return *(*uintptr)(unsafe.Pointer(&r[2])), uintptr(*(*uint16)(unsafe.Pointer(&r[0]))) + 1
}
