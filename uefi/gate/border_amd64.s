//go:build tamago

#include "go_asm.h"
#include "textflag.h"

// Firmware's calling convention (UEFI 2.11, 2.3.4.2): arguments in RCX, RDX, R8, R9, then on the
// stack above 32 bytes of home space. A callee preserves RBX, RBP, RDI, RSI, R12-R15, XMM6-XMM15,
// MXCSR and the x87 control word. The stack is aligned to 16 bytes before a call.

#define MSR_FS_BASE 0xc0000100

// Offsets in EFI_SYSTEM_TABLE and EFI_BOOT_SERVICES (UEFI 2.11, 4.3, 4.4).
#define ST_BOOTSERVICES 96
#define BS_RAISETPL 24
#define BS_RESTORETPL 32
#define BS_CONNECTCONTROLLER 264

#define TPL_CALLBACK 8
#define TPL_HIGH_LEVEL 31

// RFLAGS (Intel SDM volume 1, 3.4.3). In Go interrupts, single steps, alignment checks and nested
// tasks are off, and string instructions go upwards; bit 1 is always set.
#define FLAG_IF 0x200
#define FLAGS_GO 2

// The frame that enter leaves on firmware's stack.
#define F_MXCSR 160
#define F_FCW 164
#define F_FS 168
#define F_FLAGS 176
#define F_REGS 184
#define F_SIZE 248

// FORGET05 and FORGET clear registers: copies of memory go through them, so that parts of an APDU
// may be in them. Firmware's interrupt entry saves all registers on its stack (edk2: FXSAVE), and
// its functions save those that they use.
#define FORGET05 \
	PXOR	X0, X0; \
	PXOR	X1, X1; \
	PXOR	X2, X2; \
	PXOR	X3, X3; \
	PXOR	X4, X4; \
	PXOR	X5, X5; \
	XORL	R11, R11
#define FORGET \
	FORGET05; \
	PXOR	X6, X6; \
	PXOR	X7, X7; \
	PXOR	X8, X8; \
	PXOR	X9, X9; \
	PXOR	X10, X10; \
	PXOR	X11, X11; \
	PXOR	X12, X12; \
	PXOR	X13, X13; \
	PXOR	X14, X14; \
	XORL	BX, BX; \
	XORL	R13, R13; \
	XORL	R15, R15

// first is where a runtime starts, on a stack of its own.
TEXT ·first(SB),NOSPLIT|NOFRAME,$0
	JMP	_rt0_tamago_start(SB)

// enter goes from firmware to Go: it saves the registers that a callee must preserve, and continues
// where Go left, or at first. It returns to its caller, on firmware's stack, when Go leaves, with
// the status in RAX.
TEXT ·enter(SB),NOSPLIT|NOFRAME,$0
	SUBQ	$F_SIZE, SP
	PUSHFQ
	POPQ	AX
	MOVQ	AX, F_FLAGS(SP)
	MOVQ	BX, (F_REGS+0)(SP)
	MOVQ	BP, (F_REGS+8)(SP)
	MOVQ	DI, (F_REGS+16)(SP)
	MOVQ	SI, (F_REGS+24)(SP)
	MOVQ	R12, (F_REGS+32)(SP)
	MOVQ	R13, (F_REGS+40)(SP)
	MOVQ	R14, (F_REGS+48)(SP)
	MOVQ	R15, (F_REGS+56)(SP)
	MOVUPS	X6, 0(SP)
	MOVUPS	X7, 16(SP)
	MOVUPS	X8, 32(SP)
	MOVUPS	X9, 48(SP)
	MOVUPS	X10, 64(SP)
	MOVUPS	X11, 80(SP)
	MOVUPS	X12, 96(SP)
	MOVUPS	X13, 112(SP)
	MOVUPS	X14, 128(SP)
	MOVUPS	X15, 144(SP)
	STMXCSR	F_MXCSR(SP)
	FSTCW	F_FCW(SP)
	FCLEX				// an unmasked x87 exception may be pending: FLDCW would raise it
	MOVL	$MSR_FS_BASE, CX
	RDMSR
	MOVL	AX, F_FS(SP)
	MOVL	DX, (F_FS+4)(SP)
	PUSHQ	$FLAGS_GO
	POPFQ
	CMPL	·ended(SB), $0
	JNE	refused
	MOVQ	F_FLAGS(SP), AX
	MOVQ	AX, ·fwflags(SB)
	MOVQ	SP, ·fwsp(SB)
	LEAQ	·fwidt(SB), AX
	BYTE	$0x0f; BYTE $0x01; BYTE $0x08	// SIDT (RAX)
	MOVQ	CR3, AX
	MOVQ	AX, ·fwcr3(SB)
	CALL	loadGo<>(SB)
	LEAQ	·gofp(SB), AX
	LDMXCSR	0(AX)
	FLDCW	4(AX)
	PXOR	X15, X15
	MOVQ	·gofs(SB), AX
	TESTQ	AX, AX
	JZ	newborn
	MOVQ	AX, DX
	SHRQ	$32, DX
	MOVL	$MSR_FS_BASE, CX
	WRMSR
