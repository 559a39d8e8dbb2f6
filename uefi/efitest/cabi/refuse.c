#include "refuse.h"

#include "cabi.h"

/* A driver calls firmware through tables of function pointers: boot and runtime services (UEFI
 * 2.11, 4.4, 4.5), the console (12.4), EFI_RNG_PROTOCOL (37.5), EFI_USB_IO_PROTOCOL (17.2.4),
 * EFI_PCI_IO_PROTOCOL (14.4). A hook replaces one function of such a table. Instances of a protocol
 * share hooks if they share functions; other instances are not hooked. */

#define HEADER 24 /* of a table of services: EFI_TABLE_HEADER */
#define MAX_HOOKS 96
#define ARGUMENTS 12

typedef struct {
	const char *name;
	EFI_STATUS status; /* of a failure, 0: this function does not fail */
	UINT32 kind;
} function;

#define NEVER(name) {name, 0, 0}
#define SERVICE(name, status) {name, status, REFUSE_SERVICES}
#define TRANSFER(name) {name, EFI_DEVICE_ERROR, REFUSE_TRANSFERS}

/* Functions without a status do not fail, nor do those that cannot fail by specification (Stall) or
 * do not return. */
static const function boot_functions[] = {
	NEVER("RaiseTPL"),
	NEVER("RestoreTPL"),
	SERVICE("AllocatePages", EFI_OUT_OF_RESOURCES),
	SERVICE("FreePages", EFI_NOT_FOUND),
	SERVICE("GetMemoryMap", EFI_INVALID_PARAMETER),
	SERVICE("AllocatePool", EFI_OUT_OF_RESOURCES),
	SERVICE("FreePool", EFI_INVALID_PARAMETER),
	SERVICE("CreateEvent", EFI_OUT_OF_RESOURCES),
	SERVICE("SetTimer", EFI_INVALID_PARAMETER),
	SERVICE("WaitForEvent", EFI_UNSUPPORTED),
	SERVICE("SignalEvent", EFI_INVALID_PARAMETER),
	SERVICE("CloseEvent", EFI_INVALID_PARAMETER),
	SERVICE("CheckEvent", EFI_INVALID_PARAMETER),
	SERVICE("InstallProtocolInterface", EFI_OUT_OF_RESOURCES),
	SERVICE("ReinstallProtocolInterface", EFI_ACCESS_DENIED),
	SERVICE("UninstallProtocolInterface", EFI_ACCESS_DENIED),
	SERVICE("HandleProtocol", EFI_UNSUPPORTED),
	NEVER("Reserved"),
	SERVICE("RegisterProtocolNotify", EFI_OUT_OF_RESOURCES),
	SERVICE("LocateHandle", EFI_NOT_FOUND),
	SERVICE("LocateDevicePath", EFI_NOT_FOUND),
	SERVICE("InstallConfigurationTable", EFI_OUT_OF_RESOURCES),
	SERVICE("LoadImage", EFI_OUT_OF_RESOURCES),
	SERVICE("StartImage", EFI_OUT_OF_RESOURCES),
	NEVER("Exit"),
	SERVICE("UnloadImage", EFI_UNSUPPORTED),
	SERVICE("ExitBootServices", EFI_INVALID_PARAMETER),
	SERVICE("GetNextMonotonicCount", EFI_DEVICE_ERROR),
	NEVER("Stall"),
	SERVICE("SetWatchdogTimer", EFI_DEVICE_ERROR),
	SERVICE("ConnectController", EFI_NOT_FOUND),
	SERVICE("DisconnectController", EFI_DEVICE_ERROR),
	SERVICE("OpenProtocol", EFI_OUT_OF_RESOURCES),
	SERVICE("CloseProtocol", EFI_NOT_FOUND),
	SERVICE("OpenProtocolInformation", EFI_OUT_OF_RESOURCES),
	SERVICE("ProtocolsPerHandle", EFI_OUT_OF_RESOURCES),
	SERVICE("LocateHandleBuffer", EFI_OUT_OF_RESOURCES),
	SERVICE("LocateProtocol", EFI_NOT_FOUND),
	SERVICE("InstallMultipleProtocolInterfaces", EFI_OUT_OF_RESOURCES),
	SERVICE("UninstallMultipleProtocolInterfaces", EFI_INVALID_PARAMETER),
	SERVICE("CalculateCrc32", EFI_INVALID_PARAMETER),
	NEVER("CopyMem"),
	NEVER("SetMem"),
	SERVICE("CreateEventEx", EFI_OUT_OF_RESOURCES),
};
static const function time_functions[] = {SERVICE("GetTime", EFI_DEVICE_ERROR)};
static const function text_functions[] = {NEVER("Reset"),
					  SERVICE("OutputString", EFI_DEVICE_ERROR)};
