// Package bootinfo is what a kernel image passes to the program in it: where its parts are. The
// writer of the image and the board share it.
//
// The program is entered in 64-bit mode at privilege level 0, with interrupts off, no stack, and
// the first 4 GiB mapped one to one. RDI has the address of the loader's hvm_start_info, RSI that
// of a Table.
package bootinfo

// MaxSegments bounds a program (policy: Go's linker makes three).
const MaxSegments = 16

// Reach is the end of the addresses that are mapped when the program is entered.
const Reach = 4 << 30

// A Table is in the image, little-endian.
type Table struct {
	Start, End uint64 // of the whole image
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
