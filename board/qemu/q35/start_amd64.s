//go:build tamago

#include "go_asm.h"
#include "textflag.h"

// Control register bits (SDM volume 3, 2.5).
#define CR0_MP (1<<1)
#define CR0_EM (1<<2)
#define CR0_TS (1<<3)
#define CR4_OSFXSR (1<<9)
#define CR4_OSXMMEXCPT (1<<10)

#define CODE_SELECTOR 0x08
#define DATA_SELECTOR 0x10
#define TASK_SELECTOR 0x18

#define APIC_EOI 0xb0

// cpuinit is the program's entry point. On entry DI has the address of hvm_start_info and SI that
// of the bootinfo.Table (package bootinfo).
TEXT cpuinit(SB),NOSPLIT|NOFRAME,$0
	MOVQ	DI, ·loaderInfo(SB)
	MOVQ	SI, ·imageInfo(SB)
	LEAQ	·bootstack+const_bootStackSize-16(SB), SP
	MOVQ	CR0, AX
	ANDQ	$~(CR0_EM|CR0_TS), AX
	ORQ	$CR0_MP, AX
	MOVQ	AX, CR0
	MOVQ	CR4, AX
	ORQ	$(CR4_OSFXSR|CR4_OSXMMEXCPT), AX
	MOVQ	AX, CR4
	BYTE	$0xdb; BYTE $0xe3	// FNINIT
	LEAQ	·mxcsr(SB), AX
	LDMXCSR	(AX)
	PXOR	X15, X15
	JMP	_rt0_tamago_start(SB)

// func loadTables(gdt, idt *amd64.TableRegister)
TEXT ·loadTables(SB),NOSPLIT,$0-16
	MOVQ	gdt+0(FP), AX
	LGDT	(AX)
	MOVQ	idt+8(FP), AX
	LIDT	(AX)
	MOVW	$DATA_SELECTOR, AX
	MOVW	AX, DS
	MOVW	AX, ES
	MOVW	AX, SS
	MOVW	$TASK_SELECTOR, AX
	BYTE	$0x0f; BYTE $0x00; BYTE $0xd8	// LTR AX
	PUSHQ	$CODE_SELECTOR
	LEAQ	loaded<>(SB), AX
	PUSHQ	AX
	RETFQ

TEXT loaded<>(SB),NOSPLIT|NOFRAME,$0
	RET

// nap halts the processor until the next interrupt, which is taken on this stack. STI has effect
// after HLT has begun, so that no interrupt comes between them (SDM volume 2, STI).
//
// func nap()
TEXT ·nap(SB),NOSPLIT,$0
	STI
	HLT
	CLI
	RET

// func pause()
TEXT ·pause(SB),NOSPLIT,$0
	PAUSE
	RET

// func stop()
TEXT ·stop(SB),NOSPLIT,$0
	CLI
	HLT
	JMP	-2(PC)

// interrupt handles every interrupt: its only effect is that nap returns.
TEXT interrupt<>(SB),NOSPLIT|NOFRAME,$0
	PUSHQ	AX
	MOVQ	·apic(SB), AX
	TESTQ	AX, AX
	JZ	done
	MOVL	$0, APIC_EOI(AX)
done:
	POPQ	AX
	IRETQ

// spurious handles the local APIC's spurious interrupts, which get no EOI (SDM volume 3, 10.9).
TEXT spurious<>(SB),NOSPLIT|NOFRAME,$0
	IRETQ

// func vectors() (interrupt, spurious uintptr)
TEXT ·vectors(SB),NOSPLIT,$0-16
	LEAQ	interrupt<>(SB), AX
	MOVQ	AX, interrupt+0(FP)
	LEAQ	spurious<>(SB), AX
	MOVQ	AX, spurious+8(FP)
	RET
