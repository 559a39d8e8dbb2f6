package runtime

// The bare machine under the runtime.
//
// The runtime is the Linux one. Where it would trap into the kernel it calls baresys, which saves
// the caller's registers in the record of the running fiber, switches to the dispatcher's stack and
// calls baredispatch. A fiber is what the runtime takes for a thread. Fibers are cooperative, on
// one CPU, and run with interrupts off: a goroutine's stack has no room for an interrupt.
//
//	state      entered by                       left by
//	free       exit, never used                 clone                   -> ready
//	ready      clone, wake-up, yield            its turn
//	waiting    futex wait                       futex wake, the word changed,
//	                                            deadline                -> ready
//	sleeping   nanosleep                        deadline                -> ready
//
// The dispatcher runs with a g of its own (bareg), so that hooks in package runtime/goos may be
// ordinary Go functions: their stack checks use the dispatcher's stack. That g has no m: code that
// runs here must not allocate, lock, panic or write pointers.
//
// An architecture adds bare_GOARCH.go and bare_GOARCH.s with its entry point, the registers of a
// fiber and the numbers of the system calls, and bare_trap_GOARCH.go with its exceptions. They
// define, for the common part:
//
//	bareregs, barefpu           the registers of a fiber, and of the last exception
//	number, args, setResult     the registers of a system call (syscall(2))
//	startThread                 the registers of a new thread, from those of clone's caller
//	bareinitarch, bareload,     what finds the running g: thread-local storage, or nothing
//	bareleavethreads, barehookthread
//	barearchcall                system calls of this architecture alone
//	baresigreturn               the end of a signal handler
//	barehalt                    waits for an interrupt

import (
	"internal/runtime/atomic"
	"runtime/goos"
	"unsafe"
)

const (
	bareFibers    = 32  // policy: the runtime uses about five
	bareSpans     = 256 // policy: pieces of memory held at once
	bareStackSize = 64 << 10
	bareHookSize  = 16 << 10 // policy: a hook stops USB host controllers
	barePage      = 4096
	bareForever   = 1<<63 - 1
)

const (
	fiberFree = iota
	fiberReady
	fiberWaiting
	fiberSleeping
)

// A barefiber is a thread of the runtime. Assembly uses regs, which is at offset 0, and full.
type barefiber struct {
	regs bareregs
	full uintptr // 1: an exception interrupted the fiber, restore every register

	state    uint32
	addr     uintptr // waiting: the futex word
	val      uint32  // waiting: the value of the word for which the wait goes on
	deadline int64   // waiting, sleeping: Nanotime at which it ends
	altstack uintptr // signal stack
	altsize  uintptr
}

// BareMem counts the bytes that the runtime holds from the board.
type BareMem struct {
	Now, Peak uintptr
	Calls     uint64 // calls of MemAlloc and MemFree
}

var (
	bareg      g
	barestack  [bareStackSize]byte
	barefibers [bareFibers]barefiber
	barecur    *barefiber
	bareinside uint32 // 1 while the dispatcher runs: a trap is then fatal
	baremem    BareMem

	barehookg     g // of a hook
	barehookstack [bareHookSize]byte
)

func barehalt()

// bareinit is called once, on the dispatcher's stack, before the first instruction of the Go
// runtime.
//
//go:nosplit
func bareinit() {
	lo := uintptr(unsafe.Pointer(&barestack))
	bareg.stack.lo = lo
	bareg.stack.hi = lo + bareStackSize
	bareg.stackguard0 = lo + stackGuard
	bareg.stackguard1 = lo + stackGuard
	f := &barefibers[0]
	f.state = fiberReady
	bareinitarch(f)
	*(*uintptr)(unsafe.Pointer(&barecur)) = uintptr(unsafe.Pointer(f))
}

// barehwinit is called after bareinit: stack checks work from here on.
func barehwinit() {
	goos.Hwinit0()
	bareopen()
}

// baredispatch answers the system call in the registers of the running fiber and chooses the fiber
// that runs next.
//
//go:nowritebarrierrec
func baredispatch() {
	f := barecur
	f.full = 0
	ret, stays := f.call()
	f.setResult(ret)
	if !stays {
		bareschedule()
	}
}

// bareput writes one byte of output, or of error output.
func bareput(isError bool, c byte) {
	if isError && goos.Stderr != nil {
		goos.Stderr(c)
		return
	}
	goos.Printk(c)
}

const bareOK = uintptr(0)

func bareerr(e uintptr) uintptr { return -e }

// Linux error numbers that package runtime does not define (errno(3)).
const (
	bareENOENT = 2
	bareEIO    = 5
	bareEBADF  = 9
	bareEINVAL = 22
	bareETIME  = 110
)

// bareSysRefill is a system call of our own, outside of Linux's numbers.
const bareSysRefill = 1 << 20

