#include "cabi.h"
#include "console.h"

#define MAX_NAME 64

static EFI_GUID file_system_guid = {
	0x964E5B22, 0x6459, 0x11D2, {0x8E, 0x39, 0x00, 0xA0, 0xC9, 0x69, 0x72, 0x3B}};
/* In microseconds: how long the firmware may take to find its devices again, or a driver its
 * reader, and the time between two looks (policy). */
#define PATIENCE 10000000
#define STEP 10000

EFI_GUID pci_io_guid = {
	0x4CF5B200, 0x68B8, 0x4CA5, {0x9E, 0xEC, 0xB2, 0x3E, 0x3F, 0x50, 0x02, 0x9A}};
EFI_GUID usb_io_guid = {
	0x2B2F68D6, 0x0CD2, 0x44CF, {0x8E, 0x8B, 0xBB, 0xA2, 0x0B, 0x1B, 0x5B, 0x75}};

EFI_STATUS read_file(EFI_BOOT_SERVICES *boot, EFI_HANDLE volume, const char *name, void **buffer,
		     UINTN *size)
{
	CHAR16 wide[MAX_NAME] = {0};
	EFI_SIMPLE_FILE_SYSTEM_PROTOCOL *fs;
	EFI_FILE_PROTOCOL *root, *f;
	EFI_STATUS status;

	for (UINTN i = 0; i < MAX_NAME - 1 && name[i] != 0; i++)
		wide[i] = (UINT8)name[i];
	status = boot->HandleProtocol(volume, &file_system_guid, (void **)&fs);
	if (status != EFI_SUCCESS)
		return status;
	status = fs->OpenVolume(fs, &root);
	if (status != EFI_SUCCESS)
		return status;
	status = root->Open(root, &f, wide, EFI_FILE_MODE_READ, 0);
	root->Close(root);
	if (status != EFI_SUCCESS)
		return status;
	f->SetPosition(f, END_OF_FILE);
	f->GetPosition(f, size);
	f->SetPosition(f, 0);
	status = boot->AllocatePool(EfiLoaderData, *size, buffer);
	if (status == EFI_SUCCESS) {
		UINTN got = *size;

		status = f->Read(f, &got, *buffer);
		if (status == EFI_SUCCESS && got != *size)
			status = EFI_BAD_BUFFER_SIZE;
		if (status != EFI_SUCCESS)
			boot->FreePool(*buffer);
	}
	f->Close(f);
	return status;
}

UINT64 free_pages(EFI_BOOT_SERVICES *boot)
{
	static UINT8 map[64 << 10];
	UINTN size = sizeof map, key, step;
	UINT64 pages = 0;
	UINT32 version;

	if (boot->GetMemoryMap(&size, (VOID *)map, &key, &step, &version) != EFI_SUCCESS)
		return 0;
	for (UINTN at = 0; at + step <= size; at += step) {
		const EFI_MEMORY_DESCRIPTOR *d = (const void *)&map[at];

		if (d->Type == EfiConventionalMemory)
			pages += d->NumberOfPages;
	}
	return pages;
}

/* remains prints how many pages are free after a round. */
static void remains(EFI_BOOT_SERVICES *boot, UINT64 round, UINT64 times)
{
	if (round == 1 || round % 10 == 0 || round == times)
		print("round %u: %u pages free\n", round, free_pages(boot));
}

/* 14.4: the used part of EFI_PCI_IO_PROTOCOL. */
typedef struct pci_io {
	void *poll[2], *memory[2], *io[2];
	EFI_STATUS(EFIAPI *config_read)
	(struct pci_io *this, UINT32 width, UINT32 offset, UINTN count, void *buffer);
} pci_io;

#define PCI_WIDTH_UINT32 2
#define PCI_CLASS 8	 /* PCI Local Bus Specification 3.0, 6.1: above the revision */
#define CLASS_USB 0x0C03 /* xHCI 1.2, 5.2.1, without the programming interface */

/* is_usb reports whether a handle is a USB interface or a USB host controller. Only these are
 * connected: the firmware's drivers for other functions lose memory. */
int is_usb(EFI_BOOT_SERVICES *boot, EFI_HANDLE handle)
{
	UINT32 class = 0;
	pci_io *pci;

	if (boot->HandleProtocol(handle, &pci_io_guid, (void **)&pci) != EFI_SUCCESS)
		return 1;
	return pci->config_read(pci, PCI_WIDTH_UINT32, PCI_CLASS, 1, &class) == EFI_SUCCESS &&
	       class >> 16 == CLASS_USB;
}

