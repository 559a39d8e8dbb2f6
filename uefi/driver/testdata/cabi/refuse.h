/* Firmware whose functions can be made to fail for one image. */
#ifndef REFUSE_H
#define REFUSE_H

#include "efi.h"

/* What fails. Functions that transfer data or access registers are called often, so that a test leaves some out. */
#define REFUSE_SERVICES 1
#define REFUSE_TRANSFERS 2

/* hook replaces the functions of the system table by ones that can fail, unhook restores them. An image that hooks
 * unhooks before it ends. */
EFI_STATUS hook(system_table *system);
void unhook(void);

/* watch says whose calls count. */
void watch(boot_services *boot, EFI_HANDLE image);

/* arm makes call n, counted from 1, of the watched image's calls of a kind fail once. It replaces the functions of the
 * USB and PCI protocols too, as they are at that moment. disarm ends that, and returns how many calls of that kind there
 * were. */
void arm(UINT32 kind, UINT64 n);
UINT64 disarm(void);

/* deny makes every call of a function of that name fail, of the watched image's calls; NULL ends that. */
void deny(const char *name);

/* What the call did that failed, NULL if none did; and the status that it returned. */
const char *refused_name(void);
EFI_STATUS refused_status(void);

/* balance is what the watched image has created and not given back: events, and pool memory of the time between arm and
 * disarm. Pool memory that firmware refused to take back counts as taken back. */
typedef struct {
	INT64 events, pools;
} balance;

balance balanced(void);

#endif
