//go:build tamago && !linux

package gate

import "runtime/goos"

// On the TamaGo compiler an image lies at a fixed address and ends when its
// program does: firmware is called, but does not call.

var status uintptr

func init() {
	goos.Idle = func(until int64) { pause(min(until-goos.Nanotime(), idleSlice)) }
	goos.Exit = func(code int32) {
		if code != 0 && status == statusSuccess {
			status = statusAborted
		}
		leave(status)
	}
}

// runHook is not called: there are no thunks.
func runHook() {}

// Exit ends the image with a status.
func Exit(st uintptr) {
	status = st
	goos.Exit(0)
}

// Remap does nothing: firmware's page tables are in use.
func Remap() {}
