/* The protocol that ticker.efi installs. */
#ifndef TICKS_H
#define TICKS_H

#include "efi.h"

static EFI_GUID ticks_guid = {
	0x6E1F7B0A, 0x5C63, 0x4D0C, {0x9B, 0x55, 0x1D, 0x7A, 0x32, 0xE4, 0x08, 0xC1}};

typedef struct {
	volatile UINT64 count;
	/* The same count kept in floating point. It is wrong as soon as the vector registers of the
	 * interrupted code or of the handler are not restored. */
	volatile double sum;
} ticks;

#endif
