/* cabi.efi calls EFI_SMART_CARD_READER_PROTOCOL the way any C program does: through the table of function pointers that
 * the firmware hands out for the GUID.
 *
 *	cabi.efi                check all six members; a card with the hello applet is in the reader
 *	cabi.efi nocard         check them with an empty reader
 *	cabi.efi apdus NUMBER   connect, and exchange that many commands
 *	cabi.efi nested NUMBER [callback]   exchange that many commands, and see that calls from an event above TPL_CALLBACK, or at it,
 *	                        are refused meanwhile
 *	cabi.efi meddle NUMBER WHAT   exchange that many commands, while an event at TPL_CALLBACK connects, disconnects or unloads
 *	cabi.efi registers      see that a call keeps the registers that are the caller's
 *	cabi.efi wild           call the members with bad addresses
 *	cabi.efi modes          call a member in unusual processor states
 *	cabi.efi exit WHERE     end boot services and call the members then: application, callback, notify or inside
 *	cabi.efi status         print state, name and ATR
 *	cabi.efi typed          print a word without a line end, and make the driver's test build print a message
 *	cabi.efi reload FILE NUMBER [OPTIONS]   load, use and unload a driver that many times, and look for lost memory
 *	cabi.efi restart NUMBER   stop and start the firmware's USB host drivers that many times, and count memory
 *	cabi.efi readers        print how many readers there are
 *	cabi.efi disconnect child|controller   disconnect the first child handle with a reader, or the host controller of it
 *	cabi.efi refuse FILE OPTIONS PHASES STEP [MIB]   let each firmware call of a driver fail once
 *	cabi.efi starve FILE OPTIONS   let the driver's test build need memory that it does not get
 *	cabi.efi short FILE [OPTIONS]   load a driver or, without options, run an application with little memory left
 *	cabi.efi usb            print how many USB interfaces the firmware offers
 *	cabi.efi ticks          print how often ticker.efi's timer has ticked
 *
 * It prints a line for each check, and returns EFI_SUCCESS only if all was well. */
#include "cabi.h"
#include "check.h"
#include "console.h"

#define MAX_WORDS 8
#define MAX_WORD 32

static char words[MAX_WORDS][MAX_WORD];

/* split takes the command line apart; the first word is the program's name (UEFI Shell 2.2, 3.6). */
static void split(const loaded_image *self)
{
	UINTN length = self->load_options_size / sizeof(CHAR16);
	UINTN word = 0, n = 0;

	for (UINTN i = 0; i < length && self->load_options[i] != 0 && word < MAX_WORDS; i++) {
		CHAR16 c = self->load_options[i];

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

EFI_STATUS find(boot_services *boot, reader **r)
{
	EFI_HANDLE *handles;
	UINTN count = 0;
	EFI_STATUS status;

	status = boot->locate_handle_buffer(BY_PROTOCOL, &smart_card_reader_guid, NULL, &count, &handles);
	if (status != EFI_SUCCESS)
		return status;
	status = boot->handle_protocol(handles[0], &smart_card_reader_guid, (void **)r);
	boot->free_pool(handles);
	return status;
}

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, system_table *system)
{
	const char *mode = words[1];
	loaded_image *self;
	reader *r;
	EFI_STATUS status;

	console_init(system);
	status = system->boot->handle_protocol(image, &loaded_image_guid, (void **)&self);
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
		say("%u readers\n", (UINT64)count_readers(system->boot));
		return EFI_SUCCESS;
	}
	if (equal(mode, "disconnect"))
		return disconnect(system, equal(words[2], "child"));
	if (equal(mode, "refuse"))
		return refusals(system, image, self, words[2], words[3], words[4], number(words[5]), number(words[6]));
	if (equal(mode, "starve"))
		return starve(system, image, self, words[2], words[3]);
	if (equal(mode, "short") && equal(words[3], ""))
		return short_runs(system, image, self, words[2]);
	if (equal(mode, "short"))
		return shortage(system, image, self, words[2], words[3]);
	if (equal(mode, "usb")) {
		say("%u USB interfaces\n", (UINT64)count_usb(system->boot));
		return EFI_SUCCESS;
	}
	status = find(system->boot, &r);
	if (status != EFI_SUCCESS) {
		say("no smart card reader: status %x\n", status);
		return status;
	}
	if (equal(mode, ""))
		return conform(r);
	if (equal(mode, "nocard"))
		return conform_empty(r);
	if (equal(mode, "apdus"))
		return exchange(system, r, number(words[2]));
	if (equal(mode, "nested"))
		return call_inside(system, r, number(words[2]), equal(words[3], "callback") ? TPL_CALLBACK : TPL_NOTIFY);
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
	say("no mode %s\n", mode);
	return EFI_INVALID_PARAMETER;
}
