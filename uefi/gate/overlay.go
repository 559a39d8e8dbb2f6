//go:build tamago && linux

package gate

import (
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"runtime/goos"
	"syscall"
	_ "unsafe" // for go:linkname
)

// The states of a resident image:
//
//	state      event                        action                       next state
//	parked     firmware calls               the function runs            serving
//	serving    function returns             status to firmware           parked
//	serving    function accesses memory     EFI_INVALID_PARAMETER        parked
//	           that is not mapped
//	serving    function panics              one line, EFI_DEVICE_ERROR   parked
//	serving    fatal error, CPU exception   EFI_DEVICE_ERROR             dead
//	serving    RequestLimit passes, or      EFI_DEVICE_ERROR             dead
//	           nothing can wake Go any more
//	serving    Exit                         memory given back            dead
//	any        boot services end            exit hook                    dead
//	dead       firmware calls               EFI_DEVICE_ERROR             dead
//
// A call that comes while serving is refused with the status given to NewFunc. An event is served
// when the request in progress is answered.

// roomForRequest is the size in bytes of the piece of free heap without which a request is not
// begun when firmware has no memory for more (policy: a command and a response of 64 KiB, each in
// two buffers of ours and one of the reader, and as much again).
const roomForRequest = 768 << 10

var (
	funcs    [maxFuncs]function
	nfuncs   int
	resident bool    // the entry point has returned
	answered bool    // status is the result of the request
	serving  bool    // a request is in progress
	status   uintptr // the result

	requestTime  budget // of the request in progress
	exitCalled   bool
	exitHooksRan bool   // an exit hook ran
	program      string // its name in the report of a fatal error, which is one line then
	report       fatalReport
)

// The runtime finds its hooks from the first instruction on: it may have to end before packages are
// initialised.
//
//go:linkname exitHook runtime/goos.Exit
var exitHook func(code int32) = exit

//go:linkname idleHook runtime/goos.Idle
var idleHook func(until int64) = idle

func init() {
	hookThread, hooksp = runtime.BareHook()
	initExceptions()
}

func register(fn function, busyStatus uintptr) uintptr {
	if nfuncs == maxFuncs {
		panic("gate: too many functions for firmware")
	}
	i := nfuncs
	nfuncs++
	funcs[i] = fn
	busy[i] = busyStatus
	binding[i] = fn.binding
	if fn.hook != nil {
		hooks[i] = 1
	}
	return thunksPC() + uintptr(i)*thunkStride
}

func serve() {
	debug.SetPanicOnFault(true)
	seen := reqWord
	for {
		answered = true
		runtime.BareWait(&reqWord, seen)
		seen = reqWord
		serving, answered = true, false
		requestTime = newBudget(goos.Nanotime())
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
		if exitCalled {
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
			if inImage(v.Addr()) {
				st = statusDeviceError
			}
		default:
			fmt.Printf("%s: %v\n", funcs[i].name, v)
			st = statusDeviceError
		}
	}()
	return funcs[i].f(a)
}

// inImage reports whether an address lies in this image. Go's other memory is always mapped: a
// faulting address outside of the image was passed by a caller.
func inImage(addr uintptr) bool {
	start, _ := runtime.TextRegion()
	_, end := runtime.DataRegion()
	return uint64(addr) >= start && uint64(addr) < end
}

// runHook runs a hook, on the hook's stack, and leaves Go.
func runHook() {
	inside := runtime.BareHookBegin()
	fn := &funcs[hookIndex]
	if fn.last {
		exitHooksRan = true
	}
	fn.hook()
	if fn.last {
		dead, ended = 1, 1
	}
	runtime.BareHookEnd(inside)
	leave(statusSuccess)
}

func reportFatalErrors(name string) {
	program = name
	goos.Stderr = report.put
}

func exitImage(st uintptr) {
	if resident {
		exitCalled = true
		return
	}
	leaveForGood(st)
}

func leaveForGood(st uintptr) {
	status = st
	exitCalled = true
	syscall.Exit(0)
}

// exit is called on the dispatcher's stack when the program ends or after a fatal error.
func exit(code int32) {
	dead = 1
	if hookRuns != 0 {
		// A defect in a hook. What the hook interrupted must not go on.
		ended = 1
		leave(statusDeviceError)
	}
	if !exitCalled && !exitHooksRan {
		exitHooksRan = true
		for i := range nfuncs {
			if f := funcs[i].hook; f != nil && funcs[i].last {
				f()
			}
		}
	}
	if !exitCalled && code != 0 && program != "" {
		after := ""
		if resident {
			after = "; the driver is out of use until the next boot"
		}
		report.write(program, after, goos.Printk)
		goos.Flush()
	}
	switch {
	case exitCalled:
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
	forgetPageTables()
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
	case serving && requestTime.exceeds(now, RequestLimit):
		fail("fatal error: a call has not ended in time")
	case until == math.MaxInt64:
		fail("fatal error: all goroutines wait for each other")
	}
	if serving {
		Yield()
	}
	pause(min(until-now, idleSlice))
}

// fail ends the image for a reason that the runtime cannot detect.
func fail(reason string) {
	report.reason.set(reason)
	exit(2)
}

func refill() bool { return runtime.BareRefill() }

func room() bool {
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
