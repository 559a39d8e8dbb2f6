package hcd

import (
	"sync/atomic"
	"unsafe"
)

// Registers is the register space of a controller, in memory or in I/O ports. Offsets are multiples
// of the width of the access. Values are in host byte order. A read of a controller that was
// removed, and of an offset outside of the space, is all ones; a write to either is ignored.
// Methods may be called concurrently, and accesses of one goroutine reach the controller in program
// order.
//
// Mapped implements it for registers in memory that the processor accesses directly. Boards
// implement it for other kinds: uefi/pcihost over EFI_PCI_IO_PROTOCOL.
type Registers interface {
	// Read8 reads 8 bits.
	Read8(offset uint32) uint8
	// Read16 reads 16 bits.
	Read16(offset uint32) uint16
	// Read32 reads 32 bits.
	Read32(offset uint32) uint32
	// Write8 writes 8 bits.
	Write8(offset uint32, v uint8)
	// Write16 writes 16 bits.
	Write16(offset uint32, v uint16)
	// Write32 writes 32 bits.
	Write32(offset uint32, v uint32)
}

// Mapped is a register space in mapped memory. It must be mapped as device memory.
type Mapped []byte

var _ Registers = Mapped(nil)

// at is the address of a register of size bytes, nil outside of the space.
func (m Mapped) at(offset, size uint32) unsafe.Pointer {
	if offset%size != 0 || uint64(offset)+uint64(size) > uint64(len(m)) {
		return nil
	}
	return unsafe.Pointer(&m[offset])
}

// Read8 implements Registers.
func (m Mapped) Read8(offset uint32) uint8 {
	if p := m.at(offset, 1); p != nil {
		return load((*uint8)(p))
	}
	return 0xFF
}

// Read16 implements Registers.
func (m Mapped) Read16(offset uint32) uint16 {
	if p := m.at(offset, 2); p != nil {
		return load((*uint16)(p))
	}
	return 0xFFFF
}

// Read32 implements Registers.
func (m Mapped) Read32(offset uint32) uint32 {
	if p := m.at(offset, 4); p != nil {
		return atomic.LoadUint32((*uint32)(p))
	}
	return 0xFFFFFFFF
}

// Write8 implements Registers.
func (m Mapped) Write8(offset uint32, v uint8) {
	if p := m.at(offset, 1); p != nil {
		store((*uint8)(p), v)
	}
}

// Write16 implements Registers.
func (m Mapped) Write16(offset uint32, v uint16) {
	if p := m.at(offset, 2); p != nil {
		store((*uint16)(p), v)
	}
}

// Write32 implements Registers.
func (m Mapped) Write32(offset uint32, v uint32) {
	if p := m.at(offset, 4); p != nil {
		atomic.StoreUint32((*uint32)(p), v)
	}
}

// load and store are one access each, which the compiler neither merges nor removes, because it
// does not look into a call. sync/atomic has no functions of these widths.
//
//go:noinline
func load[T uint8 | uint16](p *T) T { return *p }

//go:noinline
func store[T uint8 | uint16](p *T, v T) { *p = v }
