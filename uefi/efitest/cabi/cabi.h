/* The modes of cabi.efi. */
#ifndef CABI_H
#define CABI_H

#include "protocols.h"
#include "smartcard.h"

typedef EFI_SMART_CARD_READER_PROTOCOL reader;
extern EFI_GUID smart_card_reader_guid;

/* A control code of the driver's fault injection build (uefi/driver/faultinjection.go): a panic. */
#define FAULT_PANIC 0x7F000000U

/* Openings that are no plain look at a protocol: by a child, by a driver, or exclusive. */
#define OPEN_BY_ALL                                                                                \
	(EFI_OPEN_PROTOCOL_BY_CHILD_CONTROLLER | EFI_OPEN_PROTOCOL_BY_DRIVER |                     \
	 EFI_OPEN_PROTOCOL_EXCLUSIVE)

/* The test card's applet. After SELECT with its name, the command of four zeros returns a text. */
extern UINT8 select_command[15];
extern UINT8 hello_command[4];
extern const UINT8 hello_answer[14];

/* conform checks all six members against the specification, with a card in the reader. */
EFI_STATUS conform(reader *r);

/* conform_empty does so with no card in the reader. */
EFI_STATUS conform_empty(reader *r);

/* find returns the first reader. */
EFI_STATUS find(EFI_BOOT_SERVICES *boot, reader **r);

/* converse connects, sends a number of commands, checks each answer, and disconnects. It returns
 * the first status that is not success. done counts the commands that were answered. */
EFI_STATUS converse(reader *r, UINT64 count, UINT64 *done);

/* exchange is converse with a report: how often the timer of ticker.efi has ticked during it. */
EFI_STATUS exchange(EFI_SYSTEM_TABLE *system, reader *r, UINT64 count);

/* count_usb is the number of handles with EFI_USB_IO_PROTOCOL. */
UINTN count_usb(EFI_BOOT_SERVICES *boot);

/* call_inside exchanges a number of commands, while a timer event of a level calls the same reader.
 * Each such call must return EFI_ACCESS_DENIED and must not affect the exchange. */
EFI_STATUS call_inside(EFI_SYSTEM_TABLE *system, reader *r, UINT64 count, EFI_TPL level);

/* meddle exchanges a number of commands. While a call is in progress, a timer event at TPL_CALLBACK
 * connects drivers to all USB interfaces ("connect"), disconnects them from the readers
 * ("disconnect") or unloads them ("unload"). */
EFI_STATUS meddle(EFI_SYSTEM_TABLE *system, reader *r, UINT64 count, const char *what);

/* reload loads, connects, uses and unloads a driver file of the volume that this program came from,
 * a number of times, with load options. Each time it waits until the firmware has its USB
 * interfaces again. It returns EFI_SUCCESS only if every time succeeded and nothing of the driver
 * is left. It prints the number of free pages, from which the test computes what was lost. */
EFI_STATUS reload(EFI_SYSTEM_TABLE *system, EFI_HANDLE image, const EFI_LOADED_IMAGE_PROTOCOL *self,
		  const char *name, UINT64 times, const char *options);

/* count_readers is how many handles have the reader protocol. */
UINTN count_readers(EFI_BOOT_SERVICES *boot);

/* disconnect ends the use of the first reader that is a child of a USB host controller, or of that
 * controller. */
EFI_STATUS disconnect(EFI_SYSTEM_TABLE *system, int child);

/* restart stops and starts the firmware's own drivers for USB host controllers, a number of times,
 * and prints what reload prints. Memory that is lost in it is not lost by the driver under test. */
EFI_STATUS restart(EFI_SYSTEM_TABLE *system, UINT64 times);

/* refusals makes each firmware call of a driver fail once, in each of the phases whose letter is
 * among phases: l(oad), s(tart), c(onnect), t(ransmit), d(isconnect), (sto)p, u(nload). Of data
 * transfers and register accesses only some fail: the distance to the next one is 1/step of the
 * number of the last. With room, all memory but that many MiB is allocated before. It returns
 * EFI_SUCCESS only if the driver goes on working and leaves nothing behind. */
