#include "refuse.h"

#include "cabi.h"
#include "console.h"

/*
 * One driver, one reader with the hello card. Each firmware call that the driver makes in a phase
 * fails once:
 *
 *	phase        driver before    does
 *	load         absent           StartImage
 *	start        loaded           ConnectController
 *	connect      started          SCardConnect
 *	transmit     connected        SCardTransmit
 *	disconnect   connected        SCardDisconnect
 *	stop         started          DisconnectController
 *	unload       started          UnloadImage
 *
 * After the failure the phase succeeds at the next attempt and the card answers. After the driver
 * has stopped, or was unloaded, the machine has the memory, handles and openings of before.
 */

/* In microseconds: how long a reader may take to appear, and the time between two looks
 * (policy). */
#define PATIENCE 10000000
#define STEP 100000

/* In MiB: how much memory is left free at first. */
#define MOST 24

/* How often a call is tried: pages that are lost each time are lost by the driver (policy). */
#define MAX_LOST 3

typedef struct {
	EFI_BOOT_SERVICES *boot;
	EFI_HANDLE parent;
	void *source; /* the driver's file */
	UINTN size;
	const char *options;
	int direct;	  /* the driver takes a host controller */
	int shared;	  /* the firmware has a driver for that host controller, too */
	UINTN interfaces; /* USB interfaces that the firmware has without the driver */

	EFI_HANDLE driver, target;
	reader *reader;
	UINT64 violations;
} life;

/* What is allocated in the machine. */
typedef struct {
	UINT64 pages;
	UINTN handles, of_pci, of_usb;
	balance balance;
} belongings;

static UINTN count_handles(EFI_BOOT_SERVICES *boot)
{
	EFI_HANDLE *handles;
	UINTN count = 0;

	if (boot->LocateHandleBuffer(AllHandles, NULL, NULL, &count, &handles) == EFI_SUCCESS)
		boot->FreePool(handles);
	return count;
}

static belongings look(life *l)
{
	belongings b;

	l->violations += settle(l->boot, l->interfaces) != EFI_SUCCESS;
	b.balance = balanced();
	b.handles = count_handles(l->boot);
	b.of_pci = openings(l->boot, &pci_io_guid, OPEN_BY_ALL);
	b.of_usb = openings(l->boot, &usb_io_guid, OPEN_BY_ALL);
	b.pages = free_pages(l->boot);
	return b;
}

/* load loads the driver and prepares its start. */
static EFI_STATUS load(life *l)
{
	EFI_STATUS status = l->boot->LoadImage(0, l->parent, NULL, l->source, l->size, &l->driver);

	if (status != EFI_SUCCESS) {
		l->driver = NULL;
		return status;
	}
	watch(l->boot, l->driver);
	return set_options(l->boot, l->driver, l->options);
}

static EFI_STATUS start_image(life *l)
{
	EFI_STATUS status = l->boot->StartImage(l->driver, NULL, NULL);

	if (status != EFI_SUCCESS)
		l->driver = NULL; /* the firmware has unloaded it */
	return status;
}

/* start connects the driver to all USB interfaces, or to all USB host controllers for a driver that
 * takes these. */
static EFI_STATUS start(life *l)
{
	EFI_GUID *protocol = l->direct ? &pci_io_guid : &usb_io_guid;
	EFI_HANDLE *handles, first[2] = {l->driver, NULL};
	UINTN count = 0;
	EFI_STATUS status =
		l->boot->LocateHandleBuffer(ByProtocol, protocol, NULL, &count, &handles);

	if (status != EFI_SUCCESS)
		return status;
	for (UINTN i = 0; i < count; i++)
		if (is_usb(l->boot, handles[i])) {
			l->boot->ConnectController(handles[i], first, NULL, 1);
			l->target = handles[i];
		}
	l->boot->FreePool(handles);
	status = find(l->boot, &l->reader);
	if (status != EFI_SUCCESS || l->direct)
		return status;
	/* The protocol of the first slot is on the USB interface itself. */
	status = l->boot->LocateHandleBuffer(ByProtocol, &smart_card_reader_guid, NULL, &count,
					     &handles);
	if (status == EFI_SUCCESS) {
		l->target = handles[0];
		l->boot->FreePool(handles);
	}
	return status;
}

