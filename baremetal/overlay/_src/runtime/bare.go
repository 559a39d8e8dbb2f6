package runtime

// The bare machine under the runtime.
//
// The runtime is the Linux one; where it would trap into the kernel it calls
// baresys, which saves the caller's registers in the record of the running
// fiber, switches to the dispatcher's stack and calls baredispatch. A fiber is
// what the runtime takes for a thread. Fibers are cooperative, on one CPU, and
// run with interrupts off: a goroutine's stack has no room for an interrupt.
//
//	state      entered by                       left by
//	free       exit, never used                 clone                   -> ready
//	ready      clone, wake-up, yield            its turn
//	waiting    futex wait                       futex wake, the word changed,
//	                                            deadline                -> ready
//	sleeping   nanosleep                        deadline                -> ready
//
// The dispatcher runs with a g of its own (bareg), so that hooks in package
// runtime/goos may be ordinary Go functions: their stack checks see the
// dispatcher's stack. That g has no m: code that runs here must not allocate,
// lock, panic or write pointers.

import (
	"internal/runtime/atomic"
	"runtime/goos"
	"unsafe"
)

const (
	bareFibers    = 32  // policy: the runtime uses about five
	bareSpans     = 256 // policy: pieces of memory held at once
	bareStackSize = 64 << 10
	bareHookSize  = 16 << 10 // policy: a hook stops controllers
	barePage      = 4096
	bareForever   = 1<<63 - 1
)

const (
	fiberFree = iota
	fiberReady
	fiberWaiting
	fiberSleeping
)

// A barefiber is a thread as the runtime sees it. bare_amd64.s knows the
// fields up to full.
type barefiber struct {
	ax, bx, cx, dx, si, di, bp, sp uintptr
	r8, r9, r10, r11               uintptr
	r12, r13, r14, r15             uintptr
	pc, flags                      uintptr
	g                              uintptr // the runtime's g, out of the thread-local slot
	fs                             uintptr // FS base
	full                           uintptr // 1: restore cx, r11 and flags too

	state    uint32
	addr     uintptr // waiting: the futex word
	val      uint32  // waiting: its value that means "wait on"
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
	baretls    [4]uintptr // read by ABI wrappers before the first thread has its own
	barefs     uintptr    // FS base that is loaded now
	barefibers [bareFibers]barefiber
	barecur    *barefiber
	bareinside uint32 // 1 while the dispatcher runs: a trap is then fatal
	baremem    BareMem
	baresigs   [65]sigactiont
	barexmm    [16][16]byte // X0 to X15 as an exception found them

	barehookg     g // of a hook
	barehookstack [bareHookSize]byte
	barehooktls   [4]uintptr
)

func barewrfs(base uintptr)
func barevectors() uintptr
func barehalt()

// bareinit is called once, on the dispatcher's stack, before the first
// instruction of the Go runtime.
//
//go:nosplit
func bareinit() {
	barefs = uintptr(unsafe.Pointer(&baretls[1]))
	lo := uintptr(unsafe.Pointer(&barestack))
	bareg.stack.lo = lo
	bareg.stack.hi = lo + bareStackSize
	bareg.stackguard0 = lo + stackGuard
	bareg.stackguard1 = lo + stackGuard
	f := &barefibers[0]
	f.state = fiberReady
	f.fs = barefs
	*(*uintptr)(unsafe.Pointer(&barecur)) = uintptr(unsafe.Pointer(f))
}

// barehwinit is called after bareinit: stack checks work from here on.
func barehwinit() {
	goos.Hwinit0()
	bareopen()
}

// baredispatch answers the system call in the registers of the running fiber
// and chooses the fiber that runs next.
//
//go:nowritebarrierrec
func baredispatch() {
	f := barecur
	f.full = 0
	ret, stays := f.call()
	f.ax = ret
	if !stays {
		bareschedule()
	}
}

// bareput writes one byte of output or, if so, of error output.
func bareput(isError bool, c byte) {
	if isError && goos.Stderr != nil {
		goos.Stderr(c)
		return
	}
	goos.Printk(c)
}

const bareOK = uintptr(0)

func bareerr(e uintptr) uintptr { return -e }

const (
	bareENOENT = 2
	bareEIO    = 5
	bareEBADF  = 9
	bareEINVAL = 22
	bareETIME  = 110
)

