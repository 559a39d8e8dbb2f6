//go:build tamago && !linux

package gate

import (
	"runtime/goos"
	_ "unsafe" // for go:linkname
)

// An image of the TamaGo compiler lies at a fixed address and ends when its program does. Firmware
// cannot call it.

var status uintptr

// The runtime finds its hooks from the first instruction on: it may have to end before packages are
// initialised.
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

func exitImage(st uintptr) {
	status = st
	exit(0)
}

func register(fn function, busyStatus uintptr) uintptr { panic(notCallable) }
func serve()                                           { panic(notCallable) }

const notCallable = "gate: firmware cannot call an image of the TamaGo compiler"

// runHook is not called: register has made no hook.
func runHook() {}

func reportFatalErrors(name string) {}

func remap() {} // firmware's page tables are in use

func refill() bool { return true } // the memory of the runtime is what the entry point took
func room() bool   { return true }