EFI_STATUS refusals(EFI_SYSTEM_TABLE *system, EFI_HANDLE image,
		    const EFI_LOADED_IMAGE_PROTOCOL *self, const char *name, const char *options,
		    const char *phases, UINT64 step, UINT64 room);

/* shortage runs a driver while all memory but 24 MiB, 23 MiB, and so on is allocated. The driver
 * works or returns EFI_OUT_OF_RESOURCES, and works when the memory is free again. */
EFI_STATUS shortage(EFI_SYSTEM_TABLE *system, EFI_HANDLE image,
		    const EFI_LOADED_IMAGE_PROTOCOL *self, const char *name, const char *options);

/* short_runs does the same with an application: it succeeds or returns EFI_OUT_OF_RESOURCES, and
 * succeeds when the memory is free again. */
EFI_STATUS short_runs(EFI_SYSTEM_TABLE *system, EFI_HANDLE image,
		      const EFI_LOADED_IMAGE_PROTOCOL *self, const char *name);

/* starve makes the driver's fault injection build allocate more and more memory, which the firmware
 * refuses. A call then returns EFI_OUT_OF_RESOURCES. When the firmware has memory again, the driver
 * goes on, up to its own limit. */
EFI_STATUS starve(EFI_SYSTEM_TABLE *system, EFI_HANDLE image, const EFI_LOADED_IMAGE_PROTOCOL *self,
		  const char *name, const char *options);

/* Functions of reload.c that refusals.c uses too. read_file reads a file into pool memory, which
 * the caller frees. free_pages counts free pages. settle waits until there is a number of USB
 * interfaces. set_options gives a driver load options, in static memory. openings counts the
 * openings of these kinds of a protocol, on all handles. is_usb reports whether a handle is a USB
 * interface or a USB host controller. */
EFI_STATUS read_file(EFI_BOOT_SERVICES *boot, EFI_HANDLE volume, const char *name, void **buffer,
		     UINTN *size);
UINT64 free_pages(EFI_BOOT_SERVICES *boot);
EFI_STATUS settle(EFI_BOOT_SERVICES *boot, UINTN interfaces);
EFI_STATUS set_options(EFI_BOOT_SERVICES *boot, EFI_HANDLE driver, const char *options);
UINTN openings(EFI_BOOT_SERVICES *boot, EFI_GUID *protocol, UINT32 kinds);
int is_usb(EFI_BOOT_SERVICES *boot, EFI_HANDLE handle);

extern EFI_GUID usb_io_guid, pci_io_guid;

/* send sends one command and compares the response. */
EFI_STATUS send(reader *r, UINT8 *command, UINTN length, const UINT8 *want, UINTN want_length);
extern const UINT8 success_answer[2];

/* registers checks that a call preserves the registers that it must preserve. */
EFI_STATUS registers(reader *r);

/* wild passes invalid addresses for each pointer of each function. Each call must fail, and the
 * next valid one succeed. */
EFI_STATUS wild(EFI_SYSTEM_TABLE *system, reader *r);

/* modes calls a function with unusual but valid contents of the processor's control and status
 * registers. */
EFI_STATUS modes(reader *r);

/* exit_services ends boot services: in the application, in a timer event at TPL_CALLBACK
 * ("callback") or TPL_NOTIFY ("notify"), or during a call of a function ("inside"). It prints on
 * the first serial port the state of the xHCI controllers before and after, and the statuses of the
 * functions afterwards, and switches the machine off. */
EFI_STATUS exit_services(EFI_SYSTEM_TABLE *system, EFI_HANDLE image, reader *r, const char *where);

/* equal reports whether two texts are the same. */
int equal(const char *a, const char *b);

/* report prints the result of SCardStatus. */
EFI_STATUS report(reader *r);

/* interrupt_line prints a word without a line end and makes the driver's fault injection build
 * panic, so that the driver prints a message. It does so for each of three words, one of them
 * empty. */
EFI_STATUS interrupt_line(reader *r);

/* count_ticks prints how often the timer of ticker.efi has ticked. */
EFI_STATUS count_ticks(EFI_SYSTEM_TABLE *system);

#endif