// call answers one system call; stays is false when another fiber may run.
//
//go:nowritebarrierrec
func (f *barefiber) call() (ret uintptr, stays bool) {
	switch f.ax {
	case bareSysRead:
		if f.di == 0 {
			return 0, true // no input: end of file
		}
		return bareerr(bareEBADF), true
	case bareSysWrite:
		if f.di != 1 && f.di != 2 {
			return bareerr(bareEBADF), true
		}
		for i := uintptr(0); i < f.dx; i++ {
			bareput(f.di == 2, *(*byte)(unsafe.Pointer(f.si + i)))
		}
		if goos.Flush != nil {
			goos.Flush()
		}
		return f.dx, true
	case bareSysOpenat, bareSysFaccessat:
		return bareerr(bareENOENT), true
	case bareSysMmap:
		return baremmap(f.di, f.si, f.r10, f.r9), true
	case bareSysMunmap:
		return bareunmap(f.di, f.si), true
	case bareSysRefill:
		return barerefill(), true
	case bareSysMadvise, bareSysClose, bareSysSigaltOld, bareSysFcntl, bareSysTgkill, bareSysKill:
		return bareOK, true
	case bareSysSigaction:
		return baresigaction(f.di, f.si, f.dx), true
	case bareSysSigprocmask:
		if f.dx != 0 {
			*(*uint64)(unsafe.Pointer(f.dx)) = 0
		}
		return bareOK, true
	case bareSysSigreturn:
		baresigreturn(f)
		return f.ax, true
	case bareSysSigaltstack:
		if f.si != 0 {
			st := (*stackt)(unsafe.Pointer(f.si))
			*(*uintptr)(unsafe.Pointer(&st.ss_sp)) = f.altstack
			st.ss_size = f.altsize
			st.ss_flags = 0
			if f.altsize == 0 {
				st.ss_flags = _SS_DISABLE
			}
		}
		if f.di != 0 {
			st := (*stackt)(unsafe.Pointer(f.di))
			f.altstack = uintptr(unsafe.Pointer(st.ss_sp))
			f.altsize = st.ss_size
			if st.ss_flags&_SS_DISABLE != 0 {
				f.altsize = 0
			}
		}
		return bareOK, true
	case bareSysSchedYield:
		return bareOK, false
	case bareSysNanosleep:
		f.state = fiberSleeping
		f.deadline = baredeadline(f.di)
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
	case bareSysArchPrctl:
		f.fs = f.si
		bareloadfs(f)
		return bareOK, true
	case bareSysFutex:
		return f.futex()
	case bareSysGetaffinity:
		*(*uintptr)(unsafe.Pointer(f.dx)) = 1 // one CPU
		return unsafe.Sizeof(uintptr(0)), true
	case bareSysClockGettime:
		ns := goos.Nanotime()
		if f.di == 0 { // CLOCK_REALTIME
			ns += goos.WallOffset
		}
		(*timespec)(unsafe.Pointer(f.si)).setNsec(ns)
		return bareOK, true
	case bareSysExitGroup:
		bareexit(int32(f.di))
		return bareOK, false
	case bareSysGetrandom:
		b := unsafe.Slice((*byte)(unsafe.Pointer(f.di)), int(f.si))
		goos.GetRandomData(b)
		if goos.NoEntropy {
			return bareerr(bareEIO), true
		}
		return f.si, true
	}
	return bareerr(_ENOSYS), true
}

// Linux system call numbers for amd64.
const (
	bareSysRead         = 0
	bareSysWrite        = 1
	bareSysFcntl        = 72
	bareSysOpenat       = 257
	bareSysClose        = 3
	bareSysMmap         = 9
	bareSysMunmap       = 11
	bareSysSigaction    = 13
	bareSysSigprocmask  = 14
	bareSysSigreturn    = 15
	bareSysSchedYield   = 24
	bareSysMadvise      = 28
	bareSysNanosleep    = 35
	bareSysGetpid       = 39
	bareSysClone        = 56
	bareSysExit         = 60
	bareSysKill         = 62
	bareSysSigaltOld    = 128
	bareSysSigaltstack  = 131
	bareSysArchPrctl    = 158
	bareSysGettid       = 186
	bareSysFutex        = 202
	bareSysGetaffinity  = 204
	bareSysClockGettime = 228
	bareSysExitGroup    = 231
	bareSysTgkill       = 234
	bareSysFaccessat    = 269
	bareSysGetrandom    = 318

	bareSysRefill = 1 << 20 // none of Linux's
)

func (f *barefiber) id() uintptr {
	return (uintptr(unsafe.Pointer(f))-uintptr(unsafe.Pointer(&barefibers)))/unsafe.Sizeof(*f) + 1
}

// baredeadline turns a struct timespec into the time at which it has passed.
func baredeadline(p uintptr) int64 {
	ts := (*timespec)(unsafe.Pointer(p))
	if ts.tv_sec > bareForever/int64(2e9) {
		return bareForever
	}
	now := goos.Nanotime()
	d := now + ts.tv_sec*1e9 + ts.tv_nsec
	if d < now {
		return bareForever
	}
	return d
}

func (f *barefiber) futex() (ret uintptr, stays bool) {
	const wait, wake, mask = 0, 1, 0x7f
	switch f.si & mask {
	case wait:
		f.addr, f.val = f.di, uint32(f.dx)
		if f.changed() {
			return bareerr(_EAGAIN), true
		}
		f.deadline = bareForever
		if f.r10 != 0 {
			f.deadline = baredeadline(f.r10)
		}
		f.state = fiberWaiting
		return bareOK, false
	case wake:
		n := uintptr(0)
		for i := range barefibers {
			w := &barefibers[i]
			if n < f.dx && w.state == fiberWaiting && w.addr == f.di {
				w.state = fiberReady
				n++
			}
		}
		return n, true
	}
	return bareerr(_ENOSYS), true
}

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
		c.ax = 0
		c.sp = parent.si
		c.g = 0
		c.fs = parent.r8
		c.altstack, c.altsize = 0, 0
		c.state = fiberReady
		return c.id()
	}
	return bareerr(_EAGAIN)
}

// bareschedule makes barecur the next fiber that can run, in turn. With none
// it hands the time until the next deadline to the board.
//
//go:nowritebarrierrec
func bareschedule() {
	first := int(barecur.id()) // the one after the running fiber
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
					f.ax = bareerr(bareETIME)
				}
				f.state = fiberReady
			}
			if f.state == fiberReady {
				*(*uintptr)(unsafe.Pointer(&barecur)) = uintptr(unsafe.Pointer(f))
				bareloadfs(f)
				return
			}
		}
		if goos.Idle != nil {
			goos.Idle(until)
		}
	}
}

func bareloadfs(f *barefiber) {
	if barefs != f.fs {
		barefs = f.fs
		barewrfs(f.fs)
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

// BareWait blocks the calling goroutine until *addr is not old. Whoever changes
// the word outside of Go, a call gate or an interrupt, need not tell: the word
// is looked at before the board idles and after.
func BareWait(addr *uint32, old uint32) {
	entersyscallblock()
	for atomic.Load(addr) == old {
		futexsleep(addr, old, -1)
	}
	exitsyscall()
}
