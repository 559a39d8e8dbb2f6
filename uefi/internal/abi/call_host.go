//go:build !tamago

package abi

import (
	"sync"

	"tamaccid/uefi/gate"
)

// The functions that tests have put in the place of firmware's, by address. There is no memory at
// these addresses.
var (
	mu    sync.Mutex
	next  uintptr = 0x1000
	fakes         = map[uintptr]func(args []uintptr) uintptr{}
)

// Fake makes f callable through Call at the address it returns, as if it were a function of the
// firmware. args has as many elements as the caller passed.
func Fake(f func(args []uintptr) uintptr) (fn uintptr) {
	mu.Lock()
	defer mu.Unlock()
	fn = next
	next += 0x10
	fakes[fn] = f
	return fn
}

// Call calls the function at fn, which Fake has made, and returns EFI_UNSUPPORTED for a null
// pointer. Pointers among the arguments are converted to uintptr in the call expression itself:
// their objects then stay alive and in place.
//
//go:uintptrescapes
func Call(fn uintptr, args ...uintptr) uintptr {
	mu.Lock()
	f := fakes[fn]
	mu.Unlock()
	if f != nil {
		return f(append([]uintptr(nil), args...)) // a copy, so that args need not be on the heap
	}
	if fn == 0 {
		return unsupported
	}
	return gate.Call(fn, args...)
}

// Brief is Call.
func Brief(fn uintptr, args []uintptr) uintptr { return Call(fn, args...) }