newborn:
	MOVQ	·gobp(SB), BP
	MOVQ	·gosp(SB), SP
	RET
refused:
	MOVQ	$const_statusDeviceError, R12
	JMP	back<>(SB)

// loadGo loads Go's interrupt descriptor table and page tables, where there are any; loadFirmware
// loads firmware's. Both change AX and CX only.
TEXT loadGo<>(SB),NOSPLIT|NOFRAME,$0
	CMPQ	·goidt+2(SB), $0
	JEQ	done
	LEAQ	·goidt(SB), AX
	LIDT	(AX)
	MOVQ	·gocr3(SB), AX
	TESTQ	AX, AX
	JZ	done
	MOVQ	·fwcr3(SB), CX
	CMPQ	CX, ·clonedcr3(SB)
	JNE	done			// firmware has new tables since we copied
	MOVQ	AX, CR3
done:
	RET

TEXT loadFirmware<>(SB),NOSPLIT|NOFRAME,$0
	CMPQ	·goidt+2(SB), $0
	JEQ	done
	MOVQ	CR3, AX
	MOVQ	·fwcr3(SB), CX
	CMPQ	AX, CX
	JEQ	same
	MOVQ	CX, CR3
same:
	LEAQ	·fwidt(SB), AX
	LIDT	(AX)
done:
	RET

// func leave(status uintptr)
TEXT ·leave(SB),NOSPLIT|NOFRAME,$0-8
	MOVQ	status+0(FP), R12
	MOVQ	SP, ·gosp(SB)		// enter's RET returns to leave's caller
	MOVL	$MSR_FS_BASE, CX
	RDMSR
	SHLQ	$32, DX
	ORQ	DX, AX
	MOVQ	AX, ·gofs(SB)
	CALL	loadFirmware<>(SB)
	MOVQ	·fwsp(SB), SP
	JMP	back<>(SB)

// back restores the registers that enter has saved at SP, and returns the status in R12 to enter's
// caller. It saves Go's BP, which is that of leave's caller.
TEXT back<>(SB),NOSPLIT|NOFRAME,$0
	MOVQ	BP, ·gobp(SB)
	MOVL	F_FS(SP), AX
	MOVL	(F_FS+4)(SP), DX
	MOVL	$MSR_FS_BASE, CX
	WRMSR
	LDMXCSR	F_MXCSR(SP)
	FCLEX				// no exception of Go's may be pending with the caller's control word
	FLDCW	F_FCW(SP)
	MOVUPS	0(SP), X6
	MOVUPS	16(SP), X7
	MOVUPS	32(SP), X8
	MOVUPS	48(SP), X9
	MOVUPS	64(SP), X10
	MOVUPS	80(SP), X11
	MOVUPS	96(SP), X12
	MOVUPS	112(SP), X13
	MOVUPS	128(SP), X14
	MOVUPS	144(SP), X15
	FORGET05
	XORL	DX, DX
	XORL	R8, R8
	XORL	R9, R9
	XORL	R10, R10
	MOVQ	R12, AX
	MOVQ	(F_REGS+0)(SP), BX
	MOVQ	(F_REGS+8)(SP), BP
	MOVQ	(F_REGS+16)(SP), DI
	MOVQ	(F_REGS+24)(SP), SI
	MOVQ	(F_REGS+32)(SP), R12
	MOVQ	(F_REGS+40)(SP), R13
	MOVQ	(F_REGS+48)(SP), R14
	MOVQ	(F_REGS+56)(SP), R15
	MOVQ	F_FLAGS(SP), CX
	PUSHQ	CX
	POPFQ
	ADDQ	$F_SIZE, SP
	RET

