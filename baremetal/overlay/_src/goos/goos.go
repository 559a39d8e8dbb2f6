// Package goos is TamaGo's contract between the Go runtime and a board
// (github.com/usbarmory/tamago/goos), for a runtime that the stock compiler builds with the overlay
// of tamaccid/baremetal/overlay.
//
// A board defines the functions below with go:linkname, as it does for the TamaGo compiler. They
// run on the dispatcher's stack, with interrupts off, outside of the scheduler: they must not
// allocate, lock, block or write Go pointers.
package goos

import "unsafe" // also for go:linkname

// Memory for the runtime. With MemAlloc set, RamStart stays 0 and RamSize is the number of bytes
// that the runtime may hold at once.
var (
	RamStart       uint
	RamSize        uint
	RamStackOffset uint
)

// The board's entry point is the assembly function cpuinit. It ends with a jump to
// _rt0_tamago_start, on a stack of at least 32 KiB.

// Hwinit0 is called before the runtime starts.
//
//go:linkname Hwinit0
func Hwinit0()

// Hwinit1 is called when the runtime runs, before package initialisation.
//
//go:linkname Hwinit1
func Hwinit1()

// InitRNG prepares the source behind GetRandomData.
//
//go:linkname InitRNG
func InitRNG()

// GetRandomData fills b. A board without entropy sets NoEntropy and leaves b alone: crypto/rand
// then fails.
//
//go:linkname GetRandomData
func GetRandomData(b []byte)

// Nanotime is the monotonic clock in nanoseconds.
//
//go:linkname Nanotime
func Nanotime() int64

// Printk writes one byte to the console.
//
//go:linkname Printk
func Printk(c byte)

// Optional hooks of the TamaGo contract.
var (
	Bloc   uintptr
	Exit   func(code int32)
	Idle   func(until int64)
	ProcID func() uint64
	Wake   func(procid uint64)
	Task   func(sp, mp, gp, fn unsafe.Pointer)
)

// Hooks beyond the TamaGo contract.
var (
	// MemAlloc returns the address of n bytes (a multiple of 4,096) on a 4 KiB boundary, or 0. The
	// memory need not be zeroed. The variable must be initialised statically: the runtime asks for
	// memory before package initialisation.
	MemAlloc func(n uintptr) uintptr

	// MemFree takes back whole pages of what MemAlloc returned: all of them or a part.
	MemFree func(p, n uintptr)

	// Fault is called for a page fault before it becomes a Go panic. It reports whether it has
	// removed the cause: the instruction then runs again.
	Fault func(addr uintptr) bool

	// Flush is called after the last Printk of each write.
	Flush func()

	// Stderr, if set, takes the bytes of the error output instead of Printk. The runtime reports
	// fatal errors there.
	Stderr func(c byte)

	// NoEntropy reports that GetRandomData has no source.
	NoEntropy bool

	// WallOffset is the wall clock, in nanoseconds since 1970, at the time at which Nanotime was 0.
	WallOffset int64
)