/* start_at_last is start with a wait for the reader: on its own host controller a driver finds the
 * reader after Start has returned. */
static EFI_STATUS start_at_last(life *l)
{
	EFI_STATUS status = start(l);

	for (UINTN waited = 0; status == EFI_NOT_FOUND && waited < PATIENCE; waited += STEP) {
		l->boot->Stall(STEP);
		status = start(l);
	}
	return status;
}

static EFI_STATUS connect(life *l)
{
	UINT32 active;

	return l->reader->SCardConnect(l->reader, SCARD_AM_CARD, SCARD_CA_COLDRESET,
				       SCARD_PROTOCOL_T0 | SCARD_PROTOCOL_T1, &active);
}

static EFI_STATUS transmit(life *l)
{
	return send(l->reader, select_command, sizeof select_command, success_answer,
		    sizeof success_answer);
}

static EFI_STATUS release(life *l)
{
	return l->reader->SCardDisconnect(l->reader, SCARD_CA_UNPOWER);
}

static EFI_STATUS stop(life *l)
{
	EFI_STATUS status = l->boot->DisconnectController(l->target, l->driver, NULL);

	if (status == EFI_SUCCESS && find(l->boot, &l->reader) == EFI_SUCCESS)
		return EFI_ABORTED;
	return status;
}

static EFI_STATUS unload(life *l)
{
	EFI_STATUS status = l->boot->UnloadImage(l->driver);

	if (status == EFI_SUCCESS) {
		l->driver = NULL;
		watch(l->boot, NULL);
		if (find(l->boot, &l->reader) == EFI_SUCCESS)
			return EFI_ABORTED;
	}
	return status;
}

enum { ABSENT, LOADED, STARTED, CONNECTED };

static const struct phase {
	const char *name;
	char letter;
	int before, after;
	EFI_STATUS (*act)(life *l);
} phases[] = {
	{"load", 'l', ABSENT, LOADED, start_image},
	{"start", 's', LOADED, STARTED, start},
	{"connect", 'c', STARTED, CONNECTED, connect},
	{"transmit", 't', CONNECTED, CONNECTED, transmit},
	{"disconnect", 'd', CONNECTED, STARTED, release},
	{"stop", 'p', STARTED, LOADED, stop},
	{"unload", 'u', STARTED, ABSENT, unload},
};

/* bring takes the driver from one state to another, without a failure. */
static EFI_STATUS bring(life *l, int from, int to)
{
	EFI_STATUS status = EFI_SUCCESS;

	for (; from < to && status == EFI_SUCCESS; from++) {
		if (from == ABSENT) {
			status = load(l);
			if (status == EFI_SUCCESS)
				status = start_image(l);
		} else {
			status = from == LOADED ? start_at_last(l) : connect(l);
		}
	}
	if (from > to && from == CONNECTED) {
		status = release(l);
		from = STARTED;
	}
	if (from > to && status == EFI_SUCCESS && from == STARTED && to == LOADED)
		status = stop(l);
	if (from > to && status == EFI_SUCCESS && to == ABSENT)
		status = unload(l);
	return status;
}

static void violation(life *l, const struct phase *p, UINT64 n, const char *what, UINT64 value)
{
	l->violations++;
	print("%s, call %u, %s: %s %x\n", p->name, n,
	    refused_name() == NULL ? "nothing" : refused_name(), what, value);
}

/* proper reports whether a phase may end with that status after a call that failed. A function of
 * the protocol returns EFI_OUT_OF_RESOURCES for a lack of memory. The statuses of the driver model
 * are less specific. */