// PASS switches to firmware's stack, copies CX arguments from SI there, and leaves Go's stack
// pointer in R12. LOAD loads the arguments that are passed in registers.
#define PASS \
	MOVQ	SP, R12; \
	MOVQ	·fwsp(SB), SP; \
	ANDQ	$~15, SP; \
	SUBQ	$(8*const_MaxArgs+32), SP; \	// a multiple of 16
	MOVQ	SP, DI; \
	REP; MOVSQ
#define LOAD \
	MOVQ	0(SP), CX; \
	MOVQ	8(SP), DX; \
	MOVQ	16(SP), R8; \
	MOVQ	24(SP), R9

// func raw(fn uintptr, args *uintptr, n uintptr) uintptr
TEXT ·raw(SB),NOSPLIT,$0-32
	MOVQ	fn+0(FP), R10
	MOVQ	args+8(FP), SI
	MOVQ	n+16(FP), CX
	PASS
	CALL	loadFirmware<>(SB)
	LOAD
	FORGET
	MOVQ	·fwflags(SB), AX
	TESTQ	$FLAG_IF, AX		// interrupts as firmware had them
	JZ	masked
	STI
masked:
	CALL	R10
	CLI
	CLD
	CMPL	·ended(SB), $0
	JNE	abandon
	MOVQ	AX, R13
	CALL	loadGo<>(SB)
	MOVQ	R12, SP
	MOVQ	R13, ret+24(FP)
	RET
abandon:
	JMP	abandon<>(SB)

// abandon leaves Go without running it again: boot services ended in a function that Go had called.
// Firmware's tables are loaded.
TEXT abandon<>(SB),NOSPLIT|NOFRAME,$0
	MOVQ	·fwsp(SB), SP
	MOVQ	$const_statusDeviceError, R12
	JMP	back<>(SB)

// func briefly(fn uintptr, args *uintptr, n uintptr) uintptr
TEXT ·briefly(SB),NOSPLIT,$0-32
	MOVQ	fn+0(FP), R10
	MOVQ	args+8(FP), SI
	MOVQ	n+16(FP), CX
	PASS
	LEAQ	·fwidt(SB), AX
	LIDT	(AX)
	LOAD
	FORGET
	CALL	R10
	PUSHFQ
	CLI
	CLD
	POPQ	CX
	CMPL	·ended(SB), $0
	JNE	abandon
	TESTQ	$FLAG_IF, CX
	JZ	kept
	MOVL	$1, ·enablesInterrupts(SB)
kept:
	LEAQ	·goidt(SB), CX
	LIDT	(CX)
	MOVQ	R12, SP
	MOVQ	AX, ret+24(FP)
	RET
abandon:
	CALL	loadFirmware<>(SB)
	JMP	abandon<>(SB)

// relax(tsc, ticks) waits until the time stamp counter has advanced by ticks since it was tsc, or
// was set back. It is called through raw, on firmware's stack.
TEXT relax<>(SB),NOSPLIT|NOFRAME,$0
	MOVQ	DX, R8
again:
	PAUSE
	RDTSC
	SHLQ	$32, DX
	ORQ	DX, AX
	SUBQ	CX, AX
	CMPQ	AX, R8
	JCS	again
	RET

