//go:build !tamago

package pcihost

import (
	"sync"
	"unsafe"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/dmamem"
	"tamaccid/baremetal/usbhost/hcd"
	"tamaccid/uefi"
)

// Memory is memory for DMA. On a host, where a test replaces firmware, each buffer is a chunk of
// its own.
type Memory struct {
	f    *Function
	mu   sync.Mutex
	held map[*byte]dmamem.Chunk
}

var _ hcd.Memory = (*Memory)(nil)

// Memory returns a memory without chunks.
func (f *Function) Memory() *Memory { return &Memory{f: f, held: map[*byte]dmamem.Chunk{}} }

// maxAlign is the alignment of a common buffer: it consists of pages.
const maxAlign = uefi.PageSize

// Alloc implements hcd.Memory. Alignments above a page are not supported.
func (m *Memory) Alloc(size, align int) (hcd.Buffer, error) {
	if size <= 0 || align > maxAlign {
		return hcd.Buffer{}, usbhost.ErrNoMemory
	}
	c, err := m.f.more(size)
	if err != nil {
		return hcd.Buffer{}, usbhost.ErrNoMemory
	}
	at := uefi.At[byte](c.CPU)
	b := unsafe.Slice(at, size)
	clear(b)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held[at] = c
	return hcd.Buffer{Bytes: b, Bus: c.Bus}, nil
}

// Free implements hcd.Memory.
func (m *Memory) Free(b hcd.Buffer) {
	at := unsafe.SliceData(b.Bytes)
	m.mu.Lock()
	defer m.mu.Unlock()
	if c, ok := m.held[at]; ok {
		delete(m.held, at)
		clear(b.Bytes)
		m.f.give(c)
	}
}

// Close frees all chunks.
func (m *Memory) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for at, c := range m.held {
		delete(m.held, at)
		m.f.give(c)
	}
}
