// Package abi is the one way from the packages under uefi into functions of
// the firmware: a thin layer over gate that a host test can stand in for.
//
// Specification: UEFI 2.11, 2.3 (calling conventions).
package abi

import "unsafe"

// unsupported is EFI_UNSUPPORTED (UEFI 2.11, appendix D).
const unsupported = ^(^uintptr(0) >> 1) | 3

// At is the object of type T at an address that firmware gave, nil for 0. The memory is the firmware's: it lives as long
// as the specification says for that object and the garbage collector takes no notice of it.
func At[T any](addr uintptr) *T {
	return *(**T)(unsafe.Pointer(&addr))
}
