//go:build tamago

package gate

import (
	"unsafe"
)

// The border, seen from both sides:
//
//	firmware side                            Go side
//	entry point, thunk:
//	  inside 0 -> 1, else busy
//	  TPL to TPL_CALLBACK (thunk only)
//	  enter: save registers, FS, interrupt
//	  flag; interrupts off          ------>  leave returns in the dispatcher, the
//	                                         request wakes the goroutine in Serve
//	  firmware service              <------  raw: firmware's stack, tables, flag
//	                                ------>  result
//	  registers, FS, flag restored  <------  leave(status): the answer is there and
//	  inside 1 -> 0, TPL back                no fiber is ready
//
// Interrupts are on only on the left side. While inside is 1 the image's
// firmware stack pointer (fwsp) is good, so that Go can leave from any state:
// that is what makes a fatal error in Go an error status and not a dead machine.
//
// A hook is entered from the left side at any moment, also while firmware runs
// on behalf of Go. It has a stack and a g of its own. What is noted here of the
// crossing that it interrupts is put aside and restored behind it. After the
// hook of the end of boot services (over) nothing enters Go again: a thunk
// returns at once, and a firmware service that Go called returns to the caller
// of the request that was in progress.

const (
	bootStackSize = 40 << 10 // the runtime claims 32 KiB of it for g0
	maxFuncs      = 48       // thunks in gate_amd64.s
	thunkStride   = 16

	// idleSlice is how long an idle image waits at most before it looks up,
	// in nanoseconds: limits of requests are seen that late (policy).
	idleSlice = 10_000_000

	tplCallback = 8 // UEFI 2.11, 7.1

	// yieldPeriod is how often Yield lets events run at most, in milliseconds
	// (policy: they may wait for it; a call should not pay for it).
	yieldPeriod = 5

	maxRefusals = 32 // policy
	maxConnects = 32 // policy
)

var (
	imageHandle uintptr
	systemTable uintptr

	inside uint32 // 1: Go runs, or firmware on its behalf
	dead   uint32 // 1: firmware's calls are refused
	over   uint32 // 1: Go must never run again, and boot services have ended

	fwsp    uintptr // firmware's stack, from the frame of enter down
	fwflags uintptr
	fwcr3   uintptr
	fwidt   [10]byte

	gosp  uintptr // dispatcher's stack and frame while Go is left
	gobp  uintptr
	gofs  uintptr
	gofp  = [2]uint32{0x1f80, 0x037f} // MXCSR and x87 control word (System V ABI)
	goidt [10]byte                    // base 0: keep firmware's
	gocr3 uintptr                     // 0: keep firmware's

	clonedcr3 uintptr // firmware's CR3 when gocr3 was made of its tables

	loud uint32 // 1: a function that brief called turned interrupts on

	reqWord  uint32 // changes with each request
	reqIndex uintptr
	reqArgs  uintptr

	hooks     [maxFuncs]uint32 // 1: the function is a hook
	hooking   uint32           // 1: a hook runs
	hookIndex uintptr
	hookfs    uintptr // a hook's FS base, and the top of its stack
	hooksp    uintptr

	// callerTPL is the priority of whoever made the request in progress. An
	// image's entry point is not left to be called: nothing waits for it.
	callerTPL uintptr = tplCallback
	yieldArgs [4]uintptr
	yielded   uint64 // the time stamp counter after the last yield

	binding      [maxFuncs]bool // functions whose refused calls are noted
	refusals     [maxRefusals]refusal
	refusalCount uint32

	connects     [maxConnects]uintptr // handles for connect
	connectCount uint32

	busy    [maxFuncs]uintptr
	pending [maxFuncs]uint32 // calls that found Go inside

	bootstack [bootStackSize]byte
)

func leave(status uintptr)

//go:noescape
func raw(fn uintptr, args *uintptr, n uintptr) uintptr

//go:noescape
func brief(fn uintptr, args *uintptr, n uintptr) uintptr

func relaxPC() uintptr
func yieldPC() uintptr
func connectPC() uintptr
func thunksPC() uintptr
func cs() uint16
func cr4() uintptr
func flushTLB()
func remachine()

// TSC reads the processor's time stamp counter.
func TSC() uint64

