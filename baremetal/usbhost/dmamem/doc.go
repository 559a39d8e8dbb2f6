// Package dmamem makes usb.Memory of TamaGo's dma package, over memory that a board gives in chunks: pages of its own on a
// bare machine, EFI_PCI_IO_PROTOCOL's common buffers under firmware.
//
// On a host only Chunk and the arithmetic are there: TamaGo's dma package needs TamaGo's runtime.
package dmamem

// Chunk is memory that the processor and a controller reach, contiguous for both.
type Chunk struct {
	CPU    uintptr // address for the processor, a multiple of 4,096
	Bus    uint64  // address for the controller, a multiple of 4,096
	Size   int     // bytes, at least what was asked for
	Handle uintptr // the giver's own
}
