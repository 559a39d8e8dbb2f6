/* Invalid addresses for each pointer of each function. */
#include "cabi.h"
#include "check.h"
#include "console.h"

/* Bits of an entry of a page table, and of CR0 and CR4 (Intel SDM volume 3, 4.5 and 2.5). */
#define ENTRY_WRITABLE 2ULL
#define ENTRY_LARGE 0x80ULL
#define ENTRY_ADDRESS 0x000FFFFFFFFFF000ULL
#define CR0_WP (1ULL << 16)
#define CR4_LA57 (1ULL << 12)

#define LARGE_PAGE (2ULL << 20)
#define PAGE 4096

static UINT64 large_page; /* its address; it is made read-only */

static const UINT64 addresses[] = {
	8,		    /* page 0 */
	0x700000000000,	    /* unmapped */
	0x700000000003,	    /* unmapped and unaligned */
	0x800000000000,	    /* non-canonical */
	0xDEADBEEFDEADBEEF, /* the same */
	0xFFFF800000000000, /* unmapped in the upper half */
	0xFFFFFFFFFFFFFFF8, /* the end of the upper half */
	0xFFFFFFFFFFFFFFFF, /* the same */
};

#define COUNT (sizeof addresses / sizeof addresses[0])

static UINT64 read_cr0(void)
{
	UINT64 v;

	__asm__ volatile("mov %%cr0, %0" : "=r"(v));
	return v;
}

static void write_cr0(UINT64 v)
{
	__asm__ volatile("mov %0, %%cr0" : : "r"(v) : "memory");
}

/* protect makes the 2 MiB at an address read-only, or writable again, in the entry of their page
 * directory. */
static int protect(UINT64 address, int writable)
{
	UINT64 cr0 = read_cr0(), cr3, cr4, *entry;
	int shift;

	__asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	entry = (UINT64 *)(cr3 & ENTRY_ADDRESS);
	for (shift = cr4 & CR4_LA57 ? 48 : 39;; shift -= 9) {
		entry += address >> shift & 511;
		if (shift == 21)
			break;
		if (*entry & ENTRY_LARGE)
			return 0;
		entry = (UINT64 *)(*entry & ENTRY_ADDRESS);
	}
	write_cr0(cr0 & ~CR0_WP); /* the tables may be read-only themselves */
	*entry = writable ? *entry | ENTRY_WRITABLE : *entry & ~ENTRY_WRITABLE;
	write_cr0(cr0 | CR0_WP);
	__asm__ volatile("mov %0, %%cr3" : : "r"(cr3) : "memory");
	return 1;
}

static UINT32 active;
static UINTN length;
static guarded buffer;

/* bad passes an address for each pointer. */
static void bad(reader *r, UINT64 address, int readable)
{
	void *p = (void *)address;
	UINT64 done;

	print("address %x\n", address);
	if (!readable)
		expect(r->SCardStatus((reader *)p, NULL, NULL, NULL, NULL, NULL, NULL),
		       EFI_INVALID_PARAMETER, "Status, This");
	expect(r->SCardConnect(r, SCARD_AM_READER, SCARD_CA_NORESET, SCARD_PROTOCOL_UNDEFINED, p),
	       EFI_INVALID_PARAMETER, "Connect to the reader, active");
	expect(r->SCardConnect(r, SCARD_AM_CARD, SCARD_CA_COLDRESET,
			       SCARD_PROTOCOL_T0 | SCARD_PROTOCOL_T1, p),
	       EFI_INVALID_PARAMETER, "Connect to the card, active");
	length = sizeof buffer.bytes;
	expect(r->SCardStatus(r, p, &length, NULL, NULL, NULL, NULL), EFI_INVALID_PARAMETER,
	       "Status, name");
	expect(r->SCardStatus(r, (CHAR16 *)buffer.bytes, p, NULL, NULL, NULL, NULL),
	       EFI_INVALID_PARAMETER, "Status, length of the name");
	expect(r->SCardStatus(r, NULL, NULL, p, NULL, NULL, NULL), EFI_INVALID_PARAMETER,
	       "Status, state");
	expect(r->SCardStatus(r, NULL, NULL, NULL, p, NULL, NULL), EFI_INVALID_PARAMETER,
	       "Status, protocol");
	expect(r->SCardStatus(r, NULL, NULL, NULL, NULL, p, &length), EFI_INVALID_PARAMETER,
	       "Status, ATR");
	expect(r->SCardStatus(r, NULL, NULL, NULL, NULL, buffer.bytes, p), EFI_INVALID_PARAMETER,
	       "Status, length of the ATR");
	expect(r->SCardControl(r, CM_IOCTL_GET_FEATURE_REQUEST, NULL, 0, p, &length),
	       EFI_INVALID_PARAMETER, "Control, output");
	expect(r->SCardControl(r, CM_IOCTL_GET_FEATURE_REQUEST, NULL, 0, buffer.bytes, p),
	       EFI_INVALID_PARAMETER, "Control, length of the output");

	expect(r->SCardConnect(r, SCARD_AM_CARD, SCARD_CA_COLDRESET,
			       SCARD_PROTOCOL_T0 | SCARD_PROTOCOL_T1, &active),
	       EFI_SUCCESS, "Connect");
	if (!readable) {
		expect(r->SCardTransmit(r, p, 4, buffer.bytes, &length), EFI_INVALID_PARAMETER,
		       "Transmit, command");
		expect(r->SCardControl(r, CM_IOCTL_GET_FEATURE_REQUEST, p, 4, buffer.bytes,
				       &length),
		       EFI_INVALID_PARAMETER, "Control, input");
	}
	length = 258;
	expect(r->SCardTransmit(r, hello_command, 4, p, &length), EFI_INVALID_PARAMETER,
	       "Transmit, response");
	expect(r->SCardTransmit(r, hello_command, 4, buffer.bytes, p), EFI_INVALID_PARAMETER,
	       "Transmit, length of the response");
	expect(r->SCardGetAttrib(r, SCARD_ATTR_ATR_STRING, p, &length), EFI_INVALID_PARAMETER,
	       "GetAttrib, output");
	expect(r->SCardGetAttrib(r, SCARD_ATTR_ATR_STRING, buffer.bytes, p), EFI_INVALID_PARAMETER,
	       "GetAttrib, length of the output");
	expect(r->SCardDisconnect(r, SCARD_CA_NORESET), EFI_SUCCESS, "Disconnect");
	expect(converse(r, 1, &done), EFI_SUCCESS, "an exchange afterwards");
}

EFI_STATUS wild(EFI_SYSTEM_TABLE *system, reader *r)
{
	UINT64 memory, cr0 = read_cr0();
	EFI_STATUS status = system->BootServices->AllocatePages(AllocateAnyPages, EfiLoaderData,
								2 * LARGE_PAGE / PAGE, &memory);

	if (status != EFI_SUCCESS)
		return status;
	guard(&buffer);
	for (UINTN i = 0; i < COUNT; i++)
		bad(r, addresses[i], 0);
	large_page = (memory + LARGE_PAGE - 1) & ~(LARGE_PAGE - 1);
	check(protect(large_page, 0), "memory is made read-only");
	/* The driver's copy of the page tables follows the firmware's at a page fault. */
	r->SCardStatus(r, NULL, NULL, (UINT32 *)addresses[1], NULL, NULL, NULL);
	bad(r, large_page + 64, 1);
	protect(large_page, 1);
	write_cr0(cr0);
	system->BootServices->FreePages(memory, 2 * LARGE_PAGE / PAGE);
	return summary();
}
