/* The modes of cabi.efi. */
#ifndef CABI_H
#define CABI_H

#include "smartcard.h"

/* The test card's applet: SELECT its name, then the empty command answers a text. */
extern const UINT8 select_command[15];
extern const UINT8 hello_command[4];
extern const UINT8 hello_answer[14];

/* conform checks all six members against the specification, with a card in the reader. */
EFI_STATUS conform(reader *r);

/* conform_empty does so with no card in the reader. */
EFI_STATUS conform_empty(reader *r);

/* find returns the first reader there is. */
EFI_STATUS find(boot_services *boot, reader **r);

/* converse connects, sends a number of commands, checks each answer, and disconnects. It returns the first status that is
 * not success. done counts the commands that were answered. */
EFI_STATUS converse(reader *r, UINT64 count, UINT64 *done);

/* exchange is converse with a report, which tells how often the timer of ticker.efi has ticked meanwhile. */
EFI_STATUS exchange(system_table *system, reader *r, UINT64 count);

/* count_usb is how many USB interfaces the firmware offers. */
UINTN count_usb(boot_services *boot);

/* call_inside exchanges a number of commands, while a timer event of a level calls the same reader; each such call must be refused with
 * EFI_ACCESS_DENIED and leave the exchange alone. */
EFI_STATUS call_inside(system_table *system, reader *r, UINT64 count, EFI_TPL level);

/* reload loads, connects, uses and unloads a driver file of the volume that this program came from, a number of times,
 * with load options, and waits each time until the firmware has its USB interfaces back. It returns EFI_SUCCESS only if that always went well and takes no memory: after the last time there are as many free
 * pages as there were after the tenth. */
EFI_STATUS reload(system_table *system, EFI_HANDLE image, const loaded_image *self, const char *name, UINT64 times,
		  const char *options);

/* count_readers is how many handles have the reader protocol. */
UINTN count_readers(boot_services *boot);

/* disconnect ends the use of the first reader that is a child of a USB host controller, or of that controller. */
EFI_STATUS disconnect(system_table *system, int child);

/* restart stops and starts the firmware's own drivers for USB host controllers, a number of times, and prints what reload
 * prints: what they leave behind is none of the driver's. */
EFI_STATUS restart(system_table *system, UINT64 times);

/* registers checks that a call leaves the caller's registers as they were. */
EFI_STATUS registers(reader *r);

/* wild passes bad addresses for each pointer of each member, and sees that each costs no more than the call. */
EFI_STATUS wild(system_table *system, reader *r);

/* modes calls a member with unusual but legal contents of the processor's control and status registers. */
EFI_STATUS modes(reader *r);

/* exit_services ends boot services somewhere: from the application, from a timer event at TPL_CALLBACK ("callback") or TPL_NOTIFY
 * ("notify"), or in the middle of a call of a member ("inside"). It prints on the first serial port what the xHCI controllers do
 * before and after, and what the members return then, and switches the machine off. */
EFI_STATUS exit_services(system_table *system, EFI_HANDLE image, reader *r, const char *where);

/* equal compares two texts. */
int equal(const char *a, const char *b);

/* report prints what the reader says of itself and its card. */
EFI_STATUS report(reader *r);

/* interrupt_line prints a word without a line end, and makes a member of the driver's test build panic, about which the driver
 * prints a message: twice, with nothing and with another word in between. */
EFI_STATUS interrupt_line(reader *r);

/* count_ticks prints how often the timer of ticker.efi has ticked. */
EFI_STATUS count_ticks(system_table *system);

#endif
