//go:build tamago

#include "textflag.h"

// The layout of ring.
#define RING_WRITTEN 0
#define RING_TAKEN 4
#define RING_FAILED 8
#define RING_SLOTS 12
#define SLOT_SIZE 128
#define SLOT_DATA 4
#define SLOTS 16
#define DATA_MAX 124

// func recordPC() uintptr
TEXT ·recordPC(SB), NOSPLIT, $0-8
	LEAQ	·record(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

// record is EFI_ASYNC_USB_TRANSFER_CALLBACK (UEFI 2.11, 17.2.4), called by firmware: RCX data, RDX
// length, R8 the ring, R9 the transfer's result. It keeps every register but those that a called
// function may change.
TEXT ·record(SB), NOSPLIT|NOFRAME, $0-0
	TESTQ	R8, R8
	JEQ	done
	TESTL	R9, R9
	JNE	failed
	TESTQ	CX, CX
	JEQ	done
	TESTQ	DX, DX
	JEQ	done

	// the next slot, or the newest one when all are taken
	MOVL	RING_WRITTEN(R8), AX
	MOVL	AX, R10
	SUBL	RING_TAKEN(R8), R10
	CMPL	R10, $SLOTS
	JLT	room
	DECL	AX
room:
	MOVL	AX, R10
	ANDL	$(SLOTS-1), R10
	SHLQ	$7, R10		// SLOT_SIZE
	LEAQ	RING_SLOTS(R8)(R10*1), R10

	CMPQ	DX, $DATA_MAX
	JLS	fits
	MOVQ	$DATA_MAX, DX
fits:
	MOVL	DX, (R10)
copy:
	MOVB	-1(CX)(DX*1), R11
	MOVB	R11, (SLOT_DATA-1)(R10)(DX*1)
	DECQ	DX
	JNE	copy

	INCL	AX
	MOVL	AX, RING_WRITTEN(R8)
done:
	XORL	AX, AX		// EFI_SUCCESS
	RET
failed:
	MOVL	R9, RING_FAILED(R8)
	XORL	AX, AX
	RET