static int proper(const struct phase *p, EFI_STATUS status)
{
	if (status == EFI_SUCCESS)
		return 1;
	if (p->act == start_image || p->act == stop || p->act == unload || p->act == start)
		return (status & EFI_ERROR_BIT) != 0 && status != EFI_ABORTED;
	return status == EFI_OUT_OF_RESOURCES || status == EFI_DEVICE_ERROR ||
	       status == EFI_TIMEOUT || status == EFI_NOT_READY;
}

/* again repeats a phase that has failed. A connection may have to be made again. */
static EFI_STATUS again(life *l, const struct phase *p)
{
	EFI_STATUS status;

	if (p->act == start_image)
		return bring(l, ABSENT, LOADED);
	status = p->act == start ? start_at_last(l) : p->act(l);
	if (status == EFI_SUCCESS || p->before != CONNECTED)
		return status;
	release(l);
	status = connect(l);
	return status == EFI_SUCCESS ? p->act(l) : status;
}

/* once makes call n of a kind fail in a phase, and takes the driver back to the state home. It
 * returns how many calls there were. */
static UINT64 once(life *l, const struct phase *p, UINT32 kind, UINT64 n, int home,
		   EFI_STATUS *result)
{
	EFI_STATUS status = bring(l, home, p->before);
	UINT64 calls, done;

	if (status == EFI_SUCCESS && p->act == start_image)
		status = load(l);
	if (status != EFI_SUCCESS) {
		violation(l, p, n, "the driver does not get there: status", status);
		*result = status;
		return 0;
	}
	arm(kind, n);
	*result = p->act(l);
	calls = disarm();
	if (!proper(p, *result))
		violation(l, p, n, "status", *result);
	status = *result == EFI_SUCCESS ? EFI_SUCCESS : again(l, p);
	if (status != EFI_SUCCESS)
		violation(l, p, n, "the next attempt fails: status", status);
	if (p->after == CONNECTED)
		status = transmit(l);
	else
		status = bring(l, p->after, STARTED) == EFI_SUCCESS ? converse(l->reader, 1, &done)
								    : EFI_ABORTED;
	if (status != EFI_SUCCESS)
		violation(l, p, n, "the card does not answer afterwards: status", status);
	status = bring(l, p->after == CONNECTED ? CONNECTED : STARTED, home);
	if (status != EFI_SUCCESS)
		violation(l, p, n, "the driver does not get back: status", status);
	return calls;
}

/* compare reports what is not as before. Pages are counted by trial: firmware allocates some itself
 * now and then. */
static void compare(life *l, const struct phase *p, UINT64 n, const belongings *before,
		    const belongings *now)
{
	if (now->handles != before->handles)
		violation(l, p, n, "handles more or less:", now->handles - before->handles);
	if (now->of_pci + now->of_usb != before->of_pci + before->of_usb)
		violation(l, p, n, "openings of protocols more or less:",
			  now->of_pci + now->of_usb - before->of_pci - before->of_usb);
	if (now->balance.events != before->balance.events)
		violation(l, p, n, "events not closed:",
			  (UINT64)(now->balance.events - before->balance.events));
	/* The firmware may have created USB interfaces since arm was called: their calls are not
	 * counted. */
	if (now->balance.pools != before->balance.pools && !l->shared)
		violation(l, p, n, "pool memory not freed:",
			  (UINT64)(now->balance.pools - before->balance.pools));
}

static INT64 lost(const belongings *before, const belongings *now)
{
	return (INT64)(before->pages - now->pages);
}

/* trial makes call n fail until no page is lost in it, at most MAX_LOST times, and counts the
 * phases that ended with an error. */
