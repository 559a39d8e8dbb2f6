// Package xhci drives extensible host controllers.
//
// Specification: eXtensible Host Controller Interface for Universal Serial Bus, revision 1.2 (xHCI 1.2).
package xhci

// Registers is the controller's register space, BAR 0 (xHCI 1.2, 5). All accesses are naturally aligned words in host
// byte order. What was read from a controller that was removed is all ones.
type Registers interface {
	Read32(offset uint32) uint32
	Write32(offset uint32, v uint32)
}
