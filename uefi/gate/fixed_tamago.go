//go:build tamago && !linux

package gate

import (
	"runtime/goos"
	_ "unsafe" // for go:linkname
)

// On the TamaGo compiler an image lies at a fixed address and ends when its
// program does: firmware is called, but does not call.

var status uintptr

// The runtime finds its hooks from the first instruction on: it may have to end
// before packages are initialised.
//
//go:linkname exitHook runtime/goos.Exit
var exitHook func(code int32) = exit

//go:linkname idleHook runtime/goos.Idle
var idleHook func(until int64) = idle

func exit(code int32) {
	if code != 0 && status == statusSuccess {
		status = statusAborted
	}
	leave(status)
}

func idle(until int64) { pause(min(until-goos.Nanotime(), idleSlice)) }

// runHook is not called: there are no thunks.
func runHook() {}

// Exit ends the image with a status.
func Exit(st uintptr) {
	status = st
	exit(0)
}

// Remap does nothing: firmware's page tables are in use.
func Remap() {}

// Refill reports true: the memory of the runtime is that which the entry point took.
func Refill() bool { return true }

// Room reports true.
func Room() bool { return true }