static UINT64 trial(life *l, const struct phase *p, UINT32 kind, UINT64 n, int home, UINT64 *failed)
{
	UINT64 calls = 0;
	INT64 gone = 1;
	EFI_STATUS result = EFI_SUCCESS;

	for (int k = 0; k < MAX_LOST && gone > 0; k++) {
		belongings before = look(l), now;

		calls = once(l, p, kind, n, home, &result);
		if (calls == 0 && result != EFI_SUCCESS)
			return 0;
		now = look(l);
		compare(l, p, n, &before, &now);
		gone = lost(&before, &now);
	}
	if (gone > 0)
		violation(l, p, n, "pages lost each time:", (UINT64)gone);
	*failed += result != EFI_SUCCESS;
	return calls;
}

/* resident reports whether a phase is repeated while the driver stays loaded. */
static int resident(const life *l, const struct phase *p)
{
	return p->before != ABSENT && p->after != ABSENT && !l->shared;
}

static void sweep(life *l, const struct phase *p, UINT32 kind, UINT64 step)
{
	int home = resident(l, p) ? LOADED : ABSENT;
	UINT64 n, tried = 0, failed = 0;

	for (n = 1; l->violations < 20; n += kind == REFUSE_TRANSFERS ? 1 + n / step : 1) {
		if (trial(l, p, kind, n, home, &failed) < n)
			break;
		tried++;
	}
	print("%s: %u calls of %s failed once, the phase with %u of them\n", p->name, tried,
	    kind == REFUSE_SERVICES ? "services" : "transfers and registers", failed);
}

static int among(char c, const char *s)
{
	for (; *s != 0; s++)
		if (*s == c)
			return 1;
	return 0;
}

/* Blocks of memory that are allocated, the largest first. */
#define MAX_BLOCKS 512
static struct {
	UINT64 memory;
	UINTN pages;
} blocks[MAX_BLOCKS];
static UINTN taken;

static void give_memory(EFI_BOOT_SERVICES *boot)
{
	while (taken > 0) {
		taken--;
		boot->FreePages(blocks[taken].memory, blocks[taken].pages);
	}
}

/* take_memory allocates all memory but a block of that size. */
static EFI_STATUS take_memory(EFI_BOOT_SERVICES *boot, UINT64 mib)
{
	UINTN room = mib * (1048576 / EFI_PAGE_SIZE);
	UINT64 hole;
	EFI_STATUS status = boot->AllocatePages(AllocateAnyPages, EfiLoaderData, room, &hole);

	if (status != EFI_SUCCESS)
		return status;
	for (UINTN pages = 1 << 16; pages > 0 && taken < MAX_BLOCKS;) {
		if (boot->AllocatePages(AllocateAnyPages, EfiLoaderData, pages,
					&blocks[taken].memory) == EFI_SUCCESS)
			blocks[taken++].pages = pages;
		else
			pages /= 2;
	}
	return boot->FreePages(hole, room);
}

static int begins(const char *s, const char *with)
{
	for (; *with != 0; s++, with++)
		if (*s != *with)
			return 0;
	return 1;
}

static EFI_STATUS open(life *l, EFI_SYSTEM_TABLE *system, EFI_HANDLE image,
		       const EFI_LOADED_IMAGE_PROTOCOL *self, const char *name, const char *options)
{
	EFI_STATUS status;

	l->boot = system->BootServices;
	l->parent = image;
	l->options = options;
	l->direct = begins(options, "usb=direct");
	l->interfaces = count_usb(l->boot);
	l->shared = l->direct && l->interfaces > 0;
	status = read_file(l->boot, self->DeviceHandle, name, &l->source, &l->size);
	if (status != EFI_SUCCESS)
		print("%s: status %x\n", name, status);
	else
		status = hook(system);
	/* What the firmware keeps after the first runs is not lost by the driver. */
	for (int k = 0; k < 3 && status == EFI_SUCCESS; k++) {
		status = bring(l, ABSENT, CONNECTED);
		if (status == EFI_SUCCESS)
			status = bring(l, CONNECTED, ABSENT);
		if (status == EFI_SUCCESS)
			status = settle(l->boot, l->interfaces);
	}
	if (status != EFI_SUCCESS)
		violation(l, &phases[0], 0, "the driver does not work: status", status);
	return status;
}

