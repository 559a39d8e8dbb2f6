//go:build tamago

package dmamem

import (
	"fmt"
	"slices"
	"sync"
	"unsafe"

	"github.com/usbarmory/tamago/dma"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/hcd"
)

// Memory implements hcd.Memory. Its methods may be called concurrently.
type Memory struct {
	more func(size int) (Chunk, error)
	give func(Chunk)

	mu     sync.Mutex
	closed bool
	chunks []*region
	held   map[uintptr]piece // by address of the buffer
}

// region is a chunk with TamaGo's allocator.
type region struct {
	Chunk
	*dma.Region
	pieces int // buffers in use
}

// piece is a buffer in use.
type piece struct {
	in   *region
	base uint // address in the allocator
	size int
}

var _ hcd.Memory = (*Memory)(nil)

// New returns a memory that calls more for a chunk of at least size bytes when it needs one, and
// give for a chunk that it does not need any more. The first call is in the first Alloc. An error
// of more is wrapped by that of Alloc.
func New(more func(size int) (Chunk, error), give func(Chunk)) *Memory {
	return &Memory{more: more, give: give, held: map[uintptr]piece{}}
}

// Alloc implements hcd.Memory.
func (m *Memory) Alloc(size, align int) (hcd.Buffer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := needOf(size, align, 0); !ok || m.closed {
		return hcd.Buffer{}, usbhost.ErrNoMemory
	}
	for _, r := range m.chunks {
		if b, ok := m.carve(r, size, align); ok {
			return b, nil
		}
	}
	r, err := m.grow(size, align)
	if err != nil {
		return hcd.Buffer{}, err
	}
	b, ok := m.carve(r, size, align)
	if !ok {
		m.drop(r)
		return hcd.Buffer{}, usbhost.ErrNoMemory
	}
	return b, nil
}

// carve allocates a buffer in r, if it fits. TamaGo's allocator panics if it does not, so that is
// checked before.
func (m *Memory) carve(r *region, size, align int) (hcd.Buffer, bool) {
	delta := r.Bus - uint64(r.CPU)
	n, _ := needOf(size, align, delta)
	if !fits(r.FreeBlocks(), n) {
		return hcd.Buffer{}, false
	}
	base, mem := r.Reserve(int(n.size), int(n.align))
	off := n.offset(uintptr(base), delta)
	b := mem[off : off+uintptr(size) : off+uintptr(size)]
	clear(b)
	cpu := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	r.pieces++
	m.held[cpu] = piece{in: r, base: base, size: size}
	return hcd.Buffer{Bytes: b, Bus: uint64(cpu) + delta}, true
}

// grow adds a chunk in which a buffer of the given size fits.
func (m *Memory) grow(size, align int) (*region, error) {
	n, _ := needOf(size, align, 1) // the largest need for any delta
	c, err := m.more(chunkFor(n))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", usbhost.ErrNoMemory, err)
	}
	if !c.valid(chunkFor(n)) {
		m.give(c)
		return nil, fmt.Errorf("%w: the board gave %d bytes at %#x, bus address %#x",
			usbhost.ErrNoMemory,
			c.Size, c.CPU, c.Bus)
	}
	d, err := dma.NewRegion(uint(c.CPU), c.Size, false)
	if err != nil {
		m.give(c)
		return nil, fmt.Errorf("%w: %w", usbhost.ErrNoMemory, err)
	}
	r := &region{Chunk: c, Region: d}
	m.chunks = append(m.chunks, r)
	return r, nil
}

// Free implements hcd.Memory. A buffer that is not of this memory, or was freed before, is ignored.
// A chunk without buffers is given back to the board, except for the last chunk.
func (m *Memory) Free(b hcd.Buffer) {
	cpu := uintptr(unsafe.Pointer(unsafe.SliceData(b.Bytes)))
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.held[cpu]
	if !ok {
		return
	}
	delete(m.held, cpu)
	clear(unsafe.Slice(unsafe.SliceData(b.Bytes), p.size))
	p.in.Release(p.base)
	if p.in.pieces--; p.in.pieces == 0 && len(m.chunks) > 1 {
		m.drop(p.in)
	}
}

// drop gives a chunk back to the board.
func (m *Memory) drop(r *region) {
	m.chunks = slices.DeleteFunc(m.chunks, func(c *region) bool { return c == r })
	m.give(r.Chunk)
}

// Close wipes all chunks and gives them back. No controller may use them any more.
func (m *Memory) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	for _, r := range m.chunks {
		for cpu, p := range m.held {
			if p.in == r {
				delete(m.held, cpu)
				clear(unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(nil), cpu)), p.size))
			}
		}
		m.give(r.Chunk)
	}
	m.chunks = nil
}
