// Package xhci drives extensible host controllers.
//
// A controller is polled by one goroutine, its pump, whose policy is in event.go; an interrupt, where a board has one, only
// wakes it sooner. What the hardware and the devices say is checked before it is used: event pointers are looked up, never
// followed, and register values that point anywhere are compared with the size of the register space.
//
// Memory that the controller writes is read in the order that xHCI 1.2, 4.9.2 asks for: the word with the cycle bit first, by an
// atomic load; memory that it reads is written with that word last, by an atomic store. On processors that reorder, Go's atomics
// have the barriers that this needs towards other processors; a board whose bus master is not coherent with them must give
// uncached memory. The machine is little endian, as all are for which Go and TamaGo give DMA memory.
//
// Specification: eXtensible Host Controller Interface for Universal Serial Bus, revision 1.2 (xHCI 1.2).
package xhci

// Registers is the controller's register space, BAR 0 (xHCI 1.2, 5). All accesses are naturally aligned words in host
// byte order. What was read from a controller that was removed is all ones.
type Registers interface {
	Read32(offset uint32) uint32
	Write32(offset uint32, v uint32)
}
