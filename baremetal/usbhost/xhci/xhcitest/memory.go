package xhcitest

import (
	"sort"
	"sync"
	"sync/atomic"
	"unsafe"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/hcd"
)

// Memory implements hcd.Memory. Bus addresses differ from the processor's addresses. There is an
// unused page between two buffers. Freed buffers stay known, so that later accesses are detected.
type Memory struct {
	mu      sync.Mutex
	next    uint64
	regions []*region // by address
	fail    func(format string, args ...any)
	limit   int // bytes that may be allocated, 0: no limit
	used    int
}

type region struct {
	hcd.Buffer
	freed bool
}

// gap is the space between buffers.
const gap = 0x1000

// NewMemory returns a memory whose bus addresses start at base.
func NewMemory(base uint64, fail func(format string, args ...any)) *Memory {
	return &Memory{next: base, fail: fail}
}

// Limit bounds the number of allocated bytes.
func (m *Memory) Limit(bytes int) {
	m.mu.Lock()
	m.limit = bytes
	m.mu.Unlock()
}

// Alloc implements hcd.Memory.
func (m *Memory) Alloc(size, align int) (hcd.Buffer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if size <= 0 || align <= 0 || align&(align-1) != 0 {
		m.fail("Alloc(%d, %d)", size, align)
		return hcd.Buffer{}, usbhost.ErrNoMemory
	}
	if m.limit > 0 && m.used+size > m.limit {
		return hcd.Buffer{}, usbhost.ErrNoMemory
	}
	const boundary = 64 << 10
	at := (m.next + uint64(align) - 1) &^ (uint64(align) - 1)
	if size <= boundary && at/boundary != (at+uint64(size)-1)/boundary {
		at = (at + boundary - 1) &^ (boundary - 1)
		at = (at + uint64(align) - 1) &^ (uint64(align) - 1)
	}
	m.next = at + uint64(size) + gap
	raw := make([]byte, size+align)
	skip := int(-uintptr(unsafe.Pointer(&raw[0])) & uintptr(align-1))
	b := hcd.Buffer{Bytes: raw[skip : skip+size : skip+size], Bus: at}
	m.regions = append(m.regions, &region{Buffer: b})
	m.used += size
	return b, nil
}

// Free implements hcd.Memory.
func (m *Memory) Free(b hcd.Buffer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.find(b.Bus)
	if r == nil || r.Bus != b.Bus || r.freed || len(r.Bytes) != len(b.Bytes) {
		m.fail("Free of %#x, %d bytes, which is not allocated", b.Bus, len(b.Bytes))
		return
	}
	clear(r.Bytes)
	r.freed = true
	m.used -= len(r.Bytes)
}

// find returns the buffer that includes an address, or nil.
func (m *Memory) find(bus uint64) *region {
	i := sort.Search(len(m.regions), func(i int) bool { return m.regions[i].Bus > bus })
	if i == 0 {
		return nil
	}
	if r := m.regions[i-1]; bus-r.Bus < uint64(len(r.Bytes)) {
		return r
	}
	return nil
}

// InUse is the number of allocated bytes.
func (m *Memory) InUse() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}

// Check fails if freed memory was written to.
func (m *Memory) Check() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.regions {
		for i, v := range r.Bytes {
			if r.freed && v != 0 {
				m.fail("%#x was written to after it was freed", r.Bus+uint64(i))
				break
			}
		}
	}
}

// Holds reports whether a byte string is in the memory.
func (m *Memory) Holds(s string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.regions {
		for i := 0; i+len(s) <= len(r.Bytes); i++ {
			if string(r.Bytes[i:i+len(s)]) == s {
				return true
			}
		}
	}
	return false
}

// dma returns n bytes at a bus address. If they are not in one allocated buffer, it fails and
// returns nil.
func (m *Memory) dma(bus uint64, n int, what string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.find(bus)
	switch {
	case r == nil:
		m.fail("%s: DMA to %#x, where no memory is", what, bus)
		return nil
	case r.freed:
		m.fail("%s: DMA to %#x, which was freed", what, bus)
		return nil
	case uint64(len(r.Bytes))-(bus-r.Bus) < uint64(n):
		m.fail("%s: DMA of %d bytes to %#x, beyond the end of its buffer", what, n, bus)
		return nil
	}
	return r.Bytes[bus-r.Bus:][:n]
}

// u32, u64 and set32 access little-endian words. load and store are for words with a cycle bit.
func u32(b []byte, at int) uint32 {
	return uint32(b[at]) | uint32(b[at+1])<<8 | uint32(b[at+2])<<16 | uint32(b[at+3])<<24
}

func u64(b []byte, at int) uint64 { return uint64(u32(b, at)) | uint64(u32(b, at+4))<<32 }

func set32(b []byte, at int, v uint32) {
	b[at], b[at+1], b[at+2], b[at+3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
}

func load(b []byte, at int) uint32 {
	return atomic.LoadUint32((*uint32)(unsafe.Pointer(&b[at : at+4][0])))
}

func store(b []byte, at int, v uint32) {
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&b[at : at+4][0])), v)
}
