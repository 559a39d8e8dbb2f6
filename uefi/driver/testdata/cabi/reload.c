#include "cabi.h"
#include "console.h"

#define MAX_NAME 64

static const EFI_GUID file_system_guid = {
	0x964E5B22, 0x6459, 0x11D2, {0x8E, 0x39, 0x00, 0xA0, 0xC9, 0x69, 0x72, 0x3B}};
/* In microseconds: how long the firmware may take to find its devices again, or a driver its reader, and how often to look. */
#define PATIENCE 10000000
#define STEP 10000

const EFI_GUID pci_io_guid = {
	0x4CF5B200, 0x68B8, 0x4CA5, {0x9E, 0xEC, 0xB2, 0x3E, 0x3F, 0x50, 0x02, 0x9A}};
const EFI_GUID usb_io_guid = {
	0x2B2F68D6, 0x0CD2, 0x44CF, {0x8E, 0x8B, 0xBB, 0xA2, 0x0B, 0x1B, 0x5B, 0x75}};

EFI_STATUS read_file(boot_services *boot, EFI_HANDLE volume, const char *name, void **buffer, UINTN *size)
{
	CHAR16 wide[MAX_NAME] = {0};
	file_system *fs;
	file *root, *f;
	EFI_STATUS status;

	for (UINTN i = 0; i < MAX_NAME - 1 && name[i] != 0; i++)
		wide[i] = (UINT8)name[i];
	status = boot->handle_protocol(volume, &file_system_guid, (void **)&fs);
	if (status != EFI_SUCCESS)
		return status;
	status = fs->open_volume(fs, &root);
	if (status != EFI_SUCCESS)
		return status;
	status = root->open(root, &f, wide, FILE_MODE_READ, 0);
	root->close(root);
	if (status != EFI_SUCCESS)
		return status;
	f->set_position(f, END_OF_FILE);
	f->get_position(f, size);
	f->set_position(f, 0);
	status = boot->allocate_pool(LOADER_DATA, *size, buffer);
	if (status == EFI_SUCCESS) {
		UINTN got = *size;

		status = f->read(f, &got, *buffer);
		if (status == EFI_SUCCESS && got != *size)
			status = EFI_BAD_BUFFER_SIZE;
		if (status != EFI_SUCCESS)
			boot->free_pool(*buffer);
	}
	f->close(f);
	return status;
}

UINT64 free_pages(boot_services *boot)
{
	static UINT8 map[64 << 10];
	UINTN size = sizeof map, key, step;
	UINT64 pages = 0;
	UINT32 version;

	if (boot->get_memory_map(&size, map, &key, &step, &version) != EFI_SUCCESS)
		return 0;
	for (UINTN at = 0; at + step <= size; at += step) {
		const memory_descriptor *d = (const void *)&map[at];

		if (d->type == CONVENTIONAL_MEMORY)
			pages += d->pages;
	}
	return pages;
}

/* remains says how many pages are free after a round. */
static void remains(boot_services *boot, UINT64 round, UINT64 times)
{
	if (round == 1 || round % 10 == 0 || round == times)
		say("round %u: %u pages free\n", round, free_pages(boot));
}

/* 14.4: what is used of a PCI function. */
typedef struct pci_io {
	void *poll[2], *memory[2], *io[2];
	EFI_STATUS(EFIAPI *config_read)(struct pci_io *this, UINT32 width, UINT32 offset, UINTN count, void *buffer);
} pci_io;

#define PCI_WIDTH_UINT32 2
#define PCI_CLASS 8	 /* PCI Local Bus Specification 3.0, 6.1: above the revision */
#define CLASS_USB 0x0C03 /* xHCI 1.2, 5.2.1, without the programming interface */

/* is_usb reports whether a handle is a USB interface or a USB host controller: only these are connected, since firmware's
 * drivers for other functions leave memory behind when they look at them. */
int is_usb(boot_services *boot, EFI_HANDLE handle)
{
	UINT32 class = 0;
	pci_io *pci;

	if (boot->handle_protocol(handle, &pci_io_guid, (void **)&pci) != EFI_SUCCESS)
		return 1;
	return pci->config_read(pci, PCI_WIDTH_UINT32, PCI_CLASS, 1, &class) == EFI_SUCCESS && class >> 16 == CLASS_USB;
}