static EFI_STATUS close(life *l)
{
	EFI_STATUS status = EFI_SUCCESS;

	if (l->driver != NULL)
		status = l->boot->UnloadImage(l->driver);
	watch(l->boot, NULL);
	unhook();
	if (l->source != NULL)
		l->boot->FreePool(l->source);
	print("%u violations\n", l->violations);
	return l->violations == 0 ? status : EFI_ABORTED;
}

/* rich_refusals makes each call of each wanted phase fail once. */
static void rich_refusals(life *l, const char *wanted, UINT64 step, EFI_STATUS status)
{
	for (UINTN i = 0; i < sizeof phases / sizeof *phases && status == EFI_SUCCESS; i++) {
		const struct phase *p = &phases[i];

		if (!among(p->letter, wanted))
			continue;
		/* What the driver allocates in its first Start and frees when it is unloaded is not
		 * lost. */
		if (resident(l, p) && (status = bring(l, ABSENT, STARTED)) == EFI_SUCCESS)
			status = bring(l, STARTED, LOADED);
		sweep(l, p, REFUSE_SERVICES, 1);
		sweep(l, p, REFUSE_TRANSFERS, step);
		if (resident(l, p) && status == EFI_SUCCESS)
			status = bring(l, LOADED, ABSENT);
		if (status != EFI_SUCCESS) {
			violation(l, p, 0, "the driver does not come or go: status", status);
			break;
		}
	}
}

/* short_life loads, uses and unloads the driver with little memory. It returns 0 if the driver
 * worked, 1 if it was refused properly. */
static int short_life(life *l, UINT64 mib)
{
	static const struct phase p = {"short", 0, ABSENT, LOADED, NULL};
	EFI_STATUS status = load(l);
	int started;
	UINT64 done;

	if (status == EFI_OUT_OF_RESOURCES)
		return 1;
	if (status == EFI_SUCCESS)
		status = start_image(l);
	if (status == EFI_OUT_OF_RESOURCES)
		return 1;
	if (status != EFI_SUCCESS) {
		violation(l, &p, mib, "load: status", status);
		return 1;
	}
	started = start(l) == EFI_SUCCESS;
	if (started) {
		status = converse(l->reader, 10, &done);
		if (status != EFI_SUCCESS)
			violation(l, &p, mib, "the card does not answer: status", status);
	}
	status = unload(l);
	if (status != EFI_SUCCESS)
		violation(l, &p, mib, "unload: status", status);
	return !started;
}

/* poor_once loads, uses and unloads the driver with too little memory for that, and makes call n of
 * a kind fail in one phase. Each phase succeeds or ends with an error, and the driver can be
 * unloaded. It returns how many calls there were in the phase. */
static UINT64 poor_once(life *l, const struct phase *p, UINT32 kind, UINT64 n, UINT64 *failed)
{
	static EFI_STATUS (*const acts[])(life * l) = {start_image, start, unload};
	EFI_STATUS status = load(l);
	UINT64 calls = 0;

	if (status != EFI_SUCCESS && status != EFI_OUT_OF_RESOURCES)
		violation(l, p, n, "LoadImage: status", status);
	for (UINTN i = 0; i < sizeof acts / sizeof *acts && l->driver != NULL; i++) {
		if (acts[i] == p->act)
			arm(kind, n);
		status = acts[i](l);
		if (acts[i] == p->act) {
			calls = disarm();
			*failed += status != EFI_SUCCESS;
			if (!proper(p, status))
				violation(l, p, n, "status", status);
		} else if (acts[i] != start && status != EFI_SUCCESS &&
			   status != EFI_OUT_OF_RESOURCES) {
			violation(l, p, n, "another phase ends with status", status);
		}
	}
	if (l->driver != NULL && (status = unload(l)) != EFI_SUCCESS)
		violation(l, p, n, "the driver does not go: status", status);
	return calls;
}

