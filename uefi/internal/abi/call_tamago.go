//go:build tamago

package abi

import "tamaccid/uefi/gate"

// Call calls the firmware function at fn, and returns EFI_UNSUPPORTED for a null pointer. Pointers
// among the arguments are converted to uintptr in the call expression itself: their objects then
// stay alive and in place.
//
//go:uintptrescapes
func Call(fn uintptr, args ...uintptr) uintptr {
	if fn == 0 {
		return unsupported
	}
	return gate.Call(fn, args...)
}

// Brief is Call for a function that is as short as one access to a register (see gate.Brief). The
// objects whose addresses are in args are on the heap, and the caller keeps them alive.
func Brief(fn uintptr, args []uintptr) uintptr {
	if fn == 0 {
		return unsupported
	}
	return gate.Brief(fn, args)
}
