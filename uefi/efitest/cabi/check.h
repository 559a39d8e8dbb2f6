/* Checks, which are counted, and buffers that show what was written beyond their end. */
#ifndef CHECK_H
#define CHECK_H

#include "efi.h"

/* Each prints a line that begins with PASS or FAIL. */
void check(int good, const char *what);
void expect(EFI_STATUS got, EFI_STATUS want, const char *what);
/* either is for a call for which the specification allows two statuses. */
void either(EFI_STATUS got, EFI_STATUS one, EFI_STATUS other, const char *what);

/* summary prints the counts; it is EFI_SUCCESS only if something was checked and nothing failed. */
EFI_STATUS summary(void);

/* A guarded buffer is filled with a pattern. Bytes that a call must not write still have it
 * afterwards. */
#define GUARD 0xA5

typedef struct {
	_Alignas(16) UINT8 bytes[1024];
} guarded;

void guard(guarded *g);
/* untouched reports whether the bytes from an offset on still have the pattern. */
int untouched(const guarded *g, UINTN from);

int same(const void *a, const void *b, UINTN length);

#endif
