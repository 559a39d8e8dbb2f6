/* Calls that come while another is in progress: from a timer event above TPL_CALLBACK at any moment, from one at TPL_CALLBACK while the
 * driver waits. */
#include "cabi.h"
#include "check.h"
#include "console.h"

/* UEFI 2.11, 7.1: timer periods are in units of 100 ns. */
#define MILLISECOND 10000

static struct {
	reader *r;
	volatile UINT64 denied, others;
	volatile EFI_STATUS other;
} nested;

static void EFIAPI call(EFI_EVENT event, void *context)
{
	UINT32 state;
	EFI_STATUS status = nested.r->status(nested.r, NULL, NULL, &state, NULL, NULL, NULL);

	(void)event;
	(void)context;
	if (status == EFI_ACCESS_DENIED) {
		nested.denied++;
	} else {
		nested.others++;
		nested.other = status;
	}
}

EFI_STATUS call_inside(system_table *system, reader *r, UINT64 count, EFI_TPL level)
{
	EFI_EVENT timer;
	EFI_STATUS status;
	UINT64 done;

	nested.r = r;
	status = system->boot->create_event(EVT_TIMER | EVT_NOTIFY_SIGNAL, level, call, NULL, &timer);
	if (status != EFI_SUCCESS)
		return status;
	status = system->boot->set_timer(timer, TIMER_PERIODIC, MILLISECOND);
	if (status == EFI_SUCCESS)
		status = converse(r, count, &done);
	system->boot->close_event(timer);
	if (status != EFI_SUCCESS)
		return status;
	say("%u exchanges, %u calls inside, %u of them not denied (status %x)\n", done, nested.denied + nested.others,
	    nested.others, nested.other);
	/* At TPL_CALLBACK some come between two exchanges. */
	return nested.denied > 0 && (nested.others == 0 || level == TPL_CALLBACK) ? EFI_SUCCESS : EFI_ABORTED;
}


static struct {
	boot_services *boot;
	reader *r;
	const char *what;
	volatile UINT64 times, successes;
	volatile EFI_STATUS last;
} meddling;

static void count_attempt(EFI_STATUS status)
{
	meddling.times++;
	if (status == EFI_SUCCESS)
		meddling.successes++;
	else
		meddling.last = status;
}

/* unload_users unloads the images that have a protocol of a handle open and can be unloaded. */
static void unload_users(EFI_HANDLE handle, const EFI_GUID *protocol)
{
	opening *all;
	UINTN n;
	loaded_image *image;

	if (meddling.boot->open_protocol_information(handle, protocol, &all, &n) != EFI_SUCCESS)
		return;
	for (UINTN k = 0; k < n; k++)
		if (meddling.boot->handle_protocol(all[k].agent, &loaded_image_guid, (void **)&image) == EFI_SUCCESS &&
		    image->unload != NULL)
			count_attempt(meddling.boot->unload_image(all[k].agent));
	meddling.boot->free_pool(all);
}

static void each(const EFI_GUID *protocol)
{
	EFI_HANDLE *handles;
	UINTN count = 0;

	if (meddling.boot->locate_handle_buffer(BY_PROTOCOL, protocol, NULL, &count, &handles) != EFI_SUCCESS)
		return;
	for (UINTN i = 0; i < count; i++) {
		if (equal(meddling.what, "connect"))
			count_attempt(meddling.boot->connect_controller(handles[i], NULL, NULL, 1));
		else if (equal(meddling.what, "unload"))
			unload_users(handles[i], protocol == &pci_io_guid ? protocol : &usb_io_guid);
		else
			count_attempt(meddling.boot->disconnect_controller(handles[i], NULL, NULL));
	}
	meddling.boot->free_pool(handles);
}

static void EFIAPI meddle_inside(EFI_EVENT event, void *context)
{
	UINT32 state;

	(void)event;
	(void)context;
	if (meddling.r->status(meddling.r, NULL, NULL, &state, NULL, NULL, NULL) != EFI_ACCESS_DENIED)
		return;
	each(equal(meddling.what, "connect") ? &usb_io_guid : &smart_card_reader_guid);
	if (equal(meddling.what, "unload"))
		each(&pci_io_guid);
}

EFI_STATUS meddle(system_table *system, reader *r, UINT64 count, const char *what)
{
	EFI_EVENT timer;
	EFI_STATUS status;
	UINT64 done = 0;

	meddling.boot = system->boot;
	meddling.r = r;
	meddling.what = what;
	status = system->boot->create_event(EVT_TIMER | EVT_NOTIFY_SIGNAL, TPL_CALLBACK, meddle_inside, NULL, &timer);
	if (status != EFI_SUCCESS)
		return status;
	status = system->boot->set_timer(timer, TIMER_PERIODIC, 50 * MILLISECOND);
	if (status == EFI_SUCCESS)
		status = converse(r, count, &done);
	system->boot->close_event(timer);
	say("%u exchanges, %u attempts inside, %u of them successful, else status %x\n", done, meddling.times, meddling.successes,
	    meddling.last);
	return status == EFI_SUCCESS && meddling.times == 0 ? EFI_ABORTED : status;
}
