/* Firmware functions that can be made to fail for one image. */
#ifndef REFUSE_H
#define REFUSE_H

#include "efi.h"

/* Kinds of functions. Those that transfer data or access registers are called often, so a test lets
 * only some of these calls fail. */
#define REFUSE_SERVICES 1
#define REFUSE_TRANSFERS 2

/* hook replaces the functions of the system table by ones that can fail. unhook restores them; it
 * must be called before the image ends. */
EFI_STATUS hook(EFI_SYSTEM_TABLE *system);
void unhook(void);

/* watch selects the image whose calls count. */
void watch(EFI_BOOT_SERVICES *boot, EFI_HANDLE image);

/* arm makes call n, counted from 1, of the watched image's calls of a kind fail. It hooks the USB
 * and PCI protocols too that exist at that moment. disarm ends that and returns how many calls of
 * that kind there were. */
void arm(UINT32 kind, UINT64 n);
UINT64 disarm(void);

/* deny makes every call of the watched image to the function of that name fail, until it is called
 * with NULL. */
void deny(const char *name);

/* The name of the function whose call failed, NULL if none did, and the status that the call
 * returned. */
const char *refused_name(void);
EFI_STATUS refused_status(void);

/* balance counts what the watched image has created and not freed: events, and pool memory between
 * arm and disarm. Pool memory whose FreePool failed counts as freed. */
typedef struct {
	INT64 events, pools;
} balance;

balance balanced(void);

#endif
