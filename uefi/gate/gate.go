// Package gate crosses the border between Go and UEFI firmware, in both directions, with the
// calling convention, stack, interrupt flag and task priority that each side expects.
//
//	firmware side                            Go side
//	entry point, thunk:
//	  inside 0 -> 1, else busy
//	  TPL to TPL_CALLBACK (thunk only)
//	  enter: save registers and thread
//	  register, interrupts off      ------>  leave returns in the dispatcher, the
//	                                         request wakes the goroutine in Serve
//	  firmware service              <------  raw: firmware's stack, tables, interrupts
//	                                ------>  result
//	  registers restored            <------  leave(status): the request is answered and
//	  inside 1 -> 0, TPL back                no fiber is ready
//
// Interrupts are on only on the firmware side. While inside is 1, the address of the frame of enter
// on firmware's stack is valid: Go can leave in any state. Thereby a fatal error in Go becomes an
// error status, and the machine goes on.
//
// Files without build tags have the contract, and what is common to all architectures and to a
// host. An image has besides:
//
//	border.go, border_GOARCH.*     calls in both directions, for both compilers
//	overlay.go, overlay_GOARCH.*   the stock Go compiler with the overlay of baremetal/overlay, for
//	exceptions_GOARCH.go           which GOOS is linux (build tags tamago && linux): firmware can
//	                               call the image, exceptions are Go panics, memory comes on demand
//	fixed.go, fixed_GOARCH.s       the TamaGo compiler, for which GOOS is tamago (tamago && !linux):
//	                               the image has a fixed address, and firmware cannot call it
//
// On a host (no build tag tamago) there is no firmware: Call returns EFI_UNSUPPORTED, and functions
// for firmware have the address 0. Packages that use this one can be tested there (host.go).
//
// Specification: UEFI 2.11, 2.3 (calling conventions: 2.3.4 for x64) and 7.1 (task priority
// levels).
package gate

import (
	"time"
	"unsafe"
)

// MaxArgs is the largest number of arguments of a firmware function that Call passes on and of a Go
// function that firmware can call.
const MaxArgs = 12

// Status values that this package itself returns (UEFI 2.11, appendix D).
const (
	statusSuccess        = 0
	errorBit             = 1 << 63
	statusInvalid        = errorBit | 2
	statusUnsupported    = errorBit | 3
	statusDeviceError    = errorBit | 7
	statusOutOfResources = errorBit | 9
	statusAborted        = errorBit | 21
)

// Task priority levels (UEFI 2.11, 7.1).
const (
	tplApplication = 4
	tplCallback    = 8
)

const (
	maxFuncs    = 48 // functions that firmware can call: thunks in border_GOARCH.s (policy)
	maxRefusals = 32 // policy
	maxConnects = 32 // policy
	thunkStride = 16 // bytes between two thunks

	// yieldPeriod is the least time between two calls in which Yield lets events run, in
	// milliseconds (policy: events may wait for it, and a call should not pay for it).
	yieldPeriod = 5
)

// ImageHandle returns this image's EFI_HANDLE, 0 on a host.
func ImageHandle() uintptr { return imageHandle }

// SystemTable returns the address of EFI_SYSTEM_TABLE, 0 on a host.
func SystemTable() uintptr { return systemTable }

// Call calls a firmware function with at most MaxArgs arguments, on firmware's stack and with
// interrupts as firmware had them, and returns its result. A pointer argument is written
// uintptr(unsafe.Pointer(p)) in the call itself: the object then stays alive and in place during
// the call. Without a function, with too many arguments and on a host the result is
// EFI_UNSUPPORTED.
//
//go:uintptrescapes
func Call(fn uintptr, args ...uintptr) uintptr {
	if fn == 0 || len(args) > MaxArgs {
		return statusUnsupported
	}
	if len(args) == 0 {
		return raw(fn, nil, 0)
	}
	return raw(fn, &args[0], uintptr(len(args)))
}

// Raw is Call for the board's hooks, which run in the dispatcher and must not allocate. args, at
// least one and at most MaxArgs, are numbers or addresses of memory that never moves, and so is the
// slice itself.
func Raw(fn uintptr, args []uintptr) uintptr { return raw(fn, &args[0], uintptr(len(args))) }

// Brief is Call for a function as short as one access to a device's register, and does not
// allocate: interrupts stay off and Go's page tables in use, since switching the tables takes
// longer than such a function. A function that restores a task priority enables interrupts all the
// same, and then other code of firmware may run, which needs firmware's page tables: from the first
// time that this is seen, Brief is Call. What the function accesses must have been mapped at the
// last Remap. args are as for Raw.
func Brief(fn uintptr, args []uintptr) uintptr { return brief(fn, args) }

// Remap takes over what firmware has changed in its page tables since the image was started, as it
// may for a device that appeared later.
func Remap() { remap() }

// Word reads the table member at an offset in a table of firmware.
func Word(table, offset uintptr) uintptr { return *(*uintptr)(pointer(table + offset)) }

// pointer makes a pointer of an address.
func pointer(addr uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&addr)) }

// Counter returns the processor's counter, which has a constant rate: the time stamp counter on
// amd64, 0 on a host.
func Counter() uint64 { return counter() }

var (
	// TicksPerMs is by how much Counter advances in a millisecond. The board sets it.
	TicksPerMs uint64 = 1e6

	// Skipped is the number of ticks that passed while events ran in Yield. The board's clock
	// leaves them out, so that another driver's event does not use up a time limit of Go's.
	Skipped uint64
)

var (
	yieldArgs [4]uintptr
	yielded   uint64 // the counter after the last yield
)

