package usbhost

// Memory is what a controller and the processor both read and write. A board makes it of TamaGo's dma package; see package
// dmamem.
type Memory interface {
	// Alloc returns size bytes, clear, whose bus address is a multiple of align, a power of two. They do not cross a
	// 64 KiB boundary when size is at most that (xHCI 1.2, table 6-1). The error is ErrNoMemory.
	Alloc(size, align int) (Buffer, error)
	// Free takes a buffer back; what was in it is wiped. No controller may know it any more.
	Free(b Buffer)
}

// Buffer is a piece of Memory.
type Buffer struct {
	// Bytes is what the processor sees. It begins on the same boundary as Bus.
	Bytes []byte
	// Bus is the address of Bytes[0] as the controller sees it.
	Bus uint64
}