/* connect lets drivers have what has a protocol. */
static void connect(boot_services *boot, const EFI_GUID *protocol)
{
	EFI_HANDLE *handles;
	UINTN count = 0;

	if (boot->locate_handle_buffer(BY_PROTOCOL, protocol, NULL, &count, &handles) != EFI_SUCCESS)
		return;
	for (UINTN i = 0; i < count; i++)
		if (is_usb(boot, handles[i]))
			boot->connect_controller(handles[i], NULL, NULL, 1);
	boot->free_pool(handles);
}

UINTN openings(boot_services *boot, const EFI_GUID *protocol, UINT32 kinds)
{
	EFI_HANDLE *handles;
	UINTN count = 0, found = 0, n;
	opening *all;

	if (boot->locate_handle_buffer(BY_PROTOCOL, protocol, NULL, &count, &handles) != EFI_SUCCESS)
		return 0;
	for (UINTN i = 0; i < count; i++) {
		if (boot->open_protocol_information(handles[i], protocol, &all, &n) != EFI_SUCCESS)
			continue;
		for (UINTN k = 0; k < n; k++)
			found += (all[k].attributes & kinds) != 0;
		boot->free_pool(all);
	}
	boot->free_pool(handles);
	return found;
}

/* having is how many handles have a protocol. */
static UINTN having(boot_services *boot, const EFI_GUID *protocol)
{
	EFI_HANDLE *handles;
	UINTN count = 0;

	if (boot->locate_handle_buffer(BY_PROTOCOL, protocol, NULL, &count, &handles) != EFI_SUCCESS)
		return 0;
	boot->free_pool(handles);
	return count;
}

UINTN count_usb(boot_services *boot)
{
	return having(boot, &usb_io_guid);
}

UINTN count_readers(boot_services *boot)
{
	return having(boot, &smart_card_reader_guid);
}

/* settle waits until the firmware has its USB interfaces again: it looks for them when its timer ticks. */
EFI_STATUS settle(boot_services *boot, UINTN interfaces)
{
	for (UINTN waited = 0; count_usb(boot) != interfaces; waited += STEP) {
		if (waited >= PATIENCE) {
			say("%u USB interfaces, there were %u\n", (UINT64)count_usb(boot), (UINT64)interfaces);
			return EFI_TIMEOUT;
		}
		boot->stall(STEP);
	}
	return EFI_SUCCESS;
}

/* set_options gives a driver load options, in memory that stays. */
EFI_STATUS set_options(boot_services *boot, EFI_HANDLE driver, const char *options)
{
	static CHAR16 wide[MAX_NAME];
	loaded_image *loaded;
	EFI_STATUS status = boot->handle_protocol(driver, &loaded_image_guid, (void **)&loaded);
	UINTN n = 0;

	if (status != EFI_SUCCESS)
		return status;
	for (; n < MAX_NAME - 1 && options[n] != 0; n++)
		wide[n] = (UINT8)options[n];
	wide[n] = 0;
	loaded->load_options = wide;
	loaded->load_options_size = (UINT32)((n + 1) * sizeof(CHAR16));
	return EFI_SUCCESS;
}

/* once is one life of the driver. */
static EFI_STATUS once(boot_services *boot, EFI_HANDLE parent, void *source, UINTN size, const char *options)
{
	EFI_HANDLE driver = NULL;
	EFI_STATUS status, unloaded;
	reader *r;
	UINT64 done;

	status = boot->load_image(0, parent, NULL, source, size, &driver);
	if (status != EFI_SUCCESS)
		return status;
	status = set_options(boot, driver, options);
	if (status != EFI_SUCCESS)
		return status;
	status = boot->start_image(driver, NULL, NULL);
	if (status != EFI_SUCCESS)
		return status; /* the firmware has unloaded it */
	connect(boot, &pci_io_guid);
	connect(boot, &usb_io_guid);
	/* On a host controller of its own a driver may find the reader after its Start. */
	for (UINTN waited = 0; (status = find(boot, &r)) != EFI_SUCCESS && waited < PATIENCE; waited += STEP)
		boot->stall(STEP);
	if (status == EFI_SUCCESS)
		status = converse(r, 1, &done);
	unloaded = boot->unload_image(driver);
	if (unloaded != EFI_SUCCESS)
		say("unload: status %x\n", unloaded);
	return status == EFI_SUCCESS ? unloaded : status;
}

