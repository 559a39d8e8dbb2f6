/* ExitBootServices at different moments, and the state of controllers and driver afterwards. */
#include "cabi.h"
#include "console.h"

/* The first serial port (16550), and PCI's configuration mechanism 1 (PCI 3.0, 3.2.2.3.2). */
#define SERIAL 0x3F8
#define SERIAL_STATUS 0x3FD
#define SERIAL_EMPTY 0x20
#define PCI_ADDRESS 0xCF8
#define PCI_DATA 0xCFC
#define PCI_ENABLE 0x80000000U

/* PCI 3.0, 6.1; xHCI 1.2, 5.2 to 5.4. */
#define CONFIG_COMMAND 0x04
#define CONFIG_CLASS 0x08
#define CONFIG_BAR 0x10
#define COMMAND_MASTER 4
#define CLASS_XHCI 0x0C0330
#define USBCMD 0x00
#define USBSTS 0x04

/* The LPC bridge's power management registers (ICH9, 13.1.13 and 13.8.3): sleep type 0 is QEMU's
 * for "soft off". */
#define LPC 31
#define LPC_PMBASE 0x40
#define PM1_CONTROL 4
#define PM1_SLEEP 0x2000

#define TRIES 8		  /* of ExitBootServices, policy */
#define PATIENCE 20000	  /* policy: exchanges until a timer event has found a call in progress */
#define MILLISECOND 10000 /* UEFI 2.11, 7.1: timer periods are in units of 100 ns */

static EFI_SYSTEM_TABLE *st;
static EFI_HANDLE self;
static reader *r;
static volatile int in_call, done;

static void out8(UINT16 port, UINT8 v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static void out16(UINT16 port, UINT16 v)
{
	__asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port));
}

