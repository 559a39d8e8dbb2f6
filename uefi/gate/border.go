//go:build tamago

package gate

// A hook is entered from the firmware side at any time, also while firmware runs on behalf of Go.
// It has a stack and a g of its own. The state of the crossing that it interrupts is saved and
// restored after it. After the exit hook nothing enters Go again (ended): a thunk returns at once,
// and a firmware service that Go called returns to the caller of the request that was in progress.

const (
	bootStackSize = 40 << 10 // the runtime claims 32 KiB of it for g0

	// idleSlice is the longest wait of an idle image in nanoseconds. Limits of requests are noticed
	// with that delay (policy).
	idleSlice = 10_000_000
)

// Assembly uses these variables and those in border_GOARCH.go.
var (
	imageHandle uintptr
	systemTable uintptr

	inside uint32 // 1: Go runs, or firmware on its behalf
	dead   uint32 // 1: firmware's calls are refused
	ended  uint32 // 1: boot services have ended, Go must never run again

	// enablesInterrupts is 1 after a function that brief called has enabled interrupts.
	enablesInterrupts uint32

	reqWord  uint32 // changes with each request
	reqIndex uintptr
	reqArgs  uintptr

	hooks      [maxFuncs]uint32 // 1: the function is a hook
	hookRuns   uint32           // 1: a hook runs
	hookIndex  uintptr
	hookThread uintptr // a hook's thread register, and the top of its stack
	hooksp     uintptr

	// callerTPL is the priority of the caller of the request in progress. Events do not wait for an
	// image's entry point, so that it needs no Yield.
	callerTPL uintptr = tplCallback

	binding [maxFuncs]bool    // functions whose refused calls are noted
	busy    [maxFuncs]uintptr // status of a call that finds Go inside
	pending [maxFuncs]uint32  // calls that found Go inside

	bootstack [bootStackSize]byte
)

// leave returns status to the caller of enter. It returns when Go is entered again.
func leave(status uintptr)

//go:noescape
func raw(fn uintptr, args *uintptr, n uintptr) uintptr

func relaxPC() uintptr
func yieldPC() uintptr
func connectPC() uintptr
func thunksPC() uintptr

var relaxArgs [2]uintptr

// pause waits ns nanoseconds: on firmware's stack, with interrupts on, when that is worth the
// crossing.
func pause(ns int64) {
	const short = 2000 // policy: less than a call of firmware takes
	if ns <= 0 {
		return
	}
	start, ticks := counter(), uint64(ns)*TicksPerMs/1e6
	if ns < short {
		for counter()-start < ticks { // ends as well if the counter is set back
		}
		return
	}
	relaxArgs = [2]uintptr{uintptr(start), uintptr(ticks)}
	raw(relaxPC(), &relaxArgs[0], uintptr(len(relaxArgs)))
}
