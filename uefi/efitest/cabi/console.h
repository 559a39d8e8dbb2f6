/* Text output on the console. */
#ifndef CONSOLE_H
#define CONSOLE_H

#include "efi.h"

void console_init(EFI_SYSTEM_TABLE *system);

/* print writes text: %s is a string, %u a number, %x one in base 16; both numbers are UINT64. */
void print(const char *format, ...);

void print_bytes(const UINT8 *bytes, UINTN length);

#endif