// call answers one system call. stays is false when another fiber may run.
//
//go:nowritebarrierrec
func (f *barefiber) call() (ret uintptr, stays bool) {
	a := f.args()
	switch f.number() {
	case bareSysRead:
		if a[0] == 0 {
			return 0, true // no input: end of file
		}
		return bareerr(bareEBADF), true
	case bareSysWrite:
		if a[0] != 1 && a[0] != 2 {
			return bareerr(bareEBADF), true
		}
		for i := uintptr(0); i < a[2]; i++ {
			bareput(a[0] == 2, *(*byte)(unsafe.Pointer(a[1] + i)))
		}
		if goos.Flush != nil {
			goos.Flush()
		}
		return a[2], true
	case bareSysOpenat, bareSysFaccessat:
		return bareerr(bareENOENT), true
	case bareSysMmap:
		return baremmap(a[0], a[1], a[3], a[5]), true
	case bareSysMunmap:
		return bareunmap(a[0], a[1]), true
	case bareSysRefill:
		return barerefill(), true
	case bareSysMadvise, bareSysClose, bareSysFcntl, bareSysTgkill, bareSysKill:
		return bareOK, true
	case bareSysSigaction:
		return baresigaction(a[0], a[1], a[2]), true
	case bareSysSigprocmask:
		if a[2] != 0 {
			*(*uint64)(unsafe.Pointer(a[2])) = 0
		}
		return bareOK, true
	case bareSysSigreturn:
		return baresigreturn(f), true
	case bareSysSigaltstack:
		f.sigaltstack(a[0], a[1])
		return bareOK, true
	case bareSysSchedYield:
		return bareOK, false
	case bareSysNanosleep:
		f.state = fiberSleeping
		f.deadline = baredeadline(a[0])
		return bareOK, false
	case bareSysGetpid:
		return 1, true
	case bareSysGettid:
		return f.id(), true
	case bareSysClone:
		return bareclone(f), true
	case bareSysExit:
		f.state = fiberFree
		return bareOK, false
	case bareSysFutex:
		return f.futex(a[0], a[1], a[2], a[3])
	case bareSysGetaffinity:
		*(*uintptr)(unsafe.Pointer(a[2])) = 1 // one CPU
		return unsafe.Sizeof(uintptr(0)), true
	case bareSysClockGettime:
		ns := goos.Nanotime()
		if a[0] == 0 { // CLOCK_REALTIME
			ns += goos.WallOffset
		}
		(*timespec)(unsafe.Pointer(a[1])).setNsec(ns)
		return bareOK, true
	case bareSysExitGroup:
		bareexit(int32(a[0]))
		return bareOK, false
	case bareSysGetrandom:
		b := unsafe.Slice((*byte)(unsafe.Pointer(a[0])), int(a[1]))
		goos.GetRandomData(b)
		if goos.NoEntropy {
			return bareerr(bareEIO), true
		}
		return a[1], true
	}
	return barearchcall(f), true
}

func (f *barefiber) id() uintptr {
	return (uintptr(unsafe.Pointer(f))-uintptr(unsafe.Pointer(&barefibers)))/unsafe.Sizeof(*f) + 1
}

// sigaltstack returns the fiber's signal stack in old and takes the one in new, where they are not
// 0.
func (f *barefiber) sigaltstack(new, old uintptr) {
	if old != 0 {
		st := (*stackt)(unsafe.Pointer(old))
		*(*uintptr)(unsafe.Pointer(&st.ss_sp)) = f.altstack
		st.ss_size = f.altsize
		st.ss_flags = 0
		if f.altsize == 0 {
			st.ss_flags = _SS_DISABLE
		}
	}
	if new != 0 {
		st := (*stackt)(unsafe.Pointer(new))
		f.altstack = uintptr(unsafe.Pointer(st.ss_sp))
		f.altsize = st.ss_size
		if st.ss_flags&_SS_DISABLE != 0 {
			f.altsize = 0
		}
	}
}

// baredeadline turns the duration in a struct timespec into the time at which it has passed.
func baredeadline(p uintptr) int64 {
	ts := (*timespec)(unsafe.Pointer(p))
	s, ns := int64(ts.tv_sec), int64(ts.tv_nsec)
	if s > bareForever/int64(2e9) {
		return bareForever
	}
	now := goos.Nanotime()
	d := now + s*1e9 + ns
	if d < now {
		return bareForever
	}
	return d
}