/* poor_sweep is sweep with too little memory for the driver to work. */
static void poor_sweep(life *l, const struct phase *p, UINT32 kind, UINT64 step)
{
	UINT64 calls, tried = 0, failed = 0;

	for (UINT64 n = 1; l->violations < 20; n += kind == REFUSE_TRANSFERS ? 1 + n / step : 1) {
		belongings before = look(l), now;

		calls = poor_once(l, p, kind, n, &failed);
		now = look(l);
		compare(l, p, n, &before, &now);
		if (calls < n)
			break;
		tried++;
	}
	print("%s: %u calls of %s failed once with too little memory, the phase with %u of them\n",
	    p->name, tried, kind == REFUSE_SERVICES ? "services" : "transfers and registers",
	    failed);
}

/* poor_refusals is refusals with too little memory for the driver to work. */
static void poor_refusals(life *l, const char *wanted, UINT64 step)
{
	belongings before = look(l), now;

	for (UINTN i = 0; i < sizeof phases / sizeof *phases; i++) {
		const struct phase *p = &phases[i];

		if (!among(p->letter, wanted) ||
		    (p->act != start_image && p->act != start && p->act != unload))
			continue;
		poor_sweep(l, p, REFUSE_SERVICES, 1);
		poor_sweep(l, p, REFUSE_TRANSFERS, step);
	}
	now = look(l);
	if (lost(&before, &now) > 1)
		violation(l, &phases[0], 0,
			  "pages lost in all lives together:", (UINT64)lost(&before, &now));
}

EFI_STATUS refusals(EFI_SYSTEM_TABLE *system, EFI_HANDLE image,
		    const EFI_LOADED_IMAGE_PROTOCOL *self, const char *name, const char *options,
		    const char *wanted, UINT64 step, UINT64 room)
{
	life l = {0};
	EFI_STATUS status = open(&l, system, image, self, name, options);
	int poor = 0;

	if (room > 0 && status == EFI_SUCCESS) {
		status = take_memory(l.boot, room);
		poor = status == EFI_SUCCESS && short_life(&l, room) != 0;
	}
	if (poor)
		poor_refusals(&l, wanted, step);
	else
		rich_refusals(&l, wanted, step, status);
	give_memory(l.boot);
	if (poor && (status = bring(&l, ABSENT, CONNECTED)) == EFI_SUCCESS)
		status = bring(&l, CONNECTED, ABSENT);
	if (poor && status != EFI_SUCCESS)
		violation(&l, &phases[0], 0, "with memory again: status", status);
	return close(&l);
}

/* The driver's fault injection build keeps 512 KiB more with each of these commands
 * (uefi/driver/faultinjection.go). */
#define FAULT_GROWTH 0x7f000101
#define MAX_GROWTH 100

EFI_STATUS starve(EFI_SYSTEM_TABLE *system, EFI_HANDLE image, const EFI_LOADED_IMAGE_PROTOCOL *self,
		  const char *name, const char *options)
{
	static const struct phase p = {"starve", 0, STARTED, STARTED, NULL};
	life l = {0};
	UINT64 grown = 0, done;
	EFI_STATUS status = open(&l, system, image, self, name, options);
	belongings before = look(&l), now;

	if (status == EFI_SUCCESS)
		status = bring(&l, ABSENT, STARTED);
	if (status == EFI_SUCCESS) {
		deny("AllocatePages");
		while (status == EFI_SUCCESS && grown < MAX_GROWTH) {
			status = l.reader->SCardControl(l.reader, FAULT_GROWTH, NULL, 0, NULL,
							NULL);
			grown += status == EFI_SUCCESS;
		}
		print("grown %u times, then status %x\n", grown, status);
		if (status != EFI_OUT_OF_RESOURCES)
			violation(&l, &p, grown, "status", status);
		deny(NULL);
		status = converse(l.reader, 1, &done);
		if (status != EFI_SUCCESS)
			violation(&l, &p, grown,
				  "the card does not answer with memory again: status", status);
		do
			status = l.reader->SCardControl(l.reader, FAULT_GROWTH, NULL, 0, NULL,
							NULL);
		while (status == EFI_SUCCESS && ++grown < MAX_GROWTH);
		print("grown %u times, then status %x\n", grown, status);
		if (status != EFI_OUT_OF_RESOURCES)
			violation(&l, &p, grown, "status at the driver's own limit", status);
		status = bring(&l, STARTED, ABSENT);
	}
	if (status != EFI_SUCCESS)
		violation(&l, &p, grown, "the driver does not come or go: status", status);
	now = look(&l);
	compare(&l, &p, grown, &before, &now);
	if (lost(&before, &now) > 1)
		violation(&l, &p, grown, "pages lost:", (UINT64)lost(&before, &now));
	return close(&l);
}