EFI_STATUS reload(system_table *system, EFI_HANDLE image, const loaded_image *self, const char *name, UINT64 times,
		  const char *options)
{
	boot_services *boot = system->boot;
	UINT64 round;
	EFI_STATUS status;
	void *source;
	UINTN size, interfaces = count_usb(boot);
	UINTN of_pci = openings(boot, &pci_io_guid, OPEN_BY_CHILD_CONTROLLER);
	UINTN of_usb = openings(boot, &usb_io_guid, OPEN_BY_CHILD_CONTROLLER);
	reader *r;

	status = read_file(boot, self->device, name, &source, &size);
	if (status != EFI_SUCCESS) {
		say("%s: status %x\n", name, status);
		return status;
	}
	for (round = 1; round <= times && status == EFI_SUCCESS; round++) {
		status = once(boot, image, source, size, options);
		if (status == EFI_SUCCESS)
			status = settle(boot, interfaces);
		remains(boot, round, times);
	}
	boot->free_pool(source);
	if (status != EFI_SUCCESS) {
		say("round %u: status %x\n", round - 1, status);
		return status;
	}
	if (find(boot, &r) == EFI_SUCCESS) {
		say("a reader is left behind\n");
		return EFI_ABORTED;
	}
	if (openings(boot, &pci_io_guid, OPEN_BY_CHILD_CONTROLLER) != of_pci ||
	    openings(boot, &usb_io_guid, OPEN_BY_CHILD_CONTROLLER) != of_usb) {
		say("handles that are gone are still noted as children\n");
		return EFI_ABORTED;
	}
	return EFI_SUCCESS;
}

/* restart_one ends the use of all USB host controllers and begins it anew. */
static EFI_STATUS restart_one(boot_services *boot)
{
	EFI_HANDLE *handles;
	UINTN count = 0;
	EFI_STATUS status = boot->locate_handle_buffer(BY_PROTOCOL, &pci_io_guid, NULL, &count, &handles);

	if (status != EFI_SUCCESS)
		return status;
	for (UINTN i = 0; i < count && status == EFI_SUCCESS; i++) {
		if (!is_usb(boot, handles[i]))
			continue;
		status = boot->disconnect_controller(handles[i], NULL, NULL);
		if (status == EFI_SUCCESS)
			status = boot->connect_controller(handles[i], NULL, NULL, 1);
	}
	boot->free_pool(handles);
	return status;
}

EFI_STATUS restart(system_table *system, UINT64 times)
{
	boot_services *boot = system->boot;
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

/* reader_on finds a child of a PCI function that has the reader protocol. */
static EFI_STATUS reader_on(boot_services *boot, EFI_HANDLE function, EFI_HANDLE *child)
{
	EFI_STATUS status;
	opening *all;
	UINTN n;
	reader *r;

	status = boot->open_protocol_information(function, &pci_io_guid, &all, &n);
	if (status != EFI_SUCCESS)
		return status;
	status = EFI_NOT_FOUND;
	for (UINTN i = 0; i < n && status != EFI_SUCCESS; i++) {
		if (all[i].attributes != OPEN_BY_CHILD_CONTROLLER)
			continue;
		*child = all[i].controller;
		status = boot->handle_protocol(*child, &smart_card_reader_guid, (void **)&r);
	}
	boot->free_pool(all);
	return status;
}

EFI_STATUS disconnect(system_table *system, int child)
{
	boot_services *boot = system->boot;
	EFI_HANDLE *handles, found = NULL;
	UINTN count = 0;
	EFI_STATUS status = boot->locate_handle_buffer(BY_PROTOCOL, &pci_io_guid, NULL, &count, &handles);

	if (status != EFI_SUCCESS)
		return status;
	status = EFI_NOT_FOUND;
	for (UINTN i = 0; i < count && status == EFI_NOT_FOUND; i++) {
		status = reader_on(boot, handles[i], &found);
		if (status == EFI_SUCCESS)
			status = boot->disconnect_controller(handles[i], NULL, child ? found : NULL);
	}
	boot->free_pool(handles);
	return status;
}