// futex waits for a change of the word at addr, until a timeout (0: without one), or wakes at most
// val fibers that wait.
func (f *barefiber) futex(addr, op, val, timeout uintptr) (ret uintptr, stays bool) {
	const wait, wake, mask = 0, 1, 0x7f
	switch op & mask {
	case wait:
		f.addr, f.val = addr, uint32(val)
		if f.changed() {
			return bareerr(_EAGAIN), true
		}
		f.deadline = bareForever
		if timeout != 0 {
			f.deadline = baredeadline(timeout)
		}
		f.state = fiberWaiting
		return bareOK, false
	case wake:
		n := uintptr(0)
		for i := range barefibers {
			w := &barefibers[i]
			if n < val && w.state == fiberWaiting && w.addr == addr {
				w.state = fiberReady
				n++
			}
		}
		return n, true
	}
	return bareerr(_ENOSYS), true
}

// changed reports whether the futex word has another value than the one that f waits with.
func (f *barefiber) changed() bool {
	return atomic.Load((*uint32)(unsafe.Pointer(f.addr))) != f.val
}

func bareclone(parent *barefiber) uintptr {
	for i := range barefibers {
		c := &barefibers[i]
		if c.state != fiberFree {
			continue
		}
		*c = *parent
		c.startThread()
		c.altstack, c.altsize = 0, 0
		c.state = fiberReady
		return c.id()
	}
	return bareerr(_EAGAIN)
}

// bareschedule makes barecur the next fiber that can run, in turn. Where there is none it leaves
// the time until the next deadline to the board.
//
//go:nowritebarrierrec
func bareschedule() {
	first := int(barecur.id()) // the fiber that follows the running one
	for {
		until := int64(bareForever)
		var now int64
		for k := range barefibers {
			f := &barefibers[(first+k)%bareFibers]
			if f.state == fiberWaiting && f.changed() {
				f.state = fiberReady
			}
			if f.state == fiberWaiting || f.state == fiberSleeping {
				if f.deadline != bareForever && now == 0 {
					now = goos.Nanotime()
				}
				if f.deadline == bareForever || now < f.deadline {
					until = min(until, f.deadline)
					continue
				}
				if f.state == fiberWaiting {
					f.setResult(bareerr(bareETIME))
				}
				f.state = fiberReady
			}
			if f.state == fiberReady {
				*(*uintptr)(unsafe.Pointer(&barecur)) = uintptr(unsafe.Pointer(f))
				bareload(f)
				return
			}
		}
		if goos.Idle != nil {
			goos.Idle(until)
		}
	}
}

func bareexit(code int32) {
	if goos.Exit != nil {
		goos.Exit(code)
	}
	for {
		barehalt()
	}
}

// BareWait blocks the calling goroutine until *addr is not old. Code outside of Go, a call gate or
// an interrupt, changes the word and need not do more: the word is read before the board idles and
// after.
func BareWait(addr *uint32, old uint32) {
	entersyscallblock()
	for atomic.Load(addr) == old {
		futexsleep(addr, old, -1)
	}
	exitsyscall()
}

// BareHook prepares a g for a hook: code of the board that firmware calls while the rest of Go
// stands still in a call of firmware or between two. The hook runs with this thread register (FS
// base on amd64), on the stack that ends at sp, under the same rules as code in the dispatcher.
func BareHook() (thread, sp uintptr) {
	lo := uintptr(unsafe.Pointer(&barehookstack))
	barehookg.stack.lo = lo
	barehookg.stack.hi = lo + bareHookSize
	barehookg.stackguard0 = lo + stackGuard
	barehookg.stackguard1 = lo + stackGuard
	return barehookthread(), barehookg.stack.hi
}

// BareHookBegin is called at the beginning of a hook: an exception in it is handled like one in the
// dispatcher. The result is for BareHookEnd.
func BareHookBegin() (inside uint32) {
	inside = bareinside
	bareinside = 1
	return inside
}

// BareHookEnd is called at the end of a hook, with the result of BareHookBegin.
func BareHookEnd(inside uint32) { bareinside = inside }

// MemRegion returns the bounds of the memory set aside for the runtime. They are equal where memory
// comes from the board on demand. MemRegion to GetG are part of the runtime that TamaGo packages
// use.
func MemRegion() (start, end uint64) {
	if goos.MemAlloc != nil {
		return 0, 0
	}
	return uint64(goos.RamStart), uint64(goos.RamStart + goos.RamSize)
}

// TextRegion returns the bounds of the program's instructions.
func TextRegion() (start, end uint64) {
	return uint64(firstmoduledata.text), uint64(firstmoduledata.etext)
}

// DataRegion returns the bounds of the program's global variables.
func DataRegion() (start, end uint64) {
	return uint64(firstmoduledata.data), uint64(firstmoduledata.enoptrbss)
}

// GetG returns the addresses of the running g and its p.
func GetG() (gp, pp uint) {
	g := getg()
	return uint(uintptr(unsafe.Pointer(g))), uint(uintptr(unsafe.Pointer(g.m.p.ptr())))
}