static const function random_functions[] = {SERVICE("RNG.GetInfo", EFI_UNSUPPORTED),
					    SERVICE("RNG.GetRNG", EFI_NOT_READY)};
static const function usb_functions[] = {
	TRANSFER("UsbControlTransfer"),
	TRANSFER("UsbBulkTransfer"),
	SERVICE("UsbAsyncInterruptTransfer", EFI_OUT_OF_RESOURCES),
	TRANSFER("UsbSyncInterruptTransfer"),
	TRANSFER("UsbIsochronousTransfer"),
	TRANSFER("UsbAsyncIsochronousTransfer"),
	SERVICE("UsbGetDeviceDescriptor", EFI_INVALID_PARAMETER),
	SERVICE("UsbGetConfigDescriptor", EFI_NOT_FOUND),
	SERVICE("UsbGetInterfaceDescriptor", EFI_NOT_FOUND),
	SERVICE("UsbGetEndpointDescriptor", EFI_OUT_OF_RESOURCES),
	SERVICE("UsbGetStringDescriptor", EFI_NOT_FOUND),
	SERVICE("UsbGetSupportedLanguages", EFI_NOT_FOUND),
	SERVICE("UsbPortReset", EFI_DEVICE_ERROR),
};
static const function pci_functions[] = {
	TRANSFER("PollMem"),
	TRANSFER("PollIo"),
	TRANSFER("Mem.Read"),
	TRANSFER("Mem.Write"),
	TRANSFER("Io.Read"),
	TRANSFER("Io.Write"),
	SERVICE("Pci.Read", EFI_UNSUPPORTED),
	SERVICE("Pci.Write", EFI_UNSUPPORTED),
	SERVICE("CopyMem", EFI_UNSUPPORTED),
	SERVICE("Map", EFI_OUT_OF_RESOURCES),
	SERVICE("Unmap", EFI_DEVICE_ERROR),
	SERVICE("AllocateBuffer", EFI_OUT_OF_RESOURCES),
	SERVICE("FreeBuffer", EFI_INVALID_PARAMETER),
	SERVICE("Flush", EFI_DEVICE_ERROR),
	SERVICE("GetLocation", EFI_INVALID_PARAMETER),
	SERVICE("Attributes", EFI_UNSUPPORTED),
	SERVICE("GetBarAttributes", EFI_UNSUPPORTED),
	SERVICE("SetBarAttributes", EFI_UNSUPPORTED),
};

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* A table has consecutive hooks: for one instance, or for all instances of a protocol. */
typedef struct {
	const function *functions;
	UINTN count, first;
} table;

enum { BOOT, TIME, OUTPUT, ERRORS, RANDOM, USB, PCI, TABLES };

static table tables[TABLES] = {
	[BOOT] = {boot_functions, COUNT(boot_functions), 0},
	[TIME] = {time_functions, COUNT(time_functions), 0},
	[OUTPUT] = {text_functions, COUNT(text_functions), 0},
	[ERRORS] = {text_functions, COUNT(text_functions), 0},
	[RANDOM] = {random_functions, COUNT(random_functions), 0},
	[USB] = {usb_functions, COUNT(usb_functions), 0},
	[PCI] = {pci_functions, COUNT(pci_functions), 0},
};

static EFI_GUID random_guid = {
	0x3152BCA5, 0xEADE, 0x433D, {0x86, 0x2E, 0xC0, 0x1C, 0xDC, 0x29, 0x1F, 0x44}};

