package runtime

import (
	"internal/cpu"
	"unsafe"
)

// bareregs are the registers of a fiber. Assembly uses all fields.
type bareregs struct {
	ax, bx, cx, dx, si, di, bp, sp uintptr
	r8, r9, r10, r11               uintptr
	r12, r13, r14, r15             uintptr
	pc, flags                      uintptr
	g                              uintptr // the runtime's g, from the thread-local slot
	fs                             uintptr // FS base
}

var (
	baretls     [4]uintptr // ABI wrappers read it before the first thread has its own
	barehooktls [4]uintptr
	barefs      uintptr      // FS base that is loaded now
	barefpu     [16][16]byte // X0 to X15 as an exception found them
)

func barewrfs(base uintptr)

// Linux system call numbers for amd64 (syscall(2)).
const (
	bareSysRead         = 0
	bareSysWrite        = 1
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
	bareSysFcntl        = 72
	bareSysSigaltstack  = 131
	bareSysArchPrctl    = 158
	bareSysGettid       = 186
	bareSysFutex        = 202
	bareSysGetaffinity  = 204
	bareSysClockGettime = 228
	bareSysExitGroup    = 231
	bareSysTgkill       = 234
	bareSysOpenat       = 257
	bareSysFaccessat    = 269
	bareSysGetrandom    = 318
)

// number, args and setResult are the registers of a system call (System V ABI for AMD64, A.2.1).
func (f *barefiber) number() uintptr { return f.regs.ax }

func (f *barefiber) args() [6]uintptr {
	r := &f.regs
	return [6]uintptr{r.di, r.si, r.dx, r.r10, r.r8, r.r9}
}

func (f *barefiber) setResult(v uintptr) { f.regs.ax = v }

// startThread makes f, a copy of the fiber that called clone(flags, stack, parent_tid, child_tid,
// tls), the thread that the call creates.
func (f *barefiber) startThread() {
	f.regs.ax = 0
	f.regs.sp = f.regs.si
	f.regs.g = 0
	f.regs.fs = f.regs.r8
}

// bareinitarch gives the first fiber the thread-local storage that the entry point has loaded.
//
//go:nosplit
func bareinitarch(f *barefiber) {
	barefs = uintptr(unsafe.Pointer(&baretls[1]))
	f.regs.fs = barefs
}

// bareload loads what belongs to the thread of a fiber that runs next: its FS base.
func bareload(f *barefiber) {
	if barefs != f.regs.fs {
		barefs = f.regs.fs
		barewrfs(barefs)
	}
}

// barearchcall answers the system calls that are amd64's alone.
func barearchcall(f *barefiber) uintptr {
	if f.number() != bareSysArchPrctl {
		return bareerr(_ENOSYS)
	}
	f.regs.fs = f.regs.si // ARCH_SET_FS, the one that the runtime uses
	bareload(f)
	return bareOK
}

// bareleavethreads makes the g of the dispatcher the running one, in memory of the image and not of
// a thread.
func bareleavethreads() {
	baretls[0] = uintptr(unsafe.Pointer(&bareg))
	barefs = uintptr(unsafe.Pointer(&baretls[1]))
	barewrfs(barefs)
}

// barehookthread returns the FS base for a hook, with which barehookg is the running g.
func barehookthread() uintptr {
	barehooktls[0] = uintptr(unsafe.Pointer(&barehookg))
	return uintptr(unsafe.Pointer(&barehooktls[1]))
}

// CPU returns the processor's name, empty when it has none.
func CPU() string { return cpu.Name() }
