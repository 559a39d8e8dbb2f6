#include "go_asm.h"
#include "go_tls.h"
#include "textflag.h"

#define MSR_FS_BASE 0xc0000100 // AMD64 architecture manual volume 2, A

// The image's entry point. The board's cpuinit runs first and ends with a jump to
// _rt0_tamago_start, on a stack of its own.
TEXT _rt0_amd64_linux(SB),NOSPLIT|NOFRAME,$0
	JMP	cpuinit(SB)

TEXT _rt0_amd64_linux_lib(SB),NOSPLIT,$0
	RET

TEXT _rt0_tamago_start(SB),NOSPLIT|NOFRAME,$0
	ANDQ	$~15, SP
	// ABI wrappers read the thread-local slot: it must be readable memory.
	LEAQ	runtime·baretls+8(SB), AX
	MOVQ	AX, DX
	SHRQ	$32, DX
	MOVL	$MSR_FS_BASE, CX
	WRMSR
	// The dispatcher's g and stack serve the board's first steps.
	LEAQ	runtime·bareg(SB), AX
	MOVQ	AX, runtime·baretls+0(SB)
	MOVQ	SP, R12
	LEAQ	runtime·barestack+const_bareStackSize(SB), SP
	SUBQ	$64, SP
	MOVQ	R12, 48(SP)
	CALL	runtime·bareinit(SB)
	CALL	runtime·barehwinit(SB)
	MOVQ	48(SP), SP
	SUBQ	$128, SP
	// argc, argv, the environment and the auxiliary vector, in Linux's layout (System V ABI for
	// AMD64, 3.4.1).
	LEAQ	runtime·bareargv0(SB), AX
	MOVQ	AX, 0(SP)	// argv[0]
	MOVQ	$0, 8(SP)
	MOVQ	$0, 16(SP)	// no environment
	MOVQ	$6, 24(SP)	// AT_PAGESZ
	MOVQ	$4096, 32(SP)
	MOVQ	$0, 40(SP)	// AT_NULL
	MOVQ	$0, 48(SP)
	MOVQ	$1, DI
	MOVQ	SP, SI
	JMP	runtime·rt0_go(SB)

DATA runtime·bareargv0+0(SB)/8, $0x6f67 // "go"
GLOBL runtime·bareargv0(SB), RODATA, $8

// baresys replaces the SYSCALL instruction. Like it, it may change AX, CX and R11 only; unlike it,
// it is reached by CALL.
TEXT runtime·baresys(SB),NOSPLIT|NOFRAME,$0
	MOVQ	runtime·barecur(SB), R11
	MOVQ	AX, bareregs_ax(R11)
	POPQ	CX
	MOVQ	CX, bareregs_pc(R11)
	MOVQ	SP, bareregs_sp(R11)
	MOVQ	BX, bareregs_bx(R11)
	MOVQ	DX, bareregs_dx(R11)
	MOVQ	SI, bareregs_si(R11)
	MOVQ	DI, bareregs_di(R11)
	MOVQ	BP, bareregs_bp(R11)
	MOVQ	R8, bareregs_r8(R11)
	MOVQ	R9, bareregs_r9(R11)
	MOVQ	R10, bareregs_r10(R11)
	MOVQ	R12, bareregs_r12(R11)
	MOVQ	R13, bareregs_r13(R11)
	MOVQ	R14, bareregs_r14(R11)
	MOVQ	R15, bareregs_r15(R11)
	CALL	runtime·baregostack<>(SB)
	LEAQ	runtime·baredispatch(SB), AX
	CALL	AX
	JMP	runtime·bareresume(SB)

// baregostack switches from the running fiber to the g and the stack of the dispatcher. In: R11 is
// the fiber's record. It is called, and returns on the new stack.
TEXT runtime·baregostack<>(SB),NOSPLIT|NOFRAME,$0
	POPQ	AX
	MOVL	$1, runtime·bareinside(SB)
	get_tls(CX)
	MOVQ	g(CX), DX
	MOVQ	DX, bareregs_g(R11)
	LEAQ	runtime·bareg(SB), DX
	MOVQ	DX, g(CX)
	LEAQ	runtime·barestack+const_bareStackSize(SB), SP
	SUBQ	$64, SP
	XORL	BP, BP
	JMP	AX

