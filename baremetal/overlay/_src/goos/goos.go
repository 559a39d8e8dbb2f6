// Package goos is TamaGo's contract between the Go runtime and a board
// (github.com/usbarmory/tamago/goos), for a runtime that the stock compiler
// builds with the overlay of tamaccid/baremetal/overlay.
//
// A board defines the functions below with go:linkname, exactly as it does for
// the TamaGo compiler. They run on the dispatcher's stack, with interrupts off,
// outside of the scheduler: they must not allocate, lock, block or write Go
// pointers.
package goos

import "unsafe" // also for go:linkname

// Memory for the runtime. With MemAlloc set, RamStart stays 0 and RamSize is
// the most bytes that the runtime may hold at once.
var (
	RamStart       uint
	RamSize        uint
	RamStackOffset uint
)

// CPUinit is the image's entry point, written in assembly by the board as the
// symbol cpuinit. It ends with a jump to _rt0_tamago_start, on a stack of at
// least 32 KiB.

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

// GetRandomData fills b. A board without entropy sets NoEntropy and leaves b
// alone: crypto/rand then fails, nothing is invented.
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

// Optional hooks, the TamaGo contract's.
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
	// MemAlloc returns the address of n bytes (a multiple of 4,096) on a
	// 4 KiB boundary, or 0. The memory need not be clear. It must be
	// initialised statically: the runtime's first act is to ask for memory.
	MemAlloc func(n uintptr) uintptr

	// MemFree takes back any whole pages of what MemAlloc returned.
	MemFree func(p, n uintptr)

	// Fault is asked about a page fault before it becomes a Go panic. True
	// means: the cause is gone, run the instruction again.
	Fault func(addr uintptr) bool

	// Flush is called behind the last Printk of each write.
	Flush func()

	// Stderr takes the bytes of the error output, where the runtime reports
	// fatal errors, instead of Printk.
	Stderr func(c byte)

	// NoEntropy says that GetRandomData has no source.
	NoEntropy bool

	// WallOffset is the wall clock (nanoseconds since 1970) at the moment
	// at which Nanotime was 0.
	WallOffset int64
)
