package pcihost

import (
	"sync"

	"tamaccid/uefi"
)

// registerBAR is the base address register of the controller's registers (xHCI 1.2, 5.2.2: BAR 0).
const registerBAR = 0

// gone is the value of a read that no device answers (PCI, 6.1).
const gone = ^uint32(0)

// tries is how often an access is tried that firmware refuses, and the end of what firmware has
// allocated (policy). A controller whose registers read as all ones counts as removed.
const tries = 2

// Registers are a controller's memory-mapped registers. An access allocates nothing.
type Registers struct {
	io *uefi.PCIIO

	mu   sync.Mutex // holds word
	word uefi.PCIWord

	// alone is set when only the caller's goroutine still runs: another one may hold mu for ever.
	alone bool
	last  uefi.PCIWord
}

// Read32 reads a register. After an error the value is all ones.
func (r *Registers) Read32(offset uint32) uint32 {
	if r.alone {
		return r.read(&r.last, offset)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.read(&r.word, offset)
}

func (r *Registers) read(w *uefi.PCIWord, offset uint32) uint32 {
	for range tries {
		if v, status := r.io.MemRead32(w, registerBAR, uint64(offset)); !status.IsError() {
			return v
		}
	}
	return gone
}

// Write32 writes a register. An error shows in the next read.
func (r *Registers) Write32(offset uint32, v uint32) {
	if r.alone {
		r.write(&r.last, offset, v)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.write(&r.word, offset, v)
}

func (r *Registers) write(w *uefi.PCIWord, offset, v uint32) {
	for range tries {
		if !r.io.MemWrite32(w, registerBAR, uint64(offset), v).IsError() {
			return
		}
	}
}
