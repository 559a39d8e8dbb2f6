package hcd

// Memory is memory that both a controller and the processor access. Its methods may be called
// concurrently. Package dmamem implements it on TamaGo's dma package.
type Memory interface {
	// Alloc returns a zeroed buffer of size bytes. Its bus address is a multiple of align, a power
	// of two. A buffer of at most 64 KiB does not cross a 64 KiB boundary of bus addresses (xHCI
	// 1.2, table 6-1, asks for it). The error is usbhost.ErrNoMemory.
	Alloc(size, align int) (Buffer, error)
	// Free wipes and releases a buffer. The controller must not use it any more.
	Free(b Buffer)
}

// Buffer is a piece of Memory.
type Buffer struct {
	// Bytes is the memory as the processor addresses it. Its alignment is that of Bus.
	Bytes []byte
	// Bus is the address of Bytes[0] as the controller addresses it.
	Bus uint64
}
