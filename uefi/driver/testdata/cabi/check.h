/* Checks that count themselves, and buffers whose overrun is noticed. */
#ifndef CHECK_H
#define CHECK_H

#include "efi.h"

/* Each prints a line that begins with PASS or FAIL. */
void check(int good, const char *what);
void expect(EFI_STATUS got, EFI_STATUS want, const char *what);
/* either is for what the specification leaves open. */
void either(EFI_STATUS got, EFI_STATUS one, EFI_STATUS other, const char *what);

/* summary prints the counts; it is EFI_SUCCESS only if something was checked and nothing failed. */
EFI_STATUS summary(void);

/* A guarded buffer is filled with a pattern; what a call must not touch still has it afterwards. */
#define GUARD 0xA5

typedef struct {
	_Alignas(16) UINT8 bytes[1024];
} guarded;

void guard(guarded *g);
/* untouched says whether the pattern is whole from an offset on. */
int untouched(const guarded *g, UINTN from);

int same(const void *a, const void *b, UINTN length);

#endif
