//go:build tamago && !linux

#include "go_asm.h"
#include "textflag.h"

// Offsets in EFI_SYSTEM_TABLE and EFI_BOOT_SERVICES (UEFI 2.11, 4.3, 4.4), and of SizeOfImage from
// the PE signature (Microsoft PE format, optional header).
#define ST_BOOTSERVICES 96
#define BS_ALLOCATEPAGES 40
#define BS_FREEPAGES 48
#define DOS_LFANEW 60
#define PE_SIZEOFIMAGE 80

#define ALLOCATE_ADDRESS 2
#define BOOT_SERVICES_DATA 4

#define L_START 32
#define L_PAGES 40
#define L_STATUS 48
#define L_SIZE 56

// cpuinit is the entry point of an image at a fixed address, as the TamaGo compiler makes it. The
// runtime's heap and first stack are the memory between the image's end and the end of RamSize.
// cpuinit takes that memory from firmware and gives it back when the image leaves. Without it the
// image ends with EFI_OUT_OF_RESOURCES.
TEXT cpuinit(SB),NOSPLIT|NOFRAME,$0
	MOVQ	CX, ·imageHandle(SB)
	MOVQ	DX, ·systemTable(SB)
	MOVL	$1, ·inside(SB)
	SUBQ	$L_SIZE, SP
	MOVQ	runtime∕goos·RamStart(SB), R10
	MOVLQZX	DOS_LFANEW(R10), AX
	ADDQ	R10, AX
	MOVLQZX	PE_SIZEOFIMAGE(AX), R11
	LEAQ	4095(R10)(R11*1), R11
	ANDQ	$~4095, R11
	MOVQ	R11, L_START(SP)
	MOVQ	R10, R8
	ADDQ	runtime∕goos·RamSize(SB), R8
	SUBQ	R11, R8
	SHRQ	$12, R8
	MOVQ	R8, L_PAGES(SP)
	MOVQ	ST_BOOTSERVICES(DX), R10
	MOVL	$ALLOCATE_ADDRESS, CX
	MOVL	$BOOT_SERVICES_DATA, DX
	LEAQ	L_START(SP), R9
	CALL	BS_ALLOCATEPAGES(R10)
	TESTQ	AX, AX
	MOVQ	$const_statusOutOfResources, AX
	JNZ	out
	MOVQ	runtime∕goos·RamStart(SB), AX
	ADDQ	runtime∕goos·RamSize(SB), AX
	SUBQ	runtime∕goos·RamStackOffset(SB), AX
	LEAQ	·first(SB), CX
	MOVQ	CX, (AX)
	MOVQ	AX, ·gosp(SB)
	CALL	·enter(SB)
	MOVQ	AX, L_STATUS(SP)
	MOVQ	·systemTable(SB), R10
	MOVQ	ST_BOOTSERVICES(R10), R10
	MOVQ	L_START(SP), CX
	MOVQ	L_PAGES(SP), DX
	CALL	BS_FREEPAGES(R10)
	MOVQ	L_STATUS(SP), AX
out:
	MOVL	$0, ·inside(SB)
	ADDQ	$L_SIZE, SP
	RET
