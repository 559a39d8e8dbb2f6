//go:build tamago

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
