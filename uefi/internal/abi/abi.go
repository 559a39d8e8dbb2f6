// Package abi calls functions of the firmware: a thin layer over package gate in which host tests
// can put Go functions in the place of firmware's.
//
// Specification: UEFI 2.11, 2.3 (calling conventions).
package abi

import "unsafe"

// unsupported is EFI_UNSUPPORTED (UEFI 2.11, appendix D).
const unsupported = ^(^uintptr(0) >> 1) | 3

// At is the object of type T at an address from firmware, nil for 0. The memory belongs to the
// firmware: its lifetime is what the specification states for that object, and the garbage
// collector does not manage it.
func At[T any](addr uintptr) *T {
	return *(**T)(unsafe.Pointer(&addr))
}
