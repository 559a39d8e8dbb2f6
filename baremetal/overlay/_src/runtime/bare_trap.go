package runtime

import (
	"internal/cpu"
	"runtime/goos"
	"unsafe"
)

// A CPU exception in Go becomes the signal that Linux would have sent: the
// runtime's own handler then makes a nil dereference a panic and anything else
// a fatal error, which ends in exit_group. An exception in the dispatcher or
// in a signal handler has no such way out and ends at once.

// Exception vectors (Intel SDM volume 3, 6.3.1).
const (
	vectorDE = 0
	vectorDB = 1
	vectorBP = 3
	vectorUD = 6
	vectorDF = 8
	vectorPF = 14
	vectorMF = 16
	vectorAC = 17
	vectorXM = 19
)

// Bits of RFLAGS (Intel SDM volume 1, 3.4.3).
const (
	flagTF = 1 << 8
	flagDF = 1 << 10
	flagNT = 1 << 14
)

// bareframe is what lies on the signal stack when a handler starts (Linux,
// struct rt_sigframe).
type bareframe struct {
	restorer uintptr
	uc       ucontext
	info     siginfo
}

func baresigaction(sig, new, old uintptr) uintptr {
	if sig == 0 || sig >= uintptr(len(baresigs)) {
		return bareerr(bareEINVAL)
	}
	if old != 0 {
		*(*sigactiont)(unsafe.Pointer(old)) = baresigs[sig]
	}
	if new != 0 {
		baresigs[sig] = *(*sigactiont)(unsafe.Pointer(new))
	}
	return bareOK
}

// baretrapped turns exception vector in the running fiber, whose registers are
// saved, into a signal.
//
//go:nowritebarrierrec
func baretrapped(vector, code, cr2 uintptr) {
	f := barecur
	f.full = 1
	if vector == vectorPF && goos.Fault != nil && goos.Fault(cr2) {
		return
	}
	sig, sicode, addr := uintptr(_SIGSEGV), int32(_SI_KERNEL), uintptr(0)
	switch vector {
	case vectorDE:
		sig, sicode, addr = _SIGFPE, _FPE_INTDIV, f.pc
	case vectorMF, vectorXM:
		sig, sicode, addr = _SIGFPE, _FPE_FLTINV, f.pc
	case vectorDB, vectorBP:
		sig = _SIGTRAP
	case vectorUD:
		sig, addr = _SIGILL, f.pc
	case vectorAC:
		sig, sicode, addr = _SIGBUS, _BUS_ADRALN, cr2
	case vectorPF:
		sicode, addr = _SEGV_MAPERR, cr2
		if code&1 != 0 { // the page was there: access denied
			sicode = _SEGV_ACCERR
		}
	}
	act := &baresigs[sig]
	nested := f.sp-f.altstack < f.altsize
	if act.sa_handler <= 1 || f.altsize < 2*unsafe.Sizeof(bareframe{}) || nested || vector == vectorDF {
		barebroken(vector, f.pc, cr2)
	}
	sp := (f.altstack+f.altsize-unsafe.Sizeof(bareframe{}))&^15 - 8
	fr := (*bareframe)(unsafe.Pointer(sp))
	memclrNoHeapPointers(unsafe.Pointer(fr), unsafe.Sizeof(*fr))
	fr.restorer = act.sa_restorer
	fr.info.si_signo = int32(sig)
	fr.info.si_code = sicode
	fr.info.si_addr = uint64(addr)
	c := (*sigcontext)(unsafe.Pointer(&fr.uc.uc_mcontext))
	f.save(c)
	c.err, c.trapno, c.cr2 = uint64(code), uint64(vector), uint64(cr2)

	f.full = 0
	f.sp, f.pc = sp, act.sa_handler
	f.di = sig
	f.si = uintptr(unsafe.Pointer(&fr.info))
	f.dx = uintptr(unsafe.Pointer(&fr.uc))
}

// baresigreturn leaves a signal handler: rt_sigreturn, called with the stack
// pointer at the ucontext. The frame is cleared, since registers may hold secrets.
func baresigreturn(f *barefiber) {
	fr := (*bareframe)(unsafe.Pointer(f.sp - unsafe.Offsetof(bareframe{}.uc)))
	f.restore((*sigcontext)(unsafe.Pointer(&fr.uc.uc_mcontext)))
	f.flags &^= flagTF | flagDF | flagNT // a panic that a fault becomes must not begin with them
	memclrNoHeapPointers(unsafe.Pointer(fr), unsafe.Sizeof(*fr))
	f.full = 1
}