// CallerTPL returns the task priority of the caller of the request in progress, on a host
// TPL_APPLICATION.
func CallerTPL() uintptr { return callerTPL }

// Yield lets firmware's events run that wait because the request in progress is served at
// TPL_CALLBACK, where the caller's own priority allows that. Calls of this image's functions by
// such events are refused, and events for it noted, as at any other time while Go is inside. It may
// be called often.
func Yield() {
	if callerTPL >= tplCallback {
		return
	}
	now := counter()
	if now-yielded < yieldPeriod*TicksPerMs {
		return
	}
	yieldArgs[0] = callerTPL
	raw(yieldPC(), &yieldArgs[0], uintptr(len(yieldArgs)))
	yielded = counter()
	Skipped += yielded - now
}

// A function is one that firmware can call.
type function struct {
	name    string
	binding bool // a function of EFI_DRIVER_BINDING_PROTOCOL
	event   bool // a notification function
	f       func(a *Args) uintptr
	hook    func() // instead of f in a goroutine
	last    bool   // nothing of Go runs after the hook
}

// NewFunc makes f callable by firmware and returns its address there. The call's status is the
// result of f. busyStatus is returned at once to a caller that comes while Go is inside, or above
// TPL_CALLBACK. NewFunc panics after maxFuncs functions: all are made at start-up.
func NewFunc(name string, busyStatus uintptr, f func(a *Args) uintptr) uintptr {
	return register(function{name: name, f: f}, busyStatus)
}

// NewBindingFunc is NewFunc for a function of EFI_DRIVER_BINDING_PROTOCOL: ControllerHandle, its
// second argument, of a refused call is kept for Refused.
func NewBindingFunc(name string, busyStatus uintptr, f func(a *Args) uintptr) uintptr {
	return register(function{name: name, f: f, binding: true}, busyStatus)
}

// NewNotify makes f callable as an event's notification function, at TPL_CALLBACK. Notifications
// that come while Go is inside are served, once, when the request in progress has been answered.
func NewNotify(name string, f func()) uintptr {
	return register(function{name: name, event: true, f: func(*Args) uintptr { f(); return 0 }}, 0)
}

// NewHook makes f callable as an event's notification function, at any task priority level, also
// while Go is inside. f runs on a stack of its own, whatever the goroutines are doing: it must not
// allocate, lock, block, panic, start anything or write pointers, and calls firmware with Raw and
// Brief only. One hook runs at a time: a hook that interrupts another does nothing.
func NewHook(name string, f func()) uintptr {
	return register(function{name: name, hook: f}, 0)
}

// NewExitHook is NewHook for an event for the end of boot services, when memory must neither be
// taken nor given back (UEFI 2.11, 7.4.6). The event's level is TPL_NOTIFY. Nothing of Go runs
// after f: functions made with NewFunc return EFI_DEVICE_ERROR. f runs too, at most once, when a
// fatal error ends the image.
func NewExitHook(name string, f func()) uintptr {
	return register(function{name: name, hook: f, last: true}, 0)
}

// Args are the arguments of a call from firmware. They are valid until the function that received
// them returns.
type Args struct{ p *[MaxArgs]uintptr }

// NewArgs makes an argument list from Go values. With it a test calls a function that is meant for
// firmware.
func NewArgs(v ...uintptr) *Args {
	var p [MaxArgs]uintptr
	copy(p[:], v)
	return &Args{&p}
}

// At returns argument i, from 0 and below MaxArgs. What follows the last argument that the caller
// passed is undefined.
func (a *Args) At(i int) uintptr { return a.p[i] }

// A refusal is a call that was refused because Go was inside.
type refusal struct{ fn, controller uintptr }

// Assembly notes refusals, and takes handles from connects.
var (
	refusals     [maxRefusals]refusal
	refusalCount uint32

	connects     [maxConnects]uintptr
	connectCount uint32
)

// Refused returns the controller of a call of fn that was refused because Go was inside, and
// clears it. fn was made by NewBindingFunc. ok is false when there is none.
func Refused(fn uintptr) (controller uintptr, ok bool) {
	fn = (fn - thunksPC()) / thunkStride
	for i := range refusalCount {
		if refusals[i].fn == fn {
			controller = refusals[i].controller
			refusalCount--
			refusals[i] = refusals[refusalCount]
			return controller, true
		}
	}
	return 0, false
}

// ConnectNotify returns the address of a notification function, for an event at TPL_CALLBACK, that
// connects drivers to the controllers given to Connect. The caller signals the event.
func ConnectNotify() uintptr { return connectPC() }

// Connect makes the function ConnectNotify connect drivers to a controller, recursively (UEFI 2.11,
// 7.3.12), as soon as it runs while Go is not inside: this image's own driver can be called then.
// It reports whether there was room to note the controller.
func Connect(controller uintptr) bool {
	if connectCount == maxConnects {
		return false
	}
	connects[connectCount] = controller
	connectCount++
	return true
}

// RequestLimit ends a request that does not end because of a defect (policy: longer than any PIN
// entry).
var RequestLimit = 5 * time.Minute

// Serve parks the image: its entry point returns EFI_SUCCESS, and functions made with NewFunc run,
// one at a time. Serve does not return, but on a host it returns at once.
func Serve() { serve() }

// ReportFatalErrors makes the report of a fatal error one line, which begins with the program's
// name. It is for resident programs, which share the console with other programs; without it the Go
// runtime prints all goroutines. Afterwards the program's own error output is not printed.
func ReportFatalErrors(name string) { reportFatalErrors(name) }

// Exit ends the image with a status: at once, or when the request in progress has been answered.
// The memory that the image took from firmware is given back. The caller has removed its protocols
// and events before.
func Exit(status uintptr) { exitImage(status) }
