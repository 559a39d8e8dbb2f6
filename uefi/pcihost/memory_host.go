//go:build !tamago

package pcihost

import (
	"sync"
	"unsafe"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/dmamem"
	"tamaccid/uefi"
)

// Memory is memory that processor and controller reach. In host tests each buffer is a chunk of its
// own.
type Memory struct {
	f    *Function
	mu   sync.Mutex
	held map[*byte]dmamem.Chunk
}

var _ usbhost.Memory = (*Memory)(nil)

// Memory is new memory for the controller.
func (f *Function) Memory() *Memory { return &Memory{f: f, held: map[*byte]dmamem.Chunk{}} }

// maxAlign is the alignment of every common buffer, that of its pages.
const maxAlign = uefi.PageSize

// Alloc is usbhost.Memory's. An alignment above a page is usbhost.ErrNoMemory.
func (m *Memory) Alloc(size, align int) (usbhost.Buffer, error) {
	if size <= 0 || align > maxAlign {
		return usbhost.Buffer{}, usbhost.ErrNoMemory
	}
	c, err := m.f.more(size)
	if err != nil {
		return usbhost.Buffer{}, usbhost.ErrNoMemory
	}
	at := uefi.At[byte](c.CPU)
	b := unsafe.Slice(at, size)
	clear(b)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held[at] = c
	return usbhost.Buffer{Bytes: b, Bus: c.Bus}, nil
}

// Free is usbhost.Memory's.
func (m *Memory) Free(b usbhost.Buffer) {
	at := unsafe.SliceData(b.Bytes)
	m.mu.Lock()
	defer m.mu.Unlock()
	if c, ok := m.held[at]; ok {
		delete(m.held, at)
		clear(b.Bytes)
		m.f.give(c)
	}
}

// Close frees all buffers.
func (m *Memory) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for at, c := range m.held {
		delete(m.held, at)
		m.f.give(c)
	}
}
