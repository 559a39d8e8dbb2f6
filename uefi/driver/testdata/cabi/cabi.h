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

/* meddle exchanges a number of commands. A timer event at TPL_CALLBACK connects drivers to all USB interfaces ("connect"), disconnects
 * them from the readers ("disconnect") or unloads them ("unload") whenever a call is in progress. */
EFI_STATUS meddle(system_table *system, reader *r, UINT64 count, const char *what);

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

/* refusals lets each firmware call of a driver fail once, in each of its phases, or in those whose letter is among phases: l(oad), s(tart), c(onnect), t(ransmit), d(isconnect), (sto)p, u(nload);
 * transfers of data and register accesses only from time to time: from the last one on, at a distance of 1/step of their
 * number. With room, all memory but that many MiB is taken before. It returns EFI_SUCCESS only if the driver went on
 * working and left nothing behind. */
EFI_STATUS refusals(system_table *system, EFI_HANDLE image, const loaded_image *self, const char *name, const char *options,
		    const char *phases, UINT64 step, UINT64 room);

/* shortage lets a driver live with all memory taken but 24 MiB, 23 MiB, and so on: it works, or says EFI_OUT_OF_RESOURCES,
 * and works when there is memory again. */
EFI_STATUS shortage(system_table *system, EFI_HANDLE image, const loaded_image *self, const char *name, const char *options);

/* short_runs does that with an application: it succeeds, or says EFI_OUT_OF_RESOURCES, and succeeds when there is memory again. */
EFI_STATUS short_runs(system_table *system, EFI_HANDLE image, const loaded_image *self, const char *name);

/* starve lets the driver's test build need more and more memory, which the firmware refuses: a call then says
 * EFI_OUT_OF_RESOURCES, and the driver goes on when there is memory again, up to its own limit. */
EFI_STATUS starve(system_table *system, EFI_HANDLE image, const loaded_image *self, const char *name, const char *options);

/* What they share with reload. read_file reads a file into pool memory, which is the caller's then; free_pages counts free pages;
 * settle waits until the firmware offers a number of USB interfaces; set_options gives a driver load options, in memory that
 * stays; openings counts the openings of these kinds of a protocol, on all handles; is_usb reports whether a handle has a USB
 * interface or is a USB host controller. */
EFI_STATUS read_file(boot_services *boot, EFI_HANDLE volume, const char *name, void **buffer, UINTN *size);
UINT64 free_pages(boot_services *boot);
EFI_STATUS settle(boot_services *boot, UINTN interfaces);
EFI_STATUS set_options(boot_services *boot, EFI_HANDLE driver, const char *options);
UINTN openings(boot_services *boot, const EFI_GUID *protocol, UINT32 kinds);
int is_usb(boot_services *boot, EFI_HANDLE handle);

extern const EFI_GUID usb_io_guid, pci_io_guid;

/* send sends one command, and compares the answer. */
EFI_STATUS send(reader *r, const UINT8 *command, UINTN length, const UINT8 *want, UINTN want_length);
extern const UINT8 success_answer[2];

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
