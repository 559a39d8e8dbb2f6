// Package bootinfo is what a kernel image tells the program in it: where its parts lie. The image's
// writer and the board agree on it here.
//
// The program is entered in 64-bit mode at privilege level 0, with interrupts off, no stack, and
// the first 4 GiB mapped one to one. RDI has the address of the loader's hvm_start_info, RSI that
// of a Table.
package bootinfo

// MaxSegments bounds a program (policy: Go's linker makes three).
const MaxSegments = 16

// Reach is the end of what is mapped when the program is entered.
const Reach = 4 << 30

// A Table lies in the image, in host byte order.
type Table struct {
	Start, End uint64 // the image with everything that belongs to it
	Count      uint64 // of segments
	Segments   [MaxSegments]Segment
}

// A Segment is a part of the program with one protection: whole pages.
type Segment struct {
	Start, End uint64
	Flags      uint64
}

// Flags of a segment (System V ABI, "Program Header": PF_X, PF_W).
const (
	Executable = 1 << 0
	Writable   = 1 << 1
)
