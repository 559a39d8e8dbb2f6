/* A call of a function in processor states that the calling convention leaves to the caller. */
#include "cabi.h"
#include "check.h"
#include "console.h"

/* Intel SDM volume 1, 3.4.3, 8.1.3, 8.1.5 and 10.2.3. */
#define FLAG_NT (1ULL << 14)
#define FLAG_AC (1ULL << 18)
#define FCW_ALL 0x037F
#define FCW_ZERO_DIVIDE 0x037B /* the same without the mask of zero divides */
#define FSW_SUMMARY 0x80
#define MXCSR_UNMASKED 0x1D84 /* zero divides unmasked, and one noted */

static UINT16 fcw;
static UINT32 mxcsr;

static void set_flags(UINT64 flags)
{
	__asm__ volatile("push %0\n\tpopf" : : "r"(flags) : "memory", "cc");
}

static UINT64 get_flags(void)
{
	UINT64 flags;

	__asm__ volatile("pushf\n\tpop %0" : "=r"(flags));
	return flags;
}

static EFI_STATUS call(reader *r)
{
	UINT32 state;

	return r->SCardStatus(r, NULL, NULL, &state, NULL, NULL, NULL);
}

EFI_STATUS modes(reader *r)
{
	EFI_STATUS status;
	UINT16 fsw;
	UINT64 before = get_flags(), after, done;

	fcw = FCW_ZERO_DIVIDE;
	__asm__ volatile("fninit\n\tfldcw %0\n\tfld1\n\tfldz\n\tfdivrp" : : "m"(fcw));
	__asm__ volatile("fnstsw %0" : "=m"(fsw));
	check(fsw & FSW_SUMMARY, "an x87 exception is pending");
	status = call(r);
	__asm__ volatile("fnstsw %0\n\tfnstcw %1" : "=m"(fsw), "=m"(fcw));
	__asm__ volatile("fninit");
	expect(status, EFI_SUCCESS, "Status with a pending x87 exception");
	check(fcw == FCW_ZERO_DIVIDE, "the x87 control word is kept");
	check(!(fsw & FSW_SUMMARY), "the exception is not pending any more");

	mxcsr = MXCSR_UNMASKED;
	__asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
	status = call(r);
	__asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
	expect(status, EFI_SUCCESS, "Status with an unmasked SSE exception");
	check(mxcsr == MXCSR_UNMASKED, "MXCSR is kept");
	mxcsr = 0x1F80;
	__asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));

	set_flags(before | FLAG_NT | FLAG_AC);
	status = call(r);
	after = get_flags();
	set_flags(before);
	expect(status, EFI_SUCCESS, "Status with the flags NT and AC");
	check((after & FLAG_NT) && (after & FLAG_AC), "the flags are kept");

	expect(converse(r, 1, &done), EFI_SUCCESS, "an exchange afterwards");
	return summary();
}