func (f *barefiber) save(c *sigcontext) {
	c.rax, c.rbx, c.rcx, c.rdx = uint64(f.ax), uint64(f.bx), uint64(f.cx), uint64(f.dx)
	c.rsi, c.rdi, c.rbp, c.rsp = uint64(f.si), uint64(f.di), uint64(f.bp), uint64(f.sp)
	c.r8, c.r9, c.r10, c.r11 = uint64(f.r8), uint64(f.r9), uint64(f.r10), uint64(f.r11)
	c.r12, c.r13, c.r14, c.r15 = uint64(f.r12), uint64(f.r13), uint64(f.r14), uint64(f.r15)
	c.rip, c.eflags = uint64(f.pc), uint64(f.flags)
}

func (f *barefiber) restore(c *sigcontext) {
	f.ax, f.bx, f.cx, f.dx = uintptr(c.rax), uintptr(c.rbx), uintptr(c.rcx), uintptr(c.rdx)
	f.si, f.di, f.bp, f.sp = uintptr(c.rsi), uintptr(c.rdi), uintptr(c.rbp), uintptr(c.rsp)
	f.r8, f.r9, f.r10, f.r11 = uintptr(c.r8), uintptr(c.r9), uintptr(c.r10), uintptr(c.r11)
	f.r12, f.r13, f.r14, f.r15 = uintptr(c.r12), uintptr(c.r13), uintptr(c.r14), uintptr(c.r15)
	f.pc, f.flags = uintptr(c.rip), uintptr(c.eflags)
}

// barebroken reports an exception in the dispatcher itself and leaves.
//
//go:nowritebarrierrec
func barebroken(vector, pc, cr2 uintptr) {
	bareexception(vector, pc, cr2)
	bareexit(2)
}

// bareexception writes one line of error output.
func bareexception(vector, pc, cr2 uintptr) {
	bareputs("fatal error: CPU exception ")
	bareputx(vector)
	bareputs(" at ")
	bareputx(pc - firstmoduledata.text)
	bareputs(" of the text, address ")
	bareputx(cr2)
	bareputs("\n")
}

func bareputs(s string) {
	for i := 0; i < len(s); i++ {
		bareput(true, s[i])
	}
}

func bareputx(v uintptr) {
	bareputs("0x")
	shift := 60
	for shift > 0 && v>>shift == 0 {
		shift -= 4
	}
	for ; shift >= 0; shift -= 4 {
		bareput(true, "0123456789abcdef"[v>>shift&15])
	}
}

// TrapVectors to GetG are the part of this runtime that boards and TamaGo
// packages use.

// TrapVectors is the address of the entry for exception vector 0; the entries
// of vectors 1 to 31 follow at a distance of TrapStride bytes. The board puts
// them in its interrupt descriptor table, as interrupt gates.
func TrapVectors() uintptr { return barevectors() }

// TrapStride is the distance between two trap entries.
const TrapStride = 16

// BareHook prepares a g for a hook: code of the board's that firmware calls
// while the rest of Go stands still in a call of firmware or between two. The
// hook runs with this FS base, on the stack that ends at sp, under the same
// rules as code in the dispatcher.
func BareHook() (fs, sp uintptr) {
	lo := uintptr(unsafe.Pointer(&barehookstack))
	barehookg.stack.lo = lo
	barehookg.stack.hi = lo + bareHookSize
	barehookg.stackguard0 = lo + stackGuard
	barehookg.stackguard1 = lo + stackGuard
	barehooktls[0] = uintptr(unsafe.Pointer(&barehookg))
	return uintptr(unsafe.Pointer(&barehooktls[1])), barehookg.stack.hi
}

// BareHookBegin is called at the beginning of a hook: an exception in it is one
// in the dispatcher. BareHookEnd is called at its end, with the result.
func BareHookBegin() (inside uint32) {
	inside = bareinside
	bareinside = 1
	return inside
}

// BareHookEnd is the end of BareHookBegin.
func BareHookEnd(inside uint32) { bareinside = inside }

// MemRegion returns the bounds of the memory set aside for the runtime. They
// are equal where memory comes from the board on demand.
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

// CPU returns the processor's name, empty when it has none.
func CPU() string { return cpu.Name() }

// GetG returns the addresses of the running g and its p.
func GetG() (gp, pp uint) {
	g := getg()
	return uint(uintptr(unsafe.Pointer(g))), uint(uintptr(unsafe.Pointer(g.m.p.ptr())))
}
