//go:build tamago && linux

package gate

import (
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"runtime/goos"
	"syscall"
	"time"
	_ "unsafe" // for go:linkname
)

// A request's life:
//
//	state      event                        does
//	parked     firmware calls               -> serving
//	serving    function returns             status to firmware          -> parked
//	serving    function accesses memory     EFI_INVALID_PARAMETER        -> parked
//	           that is not there
//	serving    function panics              one line, EFI_DEVICE_ERROR   -> parked
//	serving    fatal error, CPU exception   EFI_DEVICE_ERROR             -> dead
//	serving    RequestLimit passes, or      EFI_DEVICE_ERROR             -> dead
//	           nothing can wake Go any more
//	serving    Exit                         memory given back            -> dead
//	any        boot services end            exit hook                    -> dead
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
	hook  func() // instead of f in a goroutine
	last  bool   // nothing of Go runs after the hook
}

var (
	funcs    [maxFuncs]function
	nfuncs   int
	resident bool    // the entry point has returned
	answered bool    // status is the answer to the request
	serving  bool    // a request is in progress
	status   uintptr // the answer
	used     budget  // time of the request in progress
	final    bool    // Exit was called
	hooksRan bool    // the exit hooks, or one of them, ran
	program  string  // its name in the report of a fatal error, which is one line then
	report   fatalReport
)

// The runtime finds its hooks from the first instruction on: it may have to end
// before packages are initialised.
//
//go:linkname exitHook runtime/goos.Exit
var exitHook func(code int32) = exit

//go:linkname idleHook runtime/goos.Idle
var idleHook func(until int64) = idle

func init() {
	hookfs, hooksp = runtime.BareHook()
	traps()
}

// NewFunc makes f callable by firmware and returns the address for it. The
// call's status is what f returns; busyStatus is returned at once to a caller
// that comes while Go is inside, or above TPL_CALLBACK. The number of
// functions is bounded by the image: NewFunc panics beyond it, at start-up.
func NewFunc(name string, busyStatus uintptr, f func(a *Args) uintptr) uintptr {
	return register(function{name: name, f: f}, busyStatus)
}

// NewBindingFunc is NewFunc for a function of EFI_DRIVER_BINDING_PROTOCOL:
// ControllerHandle, its second argument, of a refused call is kept for Refused.
func NewBindingFunc(name string, busyStatus uintptr, f func(a *Args) uintptr) uintptr {
	binding[nfuncs] = true
	return NewFunc(name, busyStatus, f)
}

// NewNotify makes f callable as an event's notification function, at
// TPL_CALLBACK. Notifications that come while Go is inside are served, once,
// when the request in progress has been answered.
func NewNotify(name string, f func()) uintptr {
	return register(function{name: name, event: true, f: func(*Args) uintptr { f(); return 0 }}, 0)
}

// NewHook makes f callable as an event's notification function, at any task
// priority level, also while Go is inside. f runs on a stack of its own,
// whatever the goroutines are doing: it must not allocate, lock, block, panic,
// start anything or write pointers. What firmware functions it calls it does
// so with Raw and Brief. One hook runs at a time; another that interrupts it
// does nothing.
func NewHook(name string, f func()) uintptr {
	return register(function{name: name, hook: f}, 0)
}

// NewExitHook is NewHook for an event for the end of boot services, when memory
// must neither be taken nor given back (UEFI 2.11, 7.4.6). The event's level is
// TPL_NOTIFY. Nothing of Go runs after f: functions made with NewFunc return
// EFI_DEVICE_ERROR. f runs too, at most once, when a fatal error ends the image.
func NewExitHook(name string, f func()) uintptr {
	return register(function{name: name, hook: f, last: true}, 0)
}

func register(fn function, busyStatus uintptr) uintptr {
	if nfuncs == maxFuncs {
		panic("gate: too many functions for firmware")
	}
	i := nfuncs
	nfuncs++
	funcs[i] = fn
	busy[i] = busyStatus
	if fn.hook != nil {
		hooks[i] = 1
	}
	return thunksPC() + uintptr(i)*thunkStride
}

// Serve parks the image: its entry point returns EFI_SUCCESS, and functions
// made with NewFunc run, one at a time. Serve does not return.
func Serve() {
	debug.SetPanicOnFault(true)
	seen := reqWord
	for {
		answered = true
		runtime.BareWait(&reqWord, seen)
		seen = reqWord
		serving, answered = true, false
		used = newBudget(goos.Nanotime())
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
		switch v := recover().(type) {
		case nil:
		case interface{ Addr() uintptr }: // of a runtime.Error
			st = statusInvalid
			if ours(v.Addr()) {
				st = statusDeviceError
			}
		default:
			fmt.Printf("%s: %v\n", funcs[i].name, v)
			st = statusDeviceError
		}
	}()
	return funcs[i].f(a)
}

// ours reports whether an address lies in this image. Nothing of Go's own is
// anywhere else where an access faults: the address is a caller's.
func ours(addr uintptr) bool {
	start, _ := runtime.TextRegion()
	_, end := runtime.DataRegion()
	return uint64(addr) >= start && uint64(addr) < end
}

// runHook is a hook, from its beginning to its end, on the hook's stack.
func runHook() {
	inside := runtime.BareHookBegin()
	fn := &funcs[hookIndex]
	if fn.last {
		hooksRan = true
	}
	fn.hook()
	if fn.last {
		dead, over = 1, 1
	}
	runtime.BareHookEnd(inside)
	leave(statusSuccess)
}

// ReportFatalErrors makes the report of a fatal error one line, which begins
// with the program's name. It is for resident programs, whose console is that
// of other programs too; without it the Go runtime prints all goroutines. What
// the program itself writes to its error output is lost then.
func ReportFatalErrors(name string) {
	program = name
	goos.Stderr = report.put
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
	if hooking != 0 {
		// A defect in a hook. What the hook interrupted must not go on either.
		over = 1
		leave(statusDeviceError)
	}
	if !final && !hooksRan {
		hooksRan = true
		for i := range nfuncs {
			if f := funcs[i].hook; f != nil && funcs[i].last {
				f()
			}
		}
	}
	if !final && code != 0 && program != "" {
		after := ""
		if resident {
			after = "; the driver is out of use until the next boot"
		}
		report.write(program, after, goos.Printk)
		goos.Flush()
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
		short := code != 0 && runtime.BareLacking()
		release()
		switch {
		case code == 0:
			leave(statusSuccess)
		case short:
			leave(statusOutOfResources)
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
		return
	}
	now := goos.Nanotime()
	switch {
	case serving && used.exceeds(now, RequestLimit):
		fail("fatal error: a call has not ended in time")
	case until == math.MaxInt64:
		fail("fatal error: all goroutines wait for each other")
	}
	if serving {
		Yield()
	}
	pause(min(until-now, idleSlice))
}

// fail ends the image for a reason that the runtime does not know of.
func fail(reason string) {
	report.reason.set(reason)
	exit(2)
}
