#include "cabi.h"
#include "check.h"
#include "console.h"
#include "ticks.h"

UINT8 select_command[15] = {0x00, 0xA4, 0x04, 0x00, 0x0A, 0xA0, 0x00, 0x00,
			    0x00, 0x62, 0x03, 0x01, 0x0C, 0x06, 0x01};
UINT8 hello_command[4] = {0x00, 0x00, 0x00, 0x00};
const UINT8 hello_answer[14] = {'H', 'e', 'l', 'l', 'o', ' ',  'w',
				'o', 'r', 'l', 'd', '!', 0x90, 0x00};

const UINT8 success_answer[2] = {0x90, 0x00};

static EFI_STATUS failure(const char *what, UINT64 number, EFI_STATUS status)
{
	print("%s %u: status %x\n", what, number, status);
	return status;
}

/* ticked is how often the timer has ticked so far, 0 without ticker.efi. right reports whether the
 * count in floating point is the same. */
static UINT64 ticked(EFI_SYSTEM_TABLE *system, int *right)
{
	ticks *t;

	*right = 1;
	if (system->BootServices->LocateProtocol(&ticks_guid, NULL, (void **)&t) != EFI_SUCCESS)
		return 0;
	for (;;) {
		UINT64 count = t->count;
		double sum = t->sum;

		if (count == t->count) { /* no tick between the two reads */
			*right = sum == (double)count;
			return count;
		}
	}
}

EFI_STATUS count_ticks(EFI_SYSTEM_TABLE *system)
{
	int right;
	UINT64 count = ticked(system, &right);

	if (count == 0)
		return EFI_NOT_FOUND;
	print("%u ticks%s\n", count, right ? "" : ", and a sum that differs");
	return right ? EFI_SUCCESS : EFI_ABORTED;
}

EFI_STATUS send(reader *r, UINT8 *command, UINTN length, const UINT8 *want, UINTN want_length)
{
	static UINT8 answer[258];
	UINTN n = sizeof answer;
	EFI_STATUS status = r->SCardTransmit(r, command, length, answer, &n);

	if (status != EFI_SUCCESS)
		return status;
	if (n == want_length && same(answer, want, n))
		return EFI_SUCCESS;
	print("answer ");
	print_bytes(answer, n < sizeof answer ? n : sizeof answer);
	print("\n");
	return EFI_PROTOCOL_ERROR;
}

EFI_STATUS converse(reader *r, UINT64 count, UINT64 *done)
{
	UINT32 active;
	EFI_STATUS status;

	*done = 0;
	status = r->SCardConnect(r, SCARD_AM_CARD, SCARD_CA_COLDRESET,
				 SCARD_PROTOCOL_T0 | SCARD_PROTOCOL_T1, &active);
	if (status != EFI_SUCCESS)
		return failure("connect", 0, status);
	status = send(r, select_command, sizeof select_command, success_answer,
		      sizeof success_answer);
	while (status == EFI_SUCCESS && *done < count) {
		status = send(r, hello_command, sizeof hello_command, hello_answer,
			      sizeof hello_answer);
		*done += status == EFI_SUCCESS;
	}
	if (status != EFI_SUCCESS) {
		r->SCardDisconnect(r, SCARD_CA_NORESET);
		return failure("exchange", *done, status);
	}
	status = r->SCardDisconnect(r, SCARD_CA_NORESET);
	return status == EFI_SUCCESS ? status : failure("disconnect", 0, status);
}

EFI_STATUS exchange(EFI_SYSTEM_TABLE *system, reader *r, UINT64 count)
{
	UINT64 before, after, done;
	EFI_STATUS status;
	int right;

	before = ticked(system, &right);
	print("%u exchanges begin\n", count);
	status = converse(r, count, &done);
	after = ticked(system, &right);
	print("%u exchanges, %u ticks\n", done, after - before);
	if (!right) {
		print("the ticker's sum differs from its count\n");
		return EFI_ABORTED;
	}
	return status;
}

EFI_STATUS report(reader *r)
{
	static CHAR16 name[256];
	static UINT8 atr[33];
	UINTN name_length = sizeof name, atr_length = sizeof atr;
	UINT32 state = 0, protocol = 0;
	EFI_STATUS status =
		r->SCardStatus(r, name, &name_length, &state, &protocol, atr, &atr_length);

	if (status != EFI_SUCCESS)
		return failure("status", 0, status);
	print("state %u, protocol %u, name %u bytes, ATR ", (UINT64)state, (UINT64)protocol,
	    name_length);
	print_bytes(atr, atr_length);
	print("\n");
	return EFI_SUCCESS;
}

EFI_STATUS interrupt_line(reader *r)
{
	static const char *words[] = {"one", "", "two"};

	for (UINTN i = 0; i < sizeof words / sizeof words[0]; i++) {
		print(words[i]);
		if (r->SCardControl(r, FAULT_PANIC, NULL, 0, NULL, NULL) != EFI_DEVICE_ERROR) {
			print("\nno panic: this is not the driver's test build\n");
			return EFI_ABORTED;
		}
	}
	print("three\n");
	return EFI_SUCCESS;
}
