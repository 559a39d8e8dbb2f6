package dmamem

const (
	// boundary is what small buffers must not cross (usb.Memory; xHCI 1.2, table 6-1).
	boundary = 64 << 10
	// chunkSize is what is asked of the board at least (policy: a controller with some devices fits into one).
	chunkSize = 256 << 10
	// maxSize bounds one buffer (policy: far above what a controller asks for).
	maxSize = 64 << 20

	pageSize = 4096
	minAlign = 16 // policy: no smaller pieces
)

// A need is what is reserved for one buffer: size bytes on a multiple of align in the processor's addresses. The buffer
// begins slack bytes into it at most, where the bus address is a multiple of busAlign.
type need struct {
	size, align uint
	busAlign    uint64
}

// needOf says what a buffer takes out of a chunk whose bus addresses are delta above the processor's. It fails for sizes and
// alignments that nothing can have.
//
// A buffer on a multiple of a power of two that is no smaller than itself crosses no boundary of that power.
func needOf(size, align int, delta uint64) (n need, ok bool) {
	if size <= 0 || size > maxSize || align < 0 || align > maxSize || align&(align-1) != 0 {
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

// chunkFor is how large a chunk must be for n to fit, wherever the chunk lies.
func chunkFor(n need) int {
	return int(max((n.size+n.align+pageSize-1)&^(pageSize-1), chunkSize))
}

// offset is where in memory that was reserved at addr the buffer begins.
func (n need) offset(addr uintptr, delta uint64) uintptr {
	return uintptr(-(uint64(addr) + delta) & (n.busAlign - 1))
}

// fits says whether one of the free blocks, sizes by address, can hold n.
func fits(free map[uint]uint, n need) bool {
	for addr, size := range free {
		pad := -addr & (n.align - 1)
		if size >= pad && size-pad >= n.size {
			return true
		}
	}
	return false
}

// valid says whether a chunk is what was asked for.
func (c Chunk) valid(size int) bool {
	return c.Size >= size && c.CPU != 0 && c.CPU%pageSize == 0 && c.Bus%pageSize == 0 &&
		c.CPU+uintptr(c.Size) > c.CPU && c.Bus+uint64(c.Size) > c.Bus
}
