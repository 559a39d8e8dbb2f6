package dmamem

const (
	// boundary is the boundary that small buffers must not cross (hcd.Memory).
	boundary = 64 << 10
	// chunkSize is the smallest size of a chunk: a controller with some devices fits into one
	// (policy).
	chunkSize = 256 << 10
	// maxSize bounds the size of a buffer, far above what a driver requests (policy).
	maxSize = 64 << 20

	pageSize = 4096
	minAlign = 16 // the smallest alignment (policy)
)

// A need is the reservation for one buffer: size bytes whose processor address is a multiple of
// align. The buffer starts where the bus address is a multiple of busAlign.
type need struct {
	size, align uint
	busAlign    uint64
}

// needOf returns the reservation for a buffer in a chunk whose bus addresses are delta above the
// processor's. ok is false for invalid sizes and alignments.
//
// A buffer that is aligned to a power of two not smaller than its size crosses no boundary of that
// power.
func needOf(size, align int, delta uint64) (n need, ok bool) {
	if size <= 0 || size > maxSize ||
		align < 0 || align > maxSize || align&(align-1) != 0 {
		return n, false
	}
	a := uint(max(align, minAlign))
	if size <= boundary {
		for a < uint(size) {
			a <<= 1
		}
	}
	n = need{size: uint(size+minAlign-1) &^ (minAlign - 1), align: a, busAlign: uint64(a)}
	if delta%n.busAlign != 0 {
		n.align = pageSize
		n.size += a
	}
	return n, true
}

// chunkFor is the size of a chunk in which n fits at any address of the chunk.
func chunkFor(n need) int {
	return int(max((n.size+n.align+pageSize-1)&^(pageSize-1), chunkSize))
}

// offset is the start of the buffer in a reservation at addr.
func (n need) offset(addr uintptr, delta uint64) uintptr {
	return uintptr(-(uint64(addr) + delta) & (n.busAlign - 1))
}

// fits reports whether n fits into one of the free blocks (sizes by address).
func fits(free map[uint]uint, n need) bool {
	for addr, size := range free {
		pad := -addr & (n.align - 1)
		if size >= pad && size-pad >= n.size {
			return true
		}
	}
	return false
}

// valid reports whether a chunk has the requested size and is aligned.
func (c Chunk) valid(size int) bool {
	return c.Size >= size && c.CPU != 0 && c.CPU%pageSize == 0 && c.Bus%pageSize == 0 &&
		c.CPU+uintptr(c.Size) > c.CPU && c.Bus+uint64(c.Size) > c.Bus
}
