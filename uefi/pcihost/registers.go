package pcihost

import (
	"sync"

	"tamaccid/uefi"
)

// gone is the result of a read to which no device responds (PCI, 6.1).
const gone = ^uint32(0)

// tries is the number of attempts of an access that firmware rejects, and of a call that returns a
// resource to it (policy). A controller whose registers read as all ones counts as removed.
const tries = 2

// Registers are the memory-mapped registers of a controller. They implement hcd.Registers. An
// access allocates nothing.
type Registers struct {
	io  *uefi.PCIIO
	bar uint8

	mu   sync.Mutex // protects word
	word uefi.PCIWord

	// alone: no other goroutine will run any more. One of them may hold mu.
	alone bool
	last  uefi.PCIWord
}

// acquire returns the word for an access, and release ends the access.
func (r *Registers) acquire() *uefi.PCIWord {
	if r.alone {
		return &r.last
	}
	r.mu.Lock()
	return &r.word
}

func (r *Registers) release() {
	if !r.alone {
		r.mu.Unlock()
	}
}

// read reads a register; all ones if that fails.
func (r *Registers) read(width uefi.PCIWidth, offset uint32) uint32 {
	w := r.acquire()
	defer r.release()
	for range tries {
		if v, status := r.io.MemRead(w, width, r.bar, uint64(offset)); !status.IsError() {
			return v
		}
	}
	return gone
}

// write writes a register. If that fails, the next read shows it.
func (r *Registers) write(width uefi.PCIWidth, offset, v uint32) {
	w := r.acquire()
	defer r.release()
	for range tries {
		if !r.io.MemWrite(w, width, r.bar, uint64(offset), v).IsError() {
			return
		}
	}
}

// Read8 implements hcd.Registers.
func (r *Registers) Read8(offset uint32) uint8 { return uint8(r.read(uefi.PCIUint8, offset)) }

// Read16 implements hcd.Registers.
func (r *Registers) Read16(offset uint32) uint16 { return uint16(r.read(uefi.PCIUint16, offset)) }

// Read32 implements hcd.Registers.
func (r *Registers) Read32(offset uint32) uint32 { return r.read(uefi.PCIUint32, offset) }

// Write8 implements hcd.Registers.
func (r *Registers) Write8(offset uint32, v uint8) { r.write(uefi.PCIUint8, offset, uint32(v)) }

// Write16 implements hcd.Registers.
func (r *Registers) Write16(offset uint32, v uint16) { r.write(uefi.PCIUint16, offset, uint32(v)) }

// Write32 implements hcd.Registers.
func (r *Registers) Write32(offset uint32, v uint32) { r.write(uefi.PCIUint32, offset, v) }
