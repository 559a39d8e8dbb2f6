package gate

import "runtime/debug"

// A caller may pass any address for its memory: null, an unmapped or non-canonical address,
// read-only memory. Readable and Writable access each page of a caller's memory before a function
// uses it: a bad address then makes the call fail before any part of it is done.

// firstPage is where a caller's memory can begin: page 0 is for null pointers.
const firstPage = 4096

// Readable reports whether n bytes at p can be read. For 0 bytes it is true.
func Readable(p, n uintptr) bool { return accessible(p, n, load) }

// Writable reports whether n bytes at p can be written. It leaves them as they are.
func Writable(p, n uintptr) bool { return accessible(p, n, store) }

// accessible reports whether each page of n bytes at p can be accessed. It makes faults panics and
// recovers from them.
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
	access((*byte)(pointer(p)))
	for left := last - p; left > 0; {
		step := min(left, firstPage)
		left -= step
		access((*byte)(pointer(last - left)))
	}
	return true
}

// zero and sink are variables so that the compiler keeps the accesses.
var zero, sink byte

// The race detector keeps memory of its own for each accessed address, and has none for addresses
// outside of Go: these functions are not instrumented.

//go:norace
func load(b *byte) { sink = *b & zero }

//go:norace
func store(b *byte) { *b ^= zero }

// Refill takes from firmware the memory that is missing in the runtime's reserve, and reports
// whether the reserve is full. It is for the beginning of a request: memory that firmware refuses
// there makes this request fail. Memory that firmware refuses to the runtime within a request would
// end the image.
func Refill() bool { return refill() }

// Room reports whether heap and reserve have enough memory for one request. It takes none from
// firmware.
func Room() bool { return room() }