/* short_run runs an application once with little memory. */
static EFI_STATUS short_run(life *l)
{
	EFI_HANDLE application;
	EFI_STATUS status =
		l->boot->LoadImage(0, l->parent, NULL, l->source, l->size, &application);

	return status == EFI_SUCCESS ? l->boot->StartImage(application, NULL, NULL) : status;
}

EFI_STATUS short_runs(EFI_SYSTEM_TABLE *system, EFI_HANDLE image,
		      const EFI_LOADED_IMAGE_PROTOCOL *self, const char *name)
{
	life l = {.boot = system->BootServices, .parent = image};
	UINT64 worked = 0;
	EFI_STATUS status = read_file(l.boot, self->DeviceHandle, name, &l.source, &l.size);

	for (UINT64 mib = MOST; mib > 0 && status == EFI_SUCCESS; mib--) {
		status = take_memory(l.boot, mib);
		if (status == EFI_SUCCESS)
			status = short_run(&l);
		give_memory(l.boot);
		worked += status == EFI_SUCCESS;
		if (status == EFI_OUT_OF_RESOURCES)
			status = short_run(&l);
		if (status != EFI_SUCCESS)
			print("%u MiB: status %x\n", mib, status);
	}
	if (l.source != NULL)
		l.boot->FreePool(l.source);
	print("worked %u times of %u\n", worked, (UINT64)MOST);
	return status == EFI_SUCCESS && worked == 0 ? EFI_ABORTED : status;
}

EFI_STATUS shortage(EFI_SYSTEM_TABLE *system, EFI_HANDLE image,
		    const EFI_LOADED_IMAGE_PROTOCOL *self, const char *name, const char *options)
{
	static const struct phase p = {"short", 0, ABSENT, LOADED, NULL};
	life l = {0};
	UINT64 worked = 0, enough = 0;
	EFI_STATUS status = open(&l, system, image, self, name, options);

	for (UINT64 mib = MOST; mib > 0 && status == EFI_SUCCESS; mib--) {
		belongings before = look(&l), now;

		status = take_memory(l.boot, mib);
		if (status == EFI_SUCCESS && short_life(&l, mib) == 0) {
			worked++;
			enough = mib;
		}
		give_memory(l.boot);
		now = look(&l);
		compare(&l, &p, mib, &before, &now);
		if (lost(&before, &now) > 1)
			violation(&l, &p, mib, "pages lost:", (UINT64)lost(&before, &now));
		if (status == EFI_SUCCESS && (status = bring(&l, ABSENT, CONNECTED)) == EFI_SUCCESS)
			status = bring(&l, CONNECTED, ABSENT);
		if (status != EFI_SUCCESS)
			violation(&l, &p, mib, "with memory again: status", status);
	}
	print("worked %u times of %u, with %u MiB at least\n", worked, (UINT64)MOST, enough);
	if (worked == 0)
		violation(&l, &p, 0, "never worked", 0);
	return close(&l);
}