// CLEARXMM clears four registers in barefpu. In: CX is 0.
#define CLEARXMM(at) \
	MOVQ	CX, runtime·barefpu+(at)(SB); \
	MOVQ	CX, runtime·barefpu+(at+8)(SB); \
	MOVQ	CX, runtime·barefpu+(at+16)(SB); \
	MOVQ	CX, runtime·barefpu+(at+24)(SB); \
	MOVQ	CX, runtime·barefpu+(at+32)(SB); \
	MOVQ	CX, runtime·barefpu+(at+40)(SB); \
	MOVQ	CX, runtime·barefpu+(at+48)(SB); \
	MOVQ	CX, runtime·barefpu+(at+56)(SB)

// bareresume runs the fiber barecur.
TEXT runtime·bareresume(SB),NOSPLIT|NOFRAME,$0
	MOVQ	runtime·barecur(SB), R11
	get_tls(CX)
	MOVQ	bareregs_g(R11), DX
	MOVQ	DX, g(CX)
	MOVL	$0, runtime·bareinside(SB)
	MOVQ	bareregs_ax(R11), AX
	MOVQ	bareregs_bx(R11), BX
	MOVQ	bareregs_dx(R11), DX
	MOVQ	bareregs_si(R11), SI
	MOVQ	bareregs_di(R11), DI
	MOVQ	bareregs_bp(R11), BP
	MOVQ	bareregs_r8(R11), R8
	MOVQ	bareregs_r9(R11), R9
	MOVQ	bareregs_r10(R11), R10
	MOVQ	bareregs_r12(R11), R12
	MOVQ	bareregs_r13(R11), R13
	MOVQ	bareregs_r14(R11), R14
	MOVQ	bareregs_r15(R11), R15
	CMPQ	barefiber_full(R11), $0
	JNE	full
	MOVQ	bareregs_sp(R11), SP
	MOVQ	bareregs_pc(R11), CX
	JMP	CX
full:
	// An exception interrupted this fiber: all its registers are restored.
	MOVUPS	runtime·barefpu+0(SB), X0
	MOVUPS	runtime·barefpu+16(SB), X1
	MOVUPS	runtime·barefpu+32(SB), X2
	MOVUPS	runtime·barefpu+48(SB), X3
	MOVUPS	runtime·barefpu+64(SB), X4
	MOVUPS	runtime·barefpu+80(SB), X5
	MOVUPS	runtime·barefpu+96(SB), X6
	MOVUPS	runtime·barefpu+112(SB), X7
	MOVUPS	runtime·barefpu+128(SB), X8
	MOVUPS	runtime·barefpu+144(SB), X9
	MOVUPS	runtime·barefpu+160(SB), X10
	MOVUPS	runtime·barefpu+176(SB), X11
	MOVUPS	runtime·barefpu+192(SB), X12
	MOVUPS	runtime·barefpu+208(SB), X13
	MOVUPS	runtime·barefpu+224(SB), X14
	MOVUPS	runtime·barefpu+240(SB), X15
	// Copies of memory go through these registers, secrets included: the record is cleared.
	XORL	CX, CX
	CLEARXMM(0)
	CLEARXMM(64)
	CLEARXMM(128)
	CLEARXMM(192)
	MOVW	SS, CX
	PUSHQ	CX
	PUSHQ	bareregs_sp(R11)
	PUSHQ	bareregs_flags(R11)
	XORL	CX, CX
	MOVW	CS, CX
	PUSHQ	CX
	PUSHQ	bareregs_pc(R11)
	MOVQ	bareregs_cx(R11), CX
	MOVQ	bareregs_r11(R11), R11
	IRETQ

// The 32 trap entries are 16 bytes apart. Each leaves the error code (0 where the CPU pushes none)
// and the vector on the stack.
#define PLAIN(n) \
	PUSHQ	$0; \
	PUSHQ	$n; \
	JMP	runtime·baretrap(SB); \
	PCALIGN	$16
#define CODED(n) \
	PUSHQ	$n; \
	JMP	runtime·baretrap(SB); \
	PCALIGN	$16