/* connect connects drivers to the USB handles with a protocol. */
static void connect(EFI_BOOT_SERVICES *boot, EFI_GUID *protocol)
{
	EFI_HANDLE *handles;
	UINTN count = 0;

	if (boot->LocateHandleBuffer(ByProtocol, protocol, NULL, &count, &handles) != EFI_SUCCESS)
		return;
	for (UINTN i = 0; i < count; i++)
		if (is_usb(boot, handles[i]))
			boot->ConnectController(handles[i], NULL, NULL, 1);
	boot->FreePool(handles);
}

UINTN openings(EFI_BOOT_SERVICES *boot, EFI_GUID *protocol, UINT32 kinds)
{
	EFI_HANDLE *handles;
	UINTN count = 0, found = 0, n;
	EFI_OPEN_PROTOCOL_INFORMATION_ENTRY *all;

	if (boot->LocateHandleBuffer(ByProtocol, protocol, NULL, &count, &handles) != EFI_SUCCESS)
		return 0;
	for (UINTN i = 0; i < count; i++) {
		if (boot->OpenProtocolInformation(handles[i], protocol, &all, &n) != EFI_SUCCESS)
			continue;
		for (UINTN k = 0; k < n; k++)
			found += (all[k].Attributes & kinds) != 0;
		boot->FreePool(all);
	}
	boot->FreePool(handles);
	return found;
}

/* having is the number of handles with a protocol. */
static UINTN having(EFI_BOOT_SERVICES *boot, EFI_GUID *protocol)
{
	EFI_HANDLE *handles;
	UINTN count = 0;

	if (boot->LocateHandleBuffer(ByProtocol, protocol, NULL, &count, &handles) != EFI_SUCCESS)
		return 0;
	boot->FreePool(handles);
	return count;
}

UINTN count_usb(EFI_BOOT_SERVICES *boot)
{
	return having(boot, &usb_io_guid);
}

UINTN count_readers(EFI_BOOT_SERVICES *boot)
{
	return having(boot, &smart_card_reader_guid);
}

/* settle waits until the firmware has its USB interfaces again: its bus driver enumerates devices
 * from a timer event. */
EFI_STATUS settle(EFI_BOOT_SERVICES *boot, UINTN interfaces)
{
	for (UINTN waited = 0; count_usb(boot) != interfaces; waited += STEP) {
		if (waited >= PATIENCE) {
			print("%u USB interfaces, there were %u\n", (UINT64)count_usb(boot),
			    (UINT64)interfaces);
			return EFI_TIMEOUT;
		}
		boot->Stall(STEP);
	}
	return EFI_SUCCESS;
}

/* set_options gives a driver load options, in static memory. */
EFI_STATUS set_options(EFI_BOOT_SERVICES *boot, EFI_HANDLE driver, const char *options)
{
	static CHAR16 wide[MAX_NAME];
	EFI_LOADED_IMAGE_PROTOCOL *loaded;
	EFI_STATUS status = boot->HandleProtocol(driver, &loaded_image_guid, (void **)&loaded);
	UINTN n = 0;

	if (status != EFI_SUCCESS)
		return status;
	for (; n < MAX_NAME - 1 && options[n] != 0; n++)
		wide[n] = (UINT8)options[n];
	wide[n] = 0;
	loaded->LoadOptions = wide;
	loaded->LoadOptionsSize = (UINT32)((n + 1) * sizeof(CHAR16));
	return EFI_SUCCESS;
}

/* once loads, uses and unloads the driver. */
static EFI_STATUS once(EFI_BOOT_SERVICES *boot, EFI_HANDLE parent, void *source, UINTN size,
		       const char *options)
{
	EFI_HANDLE driver = NULL;
	EFI_STATUS status, unloaded;
	reader *r;
	UINT64 done;

	status = boot->LoadImage(0, parent, NULL, source, size, &driver);
	if (status != EFI_SUCCESS)
		return status;
	status = set_options(boot, driver, options);
	if (status != EFI_SUCCESS)
		return status;
	status = boot->StartImage(driver, NULL, NULL);
	if (status != EFI_SUCCESS)
		return status; /* the firmware has unloaded it */
	connect(boot, &pci_io_guid);
	connect(boot, &usb_io_guid);
	/* On its own host controller a driver may find the reader after Start has returned. */
	for (UINTN waited = 0; (status = find(boot, &r)) != EFI_SUCCESS && waited < PATIENCE;
	     waited += STEP)
		boot->Stall(STEP);
	if (status == EFI_SUCCESS)
		status = converse(r, 1, &done);
	unloaded = boot->UnloadImage(driver);
	if (unloaded != EFI_SUCCESS)
		print("unload: status %x\n", unloaded);
	return status == EFI_SUCCESS ? unloaded : status;
}