// func relaxPC() uintptr
TEXT ·relaxPC(SB),NOSPLIT,$0-8
	LEAQ	relax<>(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

// yield(tpl) lets events run that wait while the task priority is TPL_CALLBACK: it lowers the
// priority to tpl and raises it again. It is called through raw, on firmware's stack.
TEXT yield<>(SB),NOSPLIT|NOFRAME,$0
	SUBQ	$40, SP			// home space, and alignment
	MOVQ	·systemTable(SB), R10
	MOVQ	ST_BOOTSERVICES(R10), R10
	CALL	BS_RESTORETPL(R10)
	// An event may have ended boot services, as in thunk.
	CMPL	·ended(SB), $0
	JNE	done
	MOVQ	·systemTable(SB), R10
	MOVQ	ST_BOOTSERVICES(R10), R10
	TESTQ	R10, R10
	JZ	ended
	CMPQ	BS_RAISETPL(R10), $0
	JEQ	ended
	MOVL	$TPL_CALLBACK, CX
	CALL	BS_RAISETPL(R10)
done:
	ADDQ	$40, SP
	RET
ended:
	MOVL	$1, ·ended(SB)		// raw leaves Go
	ADDQ	$40, SP
	RET

// func yieldPC() uintptr
TEXT ·yieldPC(SB),NOSPLIT,$0-8
	LEAQ	yield<>(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

// connect is an event's notification function (UEFI 2.11, 7.1.1): it calls ConnectController for
// each handle in connects. It runs outside of Go, so that ConnectController can call this image's
// own functions. While Go is inside it leaves the handles for the next notification.
TEXT connect<>(SB),NOSPLIT|NOFRAME,$0
	SUBQ	$40, SP
again:
	CMPL	·inside(SB), $0
	JNE	done
	MOVL	·connectCount(SB), AX
	TESTL	AX, AX
	JEQ	done
	DECL	AX
	MOVL	AX, ·connectCount(SB)
	LEAQ	·connects(SB), CX
	MOVQ	(CX)(AX*8), CX
	XORL	DX, DX
	XORL	R8, R8
	MOVL	$1, R9			// Recursive
	MOVQ	·systemTable(SB), R10
	MOVQ	ST_BOOTSERVICES(R10), R10
	CALL	BS_CONNECTCONTROLLER(R10)
	JMP	again
done:
	ADDQ	$40, SP
	RET

// func connectPC() uintptr
TEXT ·connectPC(SB),NOSPLIT,$0-8
	LEAQ	connect<>(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

// func loadGo()
TEXT ·loadGo(SB),NOSPLIT,$0
	JMP	loadGo<>(SB)

// The functions that firmware can call: thunk i passes its number to thunk.
#define THUNK(i) \
	MOVL	$i, AX; \
	JMP	thunk<>(SB); \
	PCALIGN	$16
#define THUNK8(i) \
	THUNK(i); THUNK(i+1); THUNK(i+2); THUNK(i+3); \
	THUNK(i+4); THUNK(i+5); THUNK(i+6); THUNK(i+7)

TEXT thunks<>(SB),NOSPLIT|NOFRAME,$0
	PCALIGN	$16
	THUNK8(0)
	THUNK8(8)
	THUNK8(16)
	THUNK8(24)
	THUNK8(32)
	THUNK8(40)

// func thunksPC() uintptr
TEXT ·thunksPC(SB),NOSPLIT,$0-8
	LEAQ	thunks<>(SB), AX
	ADDQ	$15, AX
	ANDQ	$~15, AX
	MOVQ	AX, ret+0(FP)
	RET

// thunk's frame, above 32 bytes of home space for its own calls.
#define T_INDEX 32
#define T_TPL 40
#define T_STATUS 48
#define T_SIZE 72

// thunk takes firmware's call of function AX into Go. A call that comes while Go is inside gets the
// function's busy status; an event is noted.
TEXT thunk<>(SB),NOSPLIT|NOFRAME,$0
	MOVQ	CX, 8(SP)
	MOVQ	DX, 16(SP)
	MOVQ	R8, 24(SP)
	MOVQ	R9, 32(SP)
	SUBQ	$T_SIZE, SP
	CLD
	MOVLQZX	AX, AX
	MOVQ	AX, T_INDEX(SP)
	CMPL	·dead(SB), $0
	JNE	isdead
	LEAQ	·hooks(SB), CX
	CMPL	(CX)(AX*4), $0
	JNE	ishook
	// If boot services ended at TPL_NOTIFY, firmware has not called the exit hook. The table is
	// gone (UEFI 2.11, 7.4.6), or empty (edk2).
	MOVQ	·systemTable(SB), R10
	MOVQ	ST_BOOTSERVICES(R10), R10
	TESTQ	R10, R10
	JZ	isdead
	CMPQ	BS_RAISETPL(R10), $0
	JEQ	isdead
	XORL	AX, AX
	MOVL	$1, CX
	LOCK
	CMPXCHGL	CX, ·inside(SB)
	JNE	busy
	// RaiseTPL is the only way to read the caller's priority.
	MOVQ	·systemTable(SB), R10
	MOVQ	ST_BOOTSERVICES(R10), R10
	MOVL	$TPL_HIGH_LEVEL, CX
	CALL	BS_RAISETPL(R10)
	MOVQ	AX, T_TPL(SP)
	MOVQ	AX, CX
	MOVQ	·systemTable(SB), R10
	MOVQ	ST_BOOTSERVICES(R10), R10
	CALL	BS_RESTORETPL(R10)
	CMPQ	T_TPL(SP), $TPL_CALLBACK
	JHI	high
	MOVQ	·systemTable(SB), R10
	MOVQ	ST_BOOTSERVICES(R10), R10
	MOVL	$TPL_CALLBACK, CX
	CALL	BS_RAISETPL(R10)
	MOVQ	T_TPL(SP), AX
	MOVQ	AX, ·callerTPL(SB)
	MOVQ	T_INDEX(SP), AX
	MOVQ	AX, ·reqIndex(SB)
	LEAQ	(T_SIZE+8)(SP), AX
	MOVQ	AX, ·reqArgs(SB)
	INCL	·reqWord(SB)
	CALL	·enter(SB)
	MOVQ	AX, T_STATUS(SP)
	CMPL	·ended(SB), $0
	JNE	isdead
	MOVL	$0, ·inside(SB)
	MOVQ	T_TPL(SP), CX
	MOVQ	·systemTable(SB), R10
	MOVQ	ST_BOOTSERVICES(R10), R10
	CALL	BS_RESTORETPL(R10)
	MOVQ	T_STATUS(SP), AX
	ADDQ	$T_SIZE, SP
	RET
high:
	MOVL	$0, ·inside(SB)
busy:
	MOVQ	T_INDEX(SP), CX
	LEAQ	·pending(SB), AX
	LOCK
	INCL	(AX)(CX*4)
	LEAQ	·binding(SB), AX
	CMPB	(AX)(CX*1), $0
	JNE	refuse
refused:
	LEAQ	·busy(SB), AX
	MOVQ	(AX)(CX*8), AX
	ADDQ	$T_SIZE, SP
	RET
isdead:
	MOVQ	$const_statusDeviceError, AX
	ADDQ	$T_SIZE, SP
	RET
refuse:
	// Function CX and its ControllerHandle go into refusals, once.
	MOVQ	(T_SIZE+16)(SP), DX
	LEAQ	·refusals(SB), R8
	MOVL	·refusalCount(SB), R9
	MOVQ	R9, R10
known:
	TESTL	R10, R10
	JEQ	new
	DECL	R10
	MOVQ	R10, R11
	SHLQ	$4, R11
	CMPQ	CX, (R8)(R11*1)
	JNE	known
	CMPQ	DX, 8(R8)(R11*1)
	JNE	known
	JMP	refused
new:
	CMPL	R9, $const_maxRefusals
	JCC	refused
	MOVQ	R9, R11
	SHLQ	$4, R11
	MOVQ	CX, (R8)(R11*1)
	MOVQ	DX, 8(R8)(R11*1)
	INCL	·refusalCount(SB)
	JMP	refused
ishook:
	CALL	hook<>(SB)
	XORL	AX, AX
	ADDQ	$T_SIZE, SP
	RET

// hook's frame: the state of the crossing that it interrupts.
#define H_FLAGS 0
#define H_FWSP 8
#define H_FWFLAGS 16
#define H_FWCR3 24
#define H_FWIDT 32
#define H_GOSP 48
#define H_GOBP 56
#define H_GOFS 64
#define H_INSIDE 72
#define H_SIZE 80

// hook runs hook AX: enter goes to hooked, on the hook's own stack. It may interrupt thunk, enter,
// raw and briefly wherever interrupts are on. One hook runs at a time: a hook that interrupts
// another does nothing.
TEXT hook<>(SB),NOSPLIT|NOFRAME,$0
	SUBQ	$H_SIZE, SP
	PUSHFQ
	POPQ	CX
	MOVQ	CX, H_FLAGS(SP)
	CLI
	CMPL	·dead(SB), $0
	JNE	refused
	CMPL	·hookRuns(SB), $0
	JNE	refused
	MOVL	$1, ·hookRuns(SB)
	MOVQ	AX, ·hookIndex(SB)
	MOVQ	·fwsp(SB), AX
	MOVQ	AX, H_FWSP(SP)
	MOVQ	·fwflags(SB), AX
	MOVQ	AX, H_FWFLAGS(SP)
	MOVQ	·fwcr3(SB), AX
	MOVQ	AX, H_FWCR3(SP)
	MOVQ	·fwidt+0(SB), AX
	MOVQ	AX, H_FWIDT(SP)
	MOVW	·fwidt+8(SB), AX
	MOVW	AX, (H_FWIDT+8)(SP)
	MOVQ	·gosp(SB), AX
	MOVQ	AX, H_GOSP(SP)
	MOVQ	·gobp(SB), AX
	MOVQ	AX, H_GOBP(SP)
	MOVQ	·gofs(SB), AX
	MOVQ	AX, H_GOFS(SP)
	MOVL	·inside(SB), AX
	MOVL	AX, H_INSIDE(SP)
	MOVL	$1, ·inside(SB)
	MOVQ	·hookThread(SB), AX
	MOVQ	AX, ·gofs(SB)
	MOVQ	$0, ·gobp(SB)
	MOVQ	·hooksp(SB), AX
	SUBQ	$64, AX
	LEAQ	hooked<>(SB), CX
	MOVQ	CX, (AX)
	MOVQ	AX, ·gosp(SB)
	CALL	·enter(SB)
	MOVQ	H_FWSP(SP), AX
	MOVQ	AX, ·fwsp(SB)
	MOVQ	H_FWFLAGS(SP), AX
	MOVQ	AX, ·fwflags(SB)
	MOVQ	H_FWCR3(SP), AX
	MOVQ	AX, ·fwcr3(SB)
	MOVQ	H_FWIDT(SP), AX
	MOVQ	AX, ·fwidt+0(SB)
	MOVW	(H_FWIDT+8)(SP), AX
	MOVW	AX, ·fwidt+8(SB)
	MOVQ	H_GOSP(SP), AX
	MOVQ	AX, ·gosp(SB)
	MOVQ	H_GOBP(SP), AX
	MOVQ	AX, ·gobp(SB)
	MOVQ	H_GOFS(SP), AX
	MOVQ	AX, ·gofs(SB)
	MOVL	H_INSIDE(SP), AX
	MOVL	AX, ·inside(SB)
	MOVL	$0, ·hookRuns(SB)
refused:
	MOVQ	H_FLAGS(SP), CX
	PUSHQ	CX
	POPFQ
	ADDQ	$H_SIZE, SP
	RET

// hooked is where a hook begins. runHook leaves Go.
TEXT hooked<>(SB),NOSPLIT|NOFRAME,$0
	CALL	·runHook(SB)
	UNDEF