TEXT runtime·baretraps(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	PCALIGN	$16
	PLAIN(0)
	PLAIN(1)
	PLAIN(2)
	PLAIN(3)
	PLAIN(4)
	PLAIN(5)
	PLAIN(6)
	PLAIN(7)
	CODED(8)
	PLAIN(9)
	CODED(10)
	CODED(11)
	CODED(12)
	CODED(13)
	CODED(14)
	PLAIN(15)
	PLAIN(16)
	CODED(17)
	PLAIN(18)
	PLAIN(19)
	PLAIN(20)
	CODED(21)
	PLAIN(22)
	PLAIN(23)
	PLAIN(24)
	PLAIN(25)
	PLAIN(26)
	PLAIN(27)
	PLAIN(28)
	CODED(29)
	CODED(30)
	PLAIN(31)

// baretrap: vector, error code, RIP, CS, RFLAGS, RSP, SS on the stack.
TEXT runtime·baretrap(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	CMPL	runtime·bareinside(SB), $0
	JNE	dispatcher
	PUSHQ	R11
	MOVQ	runtime·barecur(SB), R11
	MOVQ	AX, bareregs_ax(R11)
	MOVQ	BX, bareregs_bx(R11)
	MOVQ	CX, bareregs_cx(R11)
	MOVQ	DX, bareregs_dx(R11)
	MOVQ	SI, bareregs_si(R11)
	MOVQ	DI, bareregs_di(R11)
	MOVQ	BP, bareregs_bp(R11)
	MOVQ	R8, bareregs_r8(R11)
	MOVQ	R9, bareregs_r9(R11)
	MOVQ	R10, bareregs_r10(R11)
	MOVQ	R12, bareregs_r12(R11)
	MOVQ	R13, bareregs_r13(R11)
	MOVQ	R14, bareregs_r14(R11)
	MOVQ	R15, bareregs_r15(R11)
	POPQ	AX
	MOVQ	AX, bareregs_r11(R11)
	POPQ	R12		// vector
	POPQ	R13		// error code
	POPQ	AX
	MOVQ	AX, bareregs_pc(R11)
	ADDQ	$8, SP
	POPQ	AX
	MOVQ	AX, bareregs_flags(R11)
	POPQ	AX
	MOVQ	AX, bareregs_sp(R11)
	MOVQ	CR2, R14
	CLD
	MOVUPS	X0, runtime·barefpu+0(SB)
	MOVUPS	X1, runtime·barefpu+16(SB)
	MOVUPS	X2, runtime·barefpu+32(SB)
	MOVUPS	X3, runtime·barefpu+48(SB)
	MOVUPS	X4, runtime·barefpu+64(SB)
	MOVUPS	X5, runtime·barefpu+80(SB)
	MOVUPS	X6, runtime·barefpu+96(SB)
	MOVUPS	X7, runtime·barefpu+112(SB)
	MOVUPS	X8, runtime·barefpu+128(SB)
	MOVUPS	X9, runtime·barefpu+144(SB)
	MOVUPS	X10, runtime·barefpu+160(SB)
	MOVUPS	X11, runtime·barefpu+176(SB)
	MOVUPS	X12, runtime·barefpu+192(SB)
	MOVUPS	X13, runtime·barefpu+208(SB)
	MOVUPS	X14, runtime·barefpu+224(SB)
	MOVUPS	X15, runtime·barefpu+240(SB)
	CALL	runtime·baregostack<>(SB)
	MOVQ	R12, 0(SP)
	MOVQ	R13, 8(SP)
	MOVQ	R14, 16(SP)
	LEAQ	runtime·baretrapped(SB), AX
	CALL	AX
	JMP	runtime·bareresume(SB)
dispatcher:
	// No state of the dispatcher can be trusted: leave, on an empty stack.
	POPQ	R12
	POPQ	R13
	POPQ	R14
	MOVQ	CR2, R15
	LEAQ	runtime·barestack+const_bareStackSize(SB), SP
	SUBQ	$64, SP
	get_tls(CX)
	LEAQ	runtime·bareg(SB), DX
	MOVQ	DX, g(CX)		// a hook has another g
	MOVQ	R12, 0(SP)
	MOVQ	R14, 8(SP)
	MOVQ	R15, 16(SP)
	LEAQ	runtime·barebroken(SB), AX
	CALL	AX
	JMP	0(PC)

TEXT runtime·barevectors(SB),NOSPLIT,$0-8
	LEAQ	runtime·baretraps(SB), AX
	ADDQ	$15, AX
	ANDQ	$~15, AX
	MOVQ	AX, ret+0(FP)
	RET

TEXT runtime·barewrfs(SB),NOSPLIT,$0-8
	MOVQ	base+0(FP), AX
	MOVQ	AX, DX
	SHRQ	$32, DX
	MOVL	$MSR_FS_BASE, CX
	WRMSR
	RET

TEXT runtime·barehalt(SB),NOSPLIT,$0
	HLT
	RET
