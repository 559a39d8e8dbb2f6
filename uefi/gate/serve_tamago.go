//go:build tamago && linux

package gate

import (
	"fmt"
	"math"
	"runtime"
	"runtime/goos"
	"syscall"
	"time"
)

// A request's life:
//
//	state      event                        does
//	parked     firmware calls               -> serving
//	serving    function returns             status to firmware          -> parked
//	serving    function panics              one line, EFI_DEVICE_ERROR   -> parked
//	serving    fatal error, CPU exception   EFI_DEVICE_ERROR             -> dead
//	serving    RequestLimit passes, or      EFI_DEVICE_ERROR             -> dead
//	           nothing can wake Go any more
//	serving    Exit                         memory given back            -> dead
//	dead       firmware calls               EFI_DEVICE_ERROR
//
// A call that comes while serving is refused with the status chosen in NewFunc;
// an event is served when the request in progress is answered.

// RequestLimit ends a request that a defect keeps from ending: what it waits
// for should have ended long before (policy: longer than any PIN entry).
var RequestLimit = 5 * time.Minute

type function struct {
	name  string
	event bool
	f     func(a *Args) uintptr
	hook  func() // runs in the dispatcher, instead of f in a goroutine
}

var (
	funcs    [maxFuncs]function
	nfuncs   int
	resident bool    // the entry point has returned
	answered bool    // status is the answer to the request
	serving  bool    // a request is in progress
	status   uintptr // the answer
	limit    int64   // Nanotime at which the request in progress is given up
	final    bool    // Exit was called
	mourned  bool    // the exit hooks ran for a fatal error
)

func init() {
	goos.Idle = idle
	goos.Exit = exit
	traps()
}

// NewFunc makes f callable by firmware and returns the address for it. The
// call's status is what f returns; busyStatus is returned at once to a caller
// that comes while Go is inside, or above TPL_CALLBACK. The number of
// functions is bounded by the image: NewFunc panics beyond it, at start-up.
func NewFunc(name string, busyStatus uintptr, f func(a *Args) uintptr) uintptr {
	return register(function{name: name, f: f}, busyStatus)
}

// NewNotify makes f callable as an event's notification function, at
// TPL_CALLBACK. Notifications that come while Go is inside are served, once,
// when the request in progress has been answered.
func NewNotify(name string, f func()) uintptr {
	return register(function{name: name, event: true, f: func(*Args) uintptr { f(); return 0 }}, 0)
}

// NewExitHook makes f callable as the notification function, at TPL_CALLBACK,
// of an event for the end of boot services, when memory must neither be taken
// nor given back (UEFI 2.11, 7.4.6). f runs in the dispatcher, whatever the
// goroutines were doing: it must not allocate, lock, block or start anything.
// It runs too, at most once, when a fatal error ends the image.
func NewExitHook(name string, f func()) uintptr {
	return register(function{name: name, hook: f}, 0)
}

func register(fn function, busyStatus uintptr) uintptr {
	if nfuncs == maxFuncs {
		panic("gate: too many functions for firmware")
	}
	i := nfuncs
	nfuncs++
	funcs[i] = fn
	busy[i] = busyStatus
	return thunksPC() + uintptr(i)*thunkStride
}

// Serve parks the image: its entry point returns EFI_SUCCESS, and functions
// made with NewFunc run, one at a time. Serve does not return.
func Serve() {
	seen := reqWord
	for {
		answered = true
		runtime.BareWait(&reqWord, seen)
		seen = reqWord
		serving, answered = true, false
		limit = goos.Nanotime() + int64(RequestLimit)
		status = invoke(int(reqIndex), &Args{(*[MaxArgs]uintptr)(pointer(reqArgs))})
		for i := range nfuncs {
			if pending[i] != 0 {
				pending[i] = 0
				if funcs[i].event {
					invoke(i, nil)
				}
			}
		}
		serving = false
		if final {
			leaveForGood(status)
		}
	}
}

func invoke(i int, a *Args) (st uintptr) {
	defer func() {
		if v := recover(); v != nil {
			fmt.Printf("%s: %v\n", funcs[i].name, v)
			st = statusDeviceError
		}
	}()
	return funcs[i].f(a)
}

// Exit ends the image with a status, once the request in progress has been
// answered when there is one. What the image took from firmware for itself is
// given back; protocols and events of its own it must have removed before.
func Exit(st uintptr) {
	if resident {
		final = true
		return
	}
	leaveForGood(st)
}

func leaveForGood(st uintptr) {
	status = st
	final = true
	syscall.Exit(0)
}

// exit is the runtime's way out, on the dispatcher's stack: an image that ends,
// or a fatal error.
func exit(code int32) {
	dead = 1
	if !final && !mourned {
		mourned = true
		for i := range nfuncs {
			if f := funcs[i].hook; f != nil {
				f()
			}
		}
	}
	switch {
	case final:
		release()
		leave(status)
	case resident:
		// Firmware holds pointers into this image's memory: it stays.
		runtime.BareScrub()
		leave(statusDeviceError)
	default:
		release()
		if code == 0 {
			leave(statusSuccess)
		}
		leave(statusAborted)
	}
}

// release gives the runtime's memory back, in which Go's page tables lie.
func release() {
	gocr3 = 0
	runtime.BareRelease()
}

// idle is called in the dispatcher when no fiber is ready before until.
func idle(until int64) {
	if answered {
		answered = false
		resident = true
		leave(status)
		for funcs[reqIndex].hook != nil {
			reqWord-- // not for the goroutine in Serve
			funcs[reqIndex].hook()
			leave(statusSuccess)
		}
		return
	}
	now := goos.Nanotime()
	if serving && now > limit || until == math.MaxInt64 {
		exit(2)
	}
	pause(min(until-now, idleSlice))
}