static UINT8 in8(UINT16 port)
{
	UINT8 v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static UINT32 config(UINT32 slot, UINT32 offset)
{
	UINT32 v;

	__asm__ volatile("outl %0, %1"
			 :
			 : "a"(PCI_ENABLE | slot << 11 | offset), "Nd"((UINT16)PCI_ADDRESS));
	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"((UINT16)PCI_DATA));
	return v;
}

static void serial_print(const char *s)
{
	for (; *s != 0; s++) {
		while (!(in8(SERIAL_STATUS) & SERIAL_EMPTY))
			;
		out8(SERIAL, (UINT8)*s);
	}
}

static void print_hex(UINT64 v)
{
	char s[2] = {0, 0};
	int shift = 60;

	while (shift > 0 && v >> shift == 0)
		shift -= 4;
	for (; shift >= 0; shift -= 4) {
		s[0] = "0123456789abcdef"[v >> shift & 15];
		serial_print(s);
	}
}

/* look prints what each xHCI controller does. */
static void look(const char *moment)
{
	for (UINT32 slot = 0; slot < 32; slot++) {
		volatile UINT8 *base;
		volatile UINT32 *operational;

		if (config(slot, CONFIG_CLASS) >> 8 != CLASS_XHCI)
			continue;
		base = (volatile UINT8 *)(((UINT64)config(slot, CONFIG_BAR + 4) << 32 |
					   config(slot, CONFIG_BAR)) &
					  ~15ULL);
		operational = (volatile UINT32 *)(base + base[0]);
		serial_print("exit: ");
		serial_print(moment);
		serial_print(": run ");
		print_hex(operational[USBCMD / 4] & 1);
		serial_print(" halted ");
		print_hex(operational[USBSTS / 4] & 1);
		serial_print(" master ");
		print_hex(config(slot, CONFIG_COMMAND) / COMMAND_MASTER & 1);
		serial_print("\r\n");
	}
}

/* end ends boot services (UEFI 2.11, 7.4.6). It reads the memory map again when the key is
 * stale. */
static EFI_STATUS end(void)
{
	static UINT8 map[64 << 10];
	EFI_BOOT_SERVICES *boot = st->BootServices;
	EFI_STATUS status = EFI_ABORTED;

	for (int i = 0; i < TRIES && status != EFI_SUCCESS; i++) {
		UINTN size = sizeof map, key, step;
		UINT32 version;

		status = boot->GetMemoryMap(&size, (VOID *)map, &key, &step, &version);
		if (status == EFI_SUCCESS)
			status = boot->ExitBootServices(self, key);
	}
	serial_print("exit: status ");
	print_hex(status);
	serial_print("\r\n");
	return status;
}

static void result(const char *member, EFI_STATUS status)
{
	serial_print("exit: ");
	serial_print(member);
	serial_print(status == EFI_DEVICE_ERROR ? ": device error\r\n" : ": another status\r\n");
}

/* members calls each function of the protocol. */
static void members(void)
{
	static UINT8 buffer[258];
	UINT32 word;
	UINTN length = sizeof buffer;

	result("Connect", r->SCardConnect(r, SCARD_AM_CARD, SCARD_CA_COLDRESET,
					  SCARD_PROTOCOL_T0 | SCARD_PROTOCOL_T1, &word));
	result("Disconnect", r->SCardDisconnect(r, SCARD_CA_NORESET));
	result("Status", r->SCardStatus(r, NULL, NULL, &word, NULL, NULL, NULL));
	result("Transmit",
	       r->SCardTransmit(r, hello_command, sizeof hello_command, buffer, &length));
	result("Control",
	       r->SCardControl(r, CM_IOCTL_GET_FEATURE_REQUEST, NULL, 0, buffer, &length));
	result("GetAttrib", r->SCardGetAttrib(r, SCARD_ATTR_ATR_STRING, buffer, &length));
}

/* finish switches the machine off without firmware: called from a notification at TPL_NOTIFY,
 * OVMF's ResetSystem does not return and does not switch off. */
static void finish(void)
{
	look("after");
	members();
	look("later");
	serial_print("exit: end\r\n");
	out16((UINT16)((config(LPC, LPC_PMBASE) & 0xFF80) + PM1_CONTROL), PM1_SLEEP);
	for (;;)
		;
}

/* at_once ends boot services and does not return, as the loader of an operating system. */
static void EFIAPI at_once(EFI_EVENT event, void *context)
{
	(void)event;
	(void)context;
	if (end() == EFI_SUCCESS)
		finish();
	done = 1;
}

/* in_a_call does nothing until a call is in progress. Then it ends boot services at the TPL of that
 * call. */
static void EFIAPI in_a_call(EFI_EVENT event, void *context)
{
	(void)context;
	if (!in_call || done)
		return;
	st->BootServices->SetTimer(event, TimerCancel, 0);
	done = 1;
	st->BootServices->RestoreTPL(TPL_CALLBACK);
	if (end() == EFI_SUCCESS)
		look("inside");
}

static EFI_STATUS by_timer(EFI_TPL level, EFI_EVENT_NOTIFY notify, UINT32 kind)
{
	EFI_EVENT timer;
	EFI_STATUS status = st->BootServices->CreateEvent(EVT_TIMER | EVT_NOTIFY_SIGNAL, level,
							  notify, NULL, &timer);

	return status == EFI_SUCCESS ? st->BootServices->SetTimer(timer, kind, MILLISECOND)
				     : status;
}

static EFI_STATUS transmit(void)
{
	static UINT8 buffer[258];
	UINTN length = sizeof buffer;
	EFI_STATUS status;

	in_call = 1;
	status = r->SCardTransmit(r, hello_command, sizeof hello_command, buffer, &length);
	in_call = 0;
	return status;
}

EFI_STATUS exit_services(EFI_SYSTEM_TABLE *system, EFI_HANDLE image, reader *rd, const char *where)
{
	EFI_STATUS status;
	UINT32 active;

	st = system;
	self = image;
	r = rd;
	status = r->SCardConnect(r, SCARD_AM_CARD, SCARD_CA_COLDRESET,
				 SCARD_PROTOCOL_T0 | SCARD_PROTOCOL_T1, &active);
	if (status != EFI_SUCCESS)
		return status;
	look("before");
	if (equal(where, "application")) {
		status = end();
	} else if (equal(where, "callback")) {
		status = by_timer(TPL_CALLBACK, at_once, TimerRelative);
	} else if (equal(where, "notify")) {
		status = by_timer(TPL_NOTIFY, at_once, TimerRelative);
	} else if (equal(where, "inside")) {
		status = by_timer(TPL_NOTIFY, in_a_call, TimerPeriodic);
		for (UINTN i = 0; i < PATIENCE && status == EFI_SUCCESS; i++)
			status = transmit();
		result("the call in progress", status);
		status = done ? EFI_SUCCESS : EFI_TIMEOUT;
	} else {
		status = EFI_INVALID_PARAMETER;
	}
	if (status != EFI_SUCCESS)
		return status;
	if (!equal(where, "application"))
		while (!done)
			__asm__ volatile("pause");
	finish();
	return EFI_ABORTED;
}
