package gate

import (
	"runtime/debug"
	"unsafe"
)

// A caller may pass any address for its memory: null, one that nothing is mapped at, a
// non-canonical one, memory that is read-only. Readable and Writable access each page of a caller's
// memory before a function uses it, so that a bad address costs the call and nothing is left half
// done.

// firstPage ends where null pointers end: nothing of a caller's lies below.
const firstPage = 4096

// Readable reports whether n bytes at p can be read. There is always memory for 0 bytes.
func Readable(p, n uintptr) bool { return accessible(p, n, load) }

// Writable reports whether n bytes at p can be written. It leaves them as they are.
func Writable(p, n uintptr) bool { return accessible(p, n, store) }

// accessible reports whether each page of n bytes at p can be accessed. A fault is a panic
// meanwhile.
func accessible(p, n uintptr, access func(b *byte)) (ok bool) {
	switch {
	case n == 0:
		return true
	case p < firstPage || p+n-1 < p:
		return false
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	last := p + n - 1
	access(byteAt(p))
	for left := last - p; left > 0; {
		step := min(left, firstPage)
		left -= step
		access(byteAt(last - left))
	}
	return true
}

// byteAt makes a pointer of an address.
func byteAt(addr uintptr) *byte { return *(**byte)(unsafe.Pointer(&addr)) }

// zero and sink are variables so that the compiler keeps the accesses.
var zero, sink byte

// The race detector would access memory of its own for each of these addresses, outside of Go: the
// functions are left out.

//go:norace
func load(b *byte) { sink = *b & zero }

//go:norace
func store(b *byte) { *b ^= zero }
