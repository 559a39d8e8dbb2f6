//go:build tamago && linux

package gate

import "runtime"

// roomForRequest is the size of the piece of free heap without which a request
// is not begun when firmware has no memory for more (policy: a command and an
// answer of 64 KiB, each in two buffers of ours and one of the reader's, and as
// much again).
const roomForRequest = 768 << 10

// Refill takes from firmware what the runtime's reserve lacks, and reports
// whether the reserve is full. It is for the beginning of a request: memory
// that firmware refuses there costs this request at most. Memory that firmware
// refuses to the runtime in the middle of one would end the image.
func Refill() bool { return runtime.BareRefill() }

// Room reports whether heap and reserve have what a request may need. It takes
// nothing from firmware.
func Room() bool {
	heap, rest := runtime.BareReserved()
	if !rest {
		return false
	}
	if heap || runtime.BareRoom() >= roomForRequest {
		return true
	}
	runtime.GC()
	return runtime.BareRoom() >= roomForRequest
}
