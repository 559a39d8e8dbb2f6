//go:build tamago

// Package uefi is the board of a UEFI image: it gives the Go runtime memory, clock, console,
// entropy and an exit, all from firmware.
//
// A program imports it for its effects. Standard output is the console. The end of the program is
// the end of the image: os.Exit(0) or a return from main is EFI_SUCCESS, any other code
// EFI_ABORTED; gate.Exit takes a status. A program for which there is no memory ends with
// EFI_OUT_OF_RESOURCES.
//
// Package gate defines the entry point and the calls of firmware. What depends on the processor is
// in cpu_GOARCH.go: its counter and its random numbers. The board supports two compilers:
// overlay.go is for the stock one with the overlay of baremetal/overlay, for which GOOS is linux
// (build tags tamago && linux); fixed.go is for the TamaGo compiler (tamago && !linux).
//
// Specifications: UEFI 2.11 (tables: 4.3, memory: 7.2, Stall: 7.5, GetTime: 8.3, console: 12.4,
// EFI_RNG_PROTOCOL: 37.5).
package uefi

import (
	"unsafe"

	"tamaccid/uefi/gate"
)

// Offsets in the tables that are needed before package initialisation, when the bindings of package
// uefi cannot run (UEFI 2.11, 4.3 to 4.5).
const (
	stConOut  = 64
	stStdErr  = 80
	stRuntime = 88
	stBoot    = 96

	bsHandleProtocol = 152
	bsStall          = 248
	bsLocateProtocol = 320

	rtGetTime = 24

	textOutputString = 8
	textOutputMode   = 72
	modeCursorColumn = 12 // SIMPLE_TEXT_OUTPUT_MODE, INT32 (UEFI 2.11, 12.4.1)

	bootServicesCode    = 3
	loadedImageCodeType = 80 // EFI_LOADED_IMAGE_PROTOCOL, 9.1
)

// The hooks run in the dispatcher and must not allocate: these are their arguments for firmware.
var (
	args [4]uintptr
	out  [2]uint64
)

// boot returns the address of a boot service.
func boot(offset uintptr) uintptr {
	return gate.Word(gate.Word(gate.SystemTable(), stBoot), offset)
}

// call calls a firmware function with four arguments, of which it may use fewer.
func call(fn, a, b, c, d uintptr) uintptr {
	args = [4]uintptr{a, b, c, d}
	return gate.Raw(fn, args[:])
}

func address[T any](p *T) uintptr { return uintptr(unsafe.Pointer(p)) }

//go:linkname hwinit0 runtime/goos.Hwinit0
func hwinit0() { initClock() }

//go:linkname hwinit1 runtime/goos.Hwinit1
func hwinit1() {
	setWall(wallClock() - nanotime())
	initConsole()
}
