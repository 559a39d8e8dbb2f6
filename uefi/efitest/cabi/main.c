/*
 * cabi.efi calls EFI_SMART_CARD_READER_PROTOCOL as any C program does: through the table of
 * function pointers that firmware returns for the GUID.
 *
 *	cabi.efi			check all six functions; the hello card is in the reader
 *	cabi.efi nocard			check them with an empty reader
 *	cabi.efi apdus NUMBER		connect, and exchange that many commands
 *	cabi.efi nested NUMBER [callback]
 *					exchange that many commands; calls from an event above
 *					TPL_CALLBACK, or at it, are refused during these
 *	cabi.efi meddle NUMBER WHAT	exchange that many commands, while an event at TPL_CALLBACK
 *					connects, disconnects or unloads
 *	cabi.efi registers		check that a call preserves registers
 *	cabi.efi wild			call the functions with invalid addresses
 *	cabi.efi modes			call a function in unusual processor states
 *	cabi.efi exit WHERE		end boot services and call the functions afterwards:
 *					application, callback, notify or inside
 *	cabi.efi status			print state, name and ATR
 *	cabi.efi typed			print a word without a line end, and make the driver's fault
 *					injection build print a message
 *	cabi.efi reload FILE NUMBER [OPTIONS]
 *					load, use and unload a driver, and count free pages
 *	cabi.efi restart NUMBER		stop and start the firmware's USB host drivers, and count
 *					free pages
 *	cabi.efi readers		print how many readers there are
 *	cabi.efi disconnect child|controller
 *					disconnect the first child handle with a reader, or its
 *					host controller
 *	cabi.efi refuse FILE OPTIONS PHASES STEP [MIB]
 *					make each firmware call of a driver fail once
 *	cabi.efi starve FILE OPTIONS	refuse memory to the driver's fault injection build
 *	cabi.efi short FILE [OPTIONS]	run a driver or, without options, an application with little
 *					free memory
 *	cabi.efi usb			print how many USB interfaces there are
 *	cabi.efi ticks			print how often ticker.efi's timer has ticked
 *
 * It prints a line for each check, and returns EFI_SUCCESS only if all checks passed.
 */
#include "cabi.h"
#include "check.h"
#include "console.h"

EFI_GUID smart_card_reader_guid = EFI_SMART_CARD_READER_PROTOCOL_GUID;

#define MAX_WORDS 8
#define MAX_WORD 32

static char words[MAX_WORDS][MAX_WORD];

/* split splits the command line into words. The first is the program's name (UEFI Shell 2.2,
 * 3.6). */
static void split(const EFI_LOADED_IMAGE_PROTOCOL *self)
{
	UINTN length = self->LoadOptionsSize / sizeof(CHAR16);
	UINTN word = 0, n = 0;

	for (UINTN i = 0; i < length && self->LoadOptions[i] != 0 && word < MAX_WORDS; i++) {
		CHAR16 c = self->LoadOptions[i];

		if (c == ' ') {
			word += n > 0;
			n = 0;
		} else if (n < MAX_WORD - 1) {
			words[word][n++] = (char)c;
		}
	}
}

int equal(const char *a, const char *b)
{
	for (; *a == *b; a++, b++)
		if (*a == 0)
			return 1;
	return 0;
}

static UINT64 number(const char *s)
{
	UINT64 n = 0;

	for (; *s >= '0' && *s <= '9'; s++)
		n = 10 * n + (UINT64)(*s - '0');
	return n;
}

EFI_STATUS find(EFI_BOOT_SERVICES *boot, reader **r)
{
	EFI_HANDLE *handles;
	UINTN count = 0;
	EFI_STATUS status;

	status = boot->LocateHandleBuffer(ByProtocol, &smart_card_reader_guid, NULL, &count,
					  &handles);
	if (status != EFI_SUCCESS)
		return status;
	status = boot->HandleProtocol(handles[0], &smart_card_reader_guid, (void **)r);
	boot->FreePool(handles);
	return status;
}

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
	const char *mode = words[1];
	EFI_LOADED_IMAGE_PROTOCOL *self;
	reader *r;
	EFI_STATUS status;

	console_init(system);
	status = system->BootServices->HandleProtocol(image, &loaded_image_guid, (void **)&self);
	if (status != EFI_SUCCESS)
		return status;
	split(self);
	if (equal(mode, "ticks"))
		return count_ticks(system);
	if (equal(mode, "reload"))
		return reload(system, image, self, words[2], number(words[3]), words[4]);
	if (equal(mode, "restart"))
		return restart(system, number(words[2]));
	if (equal(mode, "readers")) {
		print("%u readers\n", (UINT64)count_readers(system->BootServices));
		return EFI_SUCCESS;
	}
	if (equal(mode, "disconnect"))
		return disconnect(system, equal(words[2], "child"));
	if (equal(mode, "refuse"))
		return refusals(system, image, self, words[2], words[3], words[4], number(words[5]),
				number(words[6]));
	if (equal(mode, "starve"))
		return starve(system, image, self, words[2], words[3]);
	if (equal(mode, "short") && equal(words[3], ""))
		return short_runs(system, image, self, words[2]);
	if (equal(mode, "short"))
		return shortage(system, image, self, words[2], words[3]);
	if (equal(mode, "usb")) {
		print("%u USB interfaces\n", (UINT64)count_usb(system->BootServices));
		return EFI_SUCCESS;
	}
	status = find(system->BootServices, &r);
	if (status != EFI_SUCCESS) {
		print("no smart card reader: status %x\n", status);
		return status;
	}
	if (equal(mode, ""))
		return conform(r);
	if (equal(mode, "nocard"))
		return conform_empty(r);
	if (equal(mode, "apdus"))
		return exchange(system, r, number(words[2]));
	if (equal(mode, "nested"))
		return call_inside(system, r, number(words[2]),
				   equal(words[3], "callback") ? TPL_CALLBACK : TPL_NOTIFY);
	if (equal(mode, "meddle"))
		return meddle(system, r, number(words[2]), words[3]);
	if (equal(mode, "registers"))
		return registers(r);
	if (equal(mode, "wild"))
		return wild(system, r);
	if (equal(mode, "modes"))
		return modes(r);
	if (equal(mode, "exit"))
		return exit_services(system, image, r, words[2]);
	if (equal(mode, "status"))
		return report(r);
	if (equal(mode, "typed"))
		return interrupt_line(r);
	print("no mode %s\n", mode);
	return EFI_INVALID_PARAMETER;
}
