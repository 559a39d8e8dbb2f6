//go:build tamago && linux

#include "go_asm.h"
#include "textflag.h"

// cpuinit is the image's entry point:
// EFI_STATUS (EFIAPI *)(EFI_HANDLE ImageHandle, EFI_SYSTEM_TABLE *SystemTable).
TEXT cpuinit(SB),NOSPLIT|NOFRAME,$0
	MOVQ	CX, ·imageHandle(SB)
	MOVQ	DX, ·systemTable(SB)
	MOVL	$1, ·inside(SB)
	LEAQ	·bootstack+const_bootStackSize-16(SB), AX
	LEAQ	·first(SB), CX
	MOVQ	CX, (AX)
	MOVQ	AX, ·gosp(SB)
	SUBQ	$8, SP
	CALL	·enter(SB)
	ADDQ	$8, SP
	MOVL	$0, ·inside(SB)
	RET
