// Package dmamem implements hcd.Memory on TamaGo's dma package, over chunks of memory that a board
// provides: pages on a bare machine, common buffers of EFI_PCI_IO_PROTOCOL under firmware.
//
// Its type Memory needs TamaGo's runtime. On a host the package has only Chunk and the arithmetic,
// and go doc does not list the rest:
//
//	func New(more func(size int) (Chunk, error), give func(Chunk)) *Memory
//	func (m *Memory) Alloc(size, align int) (hcd.Buffer, error)
//	func (m *Memory) Free(b hcd.Buffer)
//	func (m *Memory) Close()   gives all chunks back
package dmamem

// Chunk is memory that the processor and a controller can address, contiguous for both.
type Chunk struct {
	CPU    uintptr // address for the processor, a multiple of 4,096
	Bus    uint64  // address for the controller, a multiple of 4,096
	Size   int     // bytes, at least the requested size
	Handle uintptr // for the board
}
