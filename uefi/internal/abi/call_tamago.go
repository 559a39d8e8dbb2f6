//go:build tamago

package abi

import "tamaccid/uefi/gate"

// Call calls the firmware function at fn, and answers EFI_UNSUPPORTED for a null pointer. Pointers among the arguments
// are converted to uintptr in the call expression itself: what they point at then stays alive and in place.
//
//go:uintptrescapes
func Call(fn uintptr, args ...uintptr) uintptr {
	if fn == 0 {
		return unsupported
	}
	return gate.Call(fn, args...)
}

// Brief is Call for a function that does next to nothing, such as one access to a register (see gate.Brief). What the
// arguments point at lies on the heap and is kept alive by the caller.
func Brief(fn uintptr, args []uintptr) uintptr {
	if fn == 0 {
		return unsupported
	}
	return gate.Brief(fn, args)
}
