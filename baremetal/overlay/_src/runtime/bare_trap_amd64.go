package runtime

import (
	"runtime/goos"
	"unsafe"
)

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

// bareframe is what lies on the signal stack when a handler starts (Linux, struct rt_sigframe). It
// begins 8 bytes below a 16-byte boundary, as after a call.
type bareframe struct {
	restorer uintptr
	uc       ucontext
	info     siginfo
}

func barevectors() uintptr

// baretrapped turns an exception in the running fiber, whose registers are saved, into a signal.
//
//go:nowritebarrierrec
func baretrapped(vector, code, cr2 uintptr) {
	f := barecur
	f.full = 1
	if vector == vectorPF && goos.Fault != nil && goos.Fault(cr2) {
		return
	}
	r := &f.regs
	sig, sicode, addr := uintptr(_SIGSEGV), int32(_SI_KERNEL), uintptr(0)
	switch vector {
	case vectorDE:
		sig, sicode, addr = _SIGFPE, _FPE_INTDIV, r.pc
	case vectorMF, vectorXM:
		sig, sicode, addr = _SIGFPE, _FPE_FLTINV, r.pc
	case vectorDB, vectorBP:
		sig = _SIGTRAP
	case vectorUD:
		sig, addr = _SIGILL, r.pc
	case vectorAC:
		sig, sicode, addr = _SIGBUS, _BUS_ADRALN, cr2
	case vectorPF:
		sicode, addr = _SEGV_MAPERR, cr2
		if code&1 != 0 { // the page is present: access denied
			sicode = _SEGV_ACCERR
		}
	}
	sp := f.sigframe(sig, r.sp, unsafe.Sizeof(bareframe{})+8)
	if sp == 0 || vector == vectorDF {
		barebroken(vector, r.pc, cr2)
	}
	sp += 8
	fr := (*bareframe)(unsafe.Pointer(sp))
	fr.restorer = baresigs[sig].sa_restorer
	fr.info.si_signo = int32(sig)
	fr.info.si_code = sicode
	fr.info.si_addr = uint64(addr)
	c := (*sigcontext)(unsafe.Pointer(&fr.uc.uc_mcontext))
	r.save(c)
	c.err, c.trapno, c.cr2 = uint64(code), uint64(vector), uint64(cr2)

	f.full = 0
	r.sp, r.pc = sp, baresigs[sig].sa_handler
	r.di = sig
	r.si = uintptr(unsafe.Pointer(&fr.info))
	r.dx = uintptr(unsafe.Pointer(&fr.uc))
}

// baresigreturn leaves a signal handler: rt_sigreturn, called with the stack pointer at the
// ucontext. The result is that of the interrupted code. The frame is cleared, since registers may
// hold secrets.
func baresigreturn(f *barefiber) uintptr {
	fr := (*bareframe)(unsafe.Pointer(f.regs.sp - unsafe.Offsetof(bareframe{}.uc)))
	f.regs.restore((*sigcontext)(unsafe.Pointer(&fr.uc.uc_mcontext)))
	// A panic that a fault becomes must not begin with these.
	f.regs.flags &^= flagTF | flagDF | flagNT
	memclrNoHeapPointers(unsafe.Pointer(fr), unsafe.Sizeof(*fr))
	f.full = 1
	return f.regs.ax
}

func (r *bareregs) save(c *sigcontext) {
	c.rax, c.rbx, c.rcx, c.rdx = uint64(r.ax), uint64(r.bx), uint64(r.cx), uint64(r.dx)
	c.rsi, c.rdi, c.rbp, c.rsp = uint64(r.si), uint64(r.di), uint64(r.bp), uint64(r.sp)
	c.r8, c.r9, c.r10, c.r11 = uint64(r.r8), uint64(r.r9), uint64(r.r10), uint64(r.r11)
	c.r12, c.r13, c.r14, c.r15 = uint64(r.r12), uint64(r.r13), uint64(r.r14), uint64(r.r15)
	c.rip, c.eflags = uint64(r.pc), uint64(r.flags)
}

func (r *bareregs) restore(c *sigcontext) {
	r.ax, r.bx, r.cx, r.dx = uintptr(c.rax), uintptr(c.rbx), uintptr(c.rcx), uintptr(c.rdx)
	r.si, r.di, r.bp, r.sp = uintptr(c.rsi), uintptr(c.rdi), uintptr(c.rbp), uintptr(c.rsp)
	r.r8, r.r9, r.r10, r.r11 = uintptr(c.r8), uintptr(c.r9), uintptr(c.r10), uintptr(c.r11)
	r.r12, r.r13, r.r14, r.r15 = uintptr(c.r12), uintptr(c.r13), uintptr(c.r14), uintptr(c.r15)
	r.pc, r.flags = uintptr(c.rip), uintptr(c.eflags)
}

// TrapVectors is the address of the entry for exception vector 0. The entries of vectors 1 to 31
// follow at a distance of TrapStride bytes. The board puts them into its interrupt descriptor
// table, as interrupt gates.
func TrapVectors() uintptr { return barevectors() }

// TrapStride is the distance between two trap entries in bytes.
const TrapStride = 16