/* The assembly below uses these two. */
void *refuse_originals[MAX_HOOKS];
UINT64 refuse_base, refuse_size; /* of the watched image, in memory */

static const function *hooks[MAX_HOOKS];
static EFI_BOOT_SERVICES *services;
static void **fixed[TABLES]; /* tables with a single instance */

static UINT32 armed;
static UINT64 wanted, counted;
static const function *refused;
static const char *denied;
static balance sum;

/* A stub for each hook. The stubs differ by their address only. */
extern UINT8 refuse_stubs[];
__asm__(".balign 8\n"
	".globl refuse_stubs\n"
	"refuse_stubs:\n"
	".rept 96\n" /* MAX_HOOKS */
	"	call refuse_common\n"
	"	.balign 8\n"
	".endr\n"
	"refuse_common:\n"
	"	pop %rax\n"
	"	lea refuse_stubs(%rip), %r10\n"
	"	sub %r10, %rax\n"
	"	shr $3, %rax\n"
	"	mov (%rsp), %r11\n" /* where the caller goes on */
	"	sub refuse_base(%rip), %r11\n"
	"	cmp refuse_size(%rip), %r11\n"
	"	jb 1f\n"
	"	lea refuse_originals(%rip), %r10\n"
	"	jmp *(%r10, %rax, 8)\n"
	"1:	lea 40(%rsp), %r10\n" /* the fifth argument */
	"	push %r9\n"
	"	push %r8\n"
	"	push %rdx\n"
	"	push %rcx\n"
	"	mov %rsp, %rdx\n"
	"	mov %rax, %rcx\n"
	"	mov %r10, %r8\n"
	"	sub $40, %rsp\n"
	"	call refuse_intercept\n"
	"	add $72, %rsp\n"
	"	ret\n");
_Static_assert(MAX_HOOKS == 96, "the number of stubs");

typedef UINT64(EFIAPI *any)(UINT64, UINT64, UINT64, UINT64, UINT64, UINT64, UINT64, UINT64, UINT64,
			    UINT64, UINT64, UINT64);

static int is(const function *f, const char *name)
{
	const char *a = f->name;

	for (; *a == *name; a++, name++)
		if (*a == 0)
			return 1;
	return 0;
}

/* account updates the balance for a call that succeeded, or that was made to fail. */
static void account(const function *f, int failed)
{
	if (is(f, "CreateEvent") || is(f, "CreateEventEx"))
		sum.events += !failed;
	else if (is(f, "CloseEvent"))
		sum.events -= !failed;
	else if (is(f, "AllocatePool") || is(f, "LocateHandleBuffer") ||
		 is(f, "OpenProtocolInformation") || is(f, "ProtocolsPerHandle") ||
		 is(f, "UsbGetStringDescriptor"))
		sum.pools += armed != 0 && !failed;
	else if (is(f, "FreePool"))
		sum.pools -= armed != 0;
}

/* disturb writes the results of a USB transfer that failed (UEFI 2.11, 17.2.4:
 * EFI_USB_ERR_SYSTEM). */
static void disturb(const function *f, const UINT64 *a, const UINT64 *more)
{
	const UINT32 system_error = 0x100;

	if (is(f, "UsbControlTransfer"))
		*(UINT32 *)more[2] = system_error;
	if (is(f, "UsbBulkTransfer") || is(f, "UsbSyncInterruptTransfer")) {
		*(UINTN *)a[3] = 0;
		*(UINT32 *)more[1] = system_error;
	}
}

/* refuse_intercept is called instead of the function for each call of the watched image. */
UINT64 refuse_intercept(UINT64 index, const UINT64 *a, const UINT64 *more)
{
	const function *f = hooks[index];
	UINT64 status;

	if (denied != NULL && is(f, denied))
		return f->status;
	if ((f->kind & armed) != 0 && ++counted == wanted) {
		refused = f;
		disturb(f, a, more);
		account(f, 1);
		return f->status;
	}
	status = ((any)refuse_originals[index])(a[0], a[1], a[2], a[3], more[0], more[1], more[2],
						more[3], more[4], more[5], more[6], more[7]);
	if (status == EFI_SUCCESS)
		account(f, 0);
	return status;
}

