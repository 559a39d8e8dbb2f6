#include "check.h"

#include "console.h"

static UINT64 passed, failed;

static void verdict(int good, const char *what)
{
	if (good)
		passed++;
	else
		failed++;
	print("%s  %s", good ? "PASS" : "FAIL", what);
}

void check(int good, const char *what)
{
	verdict(good, what);
	print("\n");
}

void expect(EFI_STATUS got, EFI_STATUS want, const char *what)
{
	verdict(got == want, what);
	if (got != want)
		print(": status %x, want %x", got, want);
	print("\n");
}

void either(EFI_STATUS got, EFI_STATUS one, EFI_STATUS other, const char *what)
{
	expect(got, got == other ? other : one, what);
}

void guard(guarded *g)
{
	for (UINTN i = 0; i < sizeof g->bytes; i++)
		g->bytes[i] = GUARD;
}

int untouched(const guarded *g, UINTN from)
{
	for (UINTN i = from; i < sizeof g->bytes; i++)
		if (g->bytes[i] != GUARD)
			return 0;
	return 1;
}

int same(const void *a, const void *b, UINTN length)
{
	const UINT8 *x = a, *y = b;

	for (UINTN i = 0; i < length; i++)
		if (x[i] != y[i])
			return 0;
	return 1;
}

EFI_STATUS summary(void)
{
	print("%u passed, %u failed\n", passed, failed);
	return failed == 0 && passed > 0 ? EFI_SUCCESS : EFI_ABORTED;
}
