#include "cabi.h"
#include "check.h"
#include "console.h"

/* The registers that a call preserves (UEFI 2.11, 2.3.4.2): patterns before the call, and the
 * values afterwards. The x87 control word selects rounding down, MXCSR flushes to zero: a Go
 * program runs with neither. */
typedef struct {
	UINT32 mxcsr;
	UINT16 fcw, pad;
	UINT64 pad2;
	UINT64 xmm[10][2]; /* XMM6 to XMM15 */
	UINT64 integer[8]; /* RBX, RBP, RSI, RDI, R12 to R15 */
} kept;

typedef struct {
	EFI_STATUS status;
	UINT64 pad;
	kept found;
} result;

kept patterns = {.mxcsr = 0x9F80, .fcw = 0x077F};

/* call_with_patterns calls function(argument, NULL, ...), seven arguments, with the patterns in the
 * registers. */
void call_with_patterns(void *function, void *argument, result *r);

__asm__("\t.globl call_with_patterns\n"
	"call_with_patterns:\n"
	"\tpush %rbx\n"
	"\tpush %rbp\n"
	"\tpush %rsi\n"
	"\tpush %rdi\n"
	"\tpush %r12\n"
	"\tpush %r13\n"
	"\tpush %r14\n"
	"\tpush %r15\n"
	"\tsub $296, %rsp\n"
	"\tmovups %xmm6, 96(%rsp)\n"
	"\tmovups %xmm7, 112(%rsp)\n"
	"\tmovups %xmm8, 128(%rsp)\n"
	"\tmovups %xmm9, 144(%rsp)\n"
	"\tmovups %xmm10, 160(%rsp)\n"
	"\tmovups %xmm11, 176(%rsp)\n"
	"\tmovups %xmm12, 192(%rsp)\n"
	"\tmovups %xmm13, 208(%rsp)\n"
	"\tmovups %xmm14, 224(%rsp)\n"
	"\tmovups %xmm15, 240(%rsp)\n"
	"\tstmxcsr 256(%rsp)\n"
	"\tfnstcw 260(%rsp)\n"
	"\tmov %r8, 264(%rsp)\t/* address of the results */\n"
	"\tmov %rcx, %rax\n"
	"\tmov %rdx, %rcx\n"
	"\txor %edx, %edx\n"
	"\txor %r8d, %r8d\n"
	"\txor %r9d, %r9d\n"
	"\tmov %rdx, 32(%rsp)\t/* the arguments on the stack */\n"
	"\tmov %rdx, 40(%rsp)\t/* the arguments on the stack */\n"
	"\tmov %rdx, 48(%rsp)\t/* the arguments on the stack */\n"
	"\tldmxcsr patterns(%rip)\n"
	"\tfldcw 4+patterns(%rip)\n"
	"\tmovups 16+patterns(%rip), %xmm6\n"
	"\tmovups 32+patterns(%rip), %xmm7\n"
	"\tmovups 48+patterns(%rip), %xmm8\n"
	"\tmovups 64+patterns(%rip), %xmm9\n"
	"\tmovups 80+patterns(%rip), %xmm10\n"
	"\tmovups 96+patterns(%rip), %xmm11\n"
	"\tmovups 112+patterns(%rip), %xmm12\n"
	"\tmovups 128+patterns(%rip), %xmm13\n"
	"\tmovups 144+patterns(%rip), %xmm14\n"
	"\tmovups 160+patterns(%rip), %xmm15\n"
	"\tmov 176+patterns(%rip), %rbx\n"
	"\tmov 184+patterns(%rip), %rbp\n"
	"\tmov 192+patterns(%rip), %rsi\n"
	"\tmov 200+patterns(%rip), %rdi\n"
	"\tmov 208+patterns(%rip), %r12\n"
	"\tmov 216+patterns(%rip), %r13\n"
	"\tmov 224+patterns(%rip), %r14\n"
	"\tmov 232+patterns(%rip), %r15\n"
	"\tcall *%rax\n"
	"\tmov 264(%rsp), %r10\n"
	"\tmov %rax, (%r10)\n"
	"\tstmxcsr 16(%r10)\n"
	"\tfnstcw 20(%r10)\n"
	"\tmovups %xmm6, 32(%r10)\n"
	"\tmovups %xmm7, 48(%r10)\n"
	"\tmovups %xmm8, 64(%r10)\n"
	"\tmovups %xmm9, 80(%r10)\n"
	"\tmovups %xmm10, 96(%r10)\n"
	"\tmovups %xmm11, 112(%r10)\n"
	"\tmovups %xmm12, 128(%r10)\n"
	"\tmovups %xmm13, 144(%r10)\n"
	"\tmovups %xmm14, 160(%r10)\n"
	"\tmovups %xmm15, 176(%r10)\n"
	"\tmov %rbx, 192(%r10)\n"
	"\tmov %rbp, 200(%r10)\n"
	"\tmov %rsi, 208(%r10)\n"
	"\tmov %rdi, 216(%r10)\n"
	"\tmov %r12, 224(%r10)\n"
	"\tmov %r13, 232(%r10)\n"
	"\tmov %r14, 240(%r10)\n"
	"\tmov %r15, 248(%r10)\n"
	"\tldmxcsr 256(%rsp)\n"
	"\tfldcw 260(%rsp)\n"
	"\tmovups 96(%rsp), %xmm6\n"
	"\tmovups 112(%rsp), %xmm7\n"
	"\tmovups 128(%rsp), %xmm8\n"
	"\tmovups 144(%rsp), %xmm9\n"
	"\tmovups 160(%rsp), %xmm10\n"
	"\tmovups 176(%rsp), %xmm11\n"
	"\tmovups 192(%rsp), %xmm12\n"
	"\tmovups 208(%rsp), %xmm13\n"
	"\tmovups 224(%rsp), %xmm14\n"
	"\tmovups 240(%rsp), %xmm15\n"
	"\tadd $296, %rsp\n"
	"\tpop %r15\n"
	"\tpop %r14\n"
	"\tpop %r13\n"
	"\tpop %r12\n"
	"\tpop %rdi\n"
	"\tpop %rsi\n"
	"\tpop %rbp\n"
	"\tpop %rbx\n"
	"\tret\n");

EFI_STATUS registers(reader *r)
{
	static result after;
	UINT8 *p = (UINT8 *)&patterns.xmm;

	for (UINTN i = 0; i < sizeof patterns.xmm + sizeof patterns.integer; i++)
		p[i] = (UINT8)(17 * i + 3);
	call_with_patterns((void *)r->SCardStatus, r, &after);
	expect(after.status, EFI_SUCCESS, "Status of nothing, with patterns in the registers");
	check(same(after.found.xmm, patterns.xmm, sizeof patterns.xmm), "XMM6 to XMM15 are kept");
	check(same(after.found.integer, patterns.integer, sizeof patterns.integer),
	      "RBX, RBP, RSI, RDI and R12 to R15 are kept");
	check((after.found.mxcsr & ~0x3FU) == patterns.mxcsr, "MXCSR is kept");
	check(after.found.fcw == patterns.fcw, "the x87 control word is kept");
	return summary();
}