EFI_STATUS reload(EFI_SYSTEM_TABLE *system, EFI_HANDLE image, const EFI_LOADED_IMAGE_PROTOCOL *self,
		  const char *name, UINT64 times, const char *options)
{
	EFI_BOOT_SERVICES *boot = system->BootServices;
	UINT64 round;
	EFI_STATUS status;
	void *source;
	UINTN size, interfaces = count_usb(boot);
	UINTN of_pci = openings(boot, &pci_io_guid, EFI_OPEN_PROTOCOL_BY_CHILD_CONTROLLER);
	UINTN of_usb = openings(boot, &usb_io_guid, EFI_OPEN_PROTOCOL_BY_CHILD_CONTROLLER);
	reader *r;

	status = read_file(boot, self->DeviceHandle, name, &source, &size);
	if (status != EFI_SUCCESS) {
		print("%s: status %x\n", name, status);
		return status;
	}
	for (round = 1; round <= times && status == EFI_SUCCESS; round++) {
		status = once(boot, image, source, size, options);
		if (status == EFI_SUCCESS)
			status = settle(boot, interfaces);
		remains(boot, round, times);
	}
	boot->FreePool(source);
	if (status != EFI_SUCCESS) {
		print("round %u: status %x\n", round - 1, status);
		return status;
	}
	if (find(boot, &r) == EFI_SUCCESS) {
		print("a reader is left behind\n");
		return EFI_ABORTED;
	}
	if (openings(boot, &pci_io_guid, EFI_OPEN_PROTOCOL_BY_CHILD_CONTROLLER) != of_pci ||
	    openings(boot, &usb_io_guid, EFI_OPEN_PROTOCOL_BY_CHILD_CONTROLLER) != of_usb) {
		print("handles that are gone are still noted as children\n");
		return EFI_ABORTED;
	}
	return EFI_SUCCESS;
}

/* restart_one disconnects and connects all USB host controllers. */
static EFI_STATUS restart_one(EFI_BOOT_SERVICES *boot)
{
	EFI_HANDLE *handles;
	UINTN count = 0;
	EFI_STATUS status =
		boot->LocateHandleBuffer(ByProtocol, &pci_io_guid, NULL, &count, &handles);

	if (status != EFI_SUCCESS)
		return status;
	for (UINTN i = 0; i < count && status == EFI_SUCCESS; i++) {
		if (!is_usb(boot, handles[i]))
			continue;
		status = boot->DisconnectController(handles[i], NULL, NULL);
		if (status == EFI_SUCCESS)
			status = boot->ConnectController(handles[i], NULL, NULL, 1);
	}
	boot->FreePool(handles);
	return status;
}

EFI_STATUS restart(EFI_SYSTEM_TABLE *system, UINT64 times)
{
	EFI_BOOT_SERVICES *boot = system->BootServices;
	UINTN interfaces = count_usb(boot);
	EFI_STATUS status = EFI_SUCCESS;

	for (UINT64 round = 1; round <= times && status == EFI_SUCCESS; round++) {
		status = restart_one(boot);
		if (status == EFI_SUCCESS)
			status = settle(boot, interfaces);
		remains(boot, round, times);
	}
	return status;
}

/* reader_on finds a child of a PCI function with the reader protocol. */
static EFI_STATUS reader_on(EFI_BOOT_SERVICES *boot, EFI_HANDLE function, EFI_HANDLE *child)
{
	EFI_STATUS status;
	EFI_OPEN_PROTOCOL_INFORMATION_ENTRY *all;
	UINTN n;
	reader *r;

	status = boot->OpenProtocolInformation(function, &pci_io_guid, &all, &n);
	if (status != EFI_SUCCESS)
		return status;
	status = EFI_NOT_FOUND;
	for (UINTN i = 0; i < n && status != EFI_SUCCESS; i++) {
		if (all[i].Attributes != EFI_OPEN_PROTOCOL_BY_CHILD_CONTROLLER)
			continue;
		*child = all[i].ControllerHandle;
		status = boot->HandleProtocol(*child, &smart_card_reader_guid, (void **)&r);
	}
	boot->FreePool(all);
	return status;
}

EFI_STATUS disconnect(EFI_SYSTEM_TABLE *system, int child)
{
	EFI_BOOT_SERVICES *boot = system->BootServices;
	EFI_HANDLE *handles, found = NULL;
	UINTN count = 0;
	EFI_STATUS status =
		boot->LocateHandleBuffer(ByProtocol, &pci_io_guid, NULL, &count, &handles);

	if (status != EFI_SUCCESS)
		return status;
	status = EFI_NOT_FOUND;
	for (UINTN i = 0; i < count && status == EFI_NOT_FOUND; i++) {
		status = reader_on(boot, handles[i], &found);
		if (status == EFI_SUCCESS)
			status = boot->DisconnectController(handles[i], NULL, child ? found : NULL);
	}
	boot->FreePool(handles);
	return status;
}