static void *stub(UINTN index)
{
	return &refuse_stubs[8 * index];
}

/* replace puts a table's stubs into an instance, for those functions that the stubs call. */
static void replace(const table *t, void **instance)
{
	for (UINTN i = 0; i < t->count; i++) {
		void **original = &refuse_originals[t->first + i];

		if (instance[i] == NULL || instance[i] == stub(t->first + i))
			continue;
		if (*original == NULL)
			*original = instance[i];
		if (*original == instance[i])
			instance[i] = stub(t->first + i);
	}
}

static void restore(const table *t, void **instance)
{
	for (UINTN i = 0; i < t->count; i++)
		if (instance[i] == stub(t->first + i))
			instance[i] = refuse_originals[t->first + i];
}

/* each calls act for all instances of a protocol. */
static void each(const table *t, EFI_GUID *protocol, void (*act)(const table *t, void **instance))
{
	EFI_HANDLE *handles;
	UINTN count = 0;
	void **instance;

	if (services->LocateHandleBuffer(ByProtocol, protocol, NULL, &count, &handles) !=
	    EFI_SUCCESS)
		return;
	for (UINTN i = 0; i < count; i++)
		if (services->HandleProtocol(handles[i], protocol, (void **)&instance) ==
		    EFI_SUCCESS)
			act(t, instance);
	services->FreePool(handles);
}

EFI_STATUS hook(EFI_SYSTEM_TABLE *system)
{
	UINTN n = 0;

	services = system->BootServices;
	for (UINTN k = 0; k < TABLES; k++) {
		tables[k].first = n;
		for (UINTN i = 0; i < tables[k].count; i++)
			hooks[n + i] = &tables[k].functions[i];
		n += tables[k].count;
	}
	if (n > MAX_HOOKS)
		return EFI_BUFFER_TOO_SMALL;
	fixed[BOOT] = (void **)((UINT8 *)services + HEADER);
	fixed[TIME] = (void **)((UINT8 *)system->RuntimeServices + HEADER);
	fixed[OUTPUT] = (void **)system->ConOut;
	fixed[ERRORS] = system->StdErr == system->ConOut ? NULL : (void **)system->StdErr;
	if (services->LocateProtocol(&random_guid, NULL, (void **)&fixed[RANDOM]) != EFI_SUCCESS)
		fixed[RANDOM] = NULL;
	for (UINTN k = 0; k < TABLES; k++)
		if (fixed[k] != NULL)
			replace(&tables[k], fixed[k]);
	return EFI_SUCCESS;
}

void unhook(void)
{
	for (UINTN k = 0; k < TABLES; k++)
		if (fixed[k] != NULL)
			restore(&tables[k], fixed[k]);
}

void watch(EFI_BOOT_SERVICES *boot, EFI_HANDLE image)
{
	EFI_LOADED_IMAGE_PROTOCOL *loaded;

	refuse_size = 0;
	if (boot->HandleProtocol(image, &loaded_image_guid, (void **)&loaded) != EFI_SUCCESS)
		return;
	refuse_base = (UINT64)loaded->ImageBase;
	refuse_size = loaded->ImageSize;
}

void arm(UINT32 kind, UINT64 n)
{
	each(&tables[USB], &usb_io_guid, replace);
	each(&tables[PCI], &pci_io_guid, replace);
	refused = NULL;
	counted = 0;
	wanted = n;
	armed = kind;
}

UINT64 disarm(void)
{
	armed = 0;
	each(&tables[USB], &usb_io_guid, restore);
	each(&tables[PCI], &pci_io_guid, restore);
	return counted;
}

void deny(const char *name)
{
	denied = name;
}

const char *refused_name(void)
{
	return refused == NULL ? NULL : refused->name;
}

EFI_STATUS refused_status(void)
{
	return refused == NULL ? EFI_SUCCESS : refused->status;
}

balance balanced(void)
{
	return sum;
}