// ImageHandle is this image's EFI_HANDLE.
func ImageHandle() uintptr { return imageHandle }

// SystemTable is the address of EFI_SYSTEM_TABLE.
func SystemTable() uintptr { return systemTable }

// Call calls a firmware function with at most MaxArgs arguments, on firmware's
// stack and with interrupts as firmware had them, and returns what it returns.
// A pointer argument is written uintptr(unsafe.Pointer(p)) in the call itself:
// the object then stays alive and in place during the call.
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

// Raw is Call for the board's hooks, which run in the dispatcher and must not
// allocate: args, at least one and at most MaxArgs, are plain numbers or
// addresses of memory that never moves, and so is the slice itself.
func Raw(fn uintptr, args []uintptr) uintptr { return raw(fn, &args[0], uintptr(len(args))) }

// Brief is Call for a function that does next to nothing, as one access to a
// device's register, and does not allocate: interrupts stay off, and the page
// tables Go's, since changing them to and fro costs more than such a function.
// One that restores a task priority turns interrupts on all the same. Then
// other code of firmware's may run, which must find its own page tables: from
// the first time that is seen, Brief is Call. What the function accesses must
// have been mapped when Remap was called last. For args the words at Raw hold.
func Brief(fn uintptr, args []uintptr) uintptr {
	if loud != 0 || gocr3 == 0 || fwcr3 != clonedcr3 {
		return raw(fn, &args[0], uintptr(len(args)))
	}
	return brief(fn, &args[0], uintptr(len(args)))
}

// Skipped is how many ticks of the time stamp counter passed while events ran
// in Yield. The board's clock leaves them out: what Go waits for does not come
// late because somebody else's event took long.
var Skipped uint64

// Yield lets firmware's events run that wait because the request in progress is
// served at TPL_CALLBACK, where the caller's own priority allows that. Calls of
// this image's functions by such events are refused, and events for it noted,
// as at any other time while Go is inside. It may be called often.
func Yield() {
	if callerTPL >= tplCallback {
		return
	}
	now := TSC()
	if now-yielded < yieldPeriod*TicksPerMs {
		return
	}
	yieldArgs[0] = callerTPL
	raw(yieldPC(), &yieldArgs[0], uintptr(len(yieldArgs)))
	yielded = TSC()
	Skipped += yielded - now
}

// CallerTPL is the task priority of whoever made the request in progress.
func CallerTPL() uintptr { return callerTPL }

// A refusal is a call that was refused because Go was inside.
type refusal struct{ fn, controller uintptr }

// Refused returns the controller of a call of fn that was refused because Go
// was inside, and forgets it. fn was made by NewBindingFunc.
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

// ConnectNotify is the address of a notification function, for an event at
// TPL_CALLBACK, that connects drivers to the controllers given to Connect. The
// event must be signaled for that.
func ConnectNotify() uintptr { return connectPC() }

// Connect makes the function ConnectNotify connect drivers to a controller,
// recursively (UEFI 2.11, 7.3.12), as soon as it runs and Go is not inside: this
// image's driver is among those that are asked. It reports whether there was
// room to note the controller.
func Connect(controller uintptr) bool {
	if connectCount == maxConnects {
		return false
	}
	connects[connectCount] = controller
	connectCount++
	return true
}

// Word reads a table member at an address of firmware's.
func Word(table, offset uintptr) uintptr {
	return *(*uintptr)(pointer(table + offset))
}

// pointer makes a pointer of an address that firmware gave.
func pointer(addr uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&addr)) }

var (
	relaxArgs [2]uintptr
	// TicksPerMs is the rate of the time stamp counter, set by the board.
	TicksPerMs uint64 = 1e6
)

// pause waits ns nanoseconds, on firmware's stack when it is long enough for
// an interrupt to matter.
func pause(ns int64) {
	const short = 2000 // policy: less than the way to firmware and back
	if ns <= 0 {
		return
	}
	start, ticks := TSC(), uint64(ns)*TicksPerMs/1e6
	if ns < short {
		for TSC()-start < ticks { // ends as well if the counter is set back
		}
		return
	}
	relaxArgs = [2]uintptr{uintptr(start), uintptr(ticks)}
	raw(relaxPC(), &relaxArgs[0], uintptr(len(relaxArgs)))
}
