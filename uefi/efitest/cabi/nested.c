/* Calls while another call is in progress: from a timer event above TPL_CALLBACK at any moment,
 * from one at TPL_CALLBACK while the driver waits. */
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
	EFI_STATUS status = nested.r->SCardStatus(nested.r, NULL, NULL, &state, NULL, NULL, NULL);

	(void)event;
	(void)context;
	if (status == EFI_ACCESS_DENIED) {
		nested.denied++;
	} else {
		nested.others++;
		nested.other = status;
	}
}

EFI_STATUS call_inside(EFI_SYSTEM_TABLE *system, reader *r, UINT64 count, EFI_TPL level)
{
	EFI_EVENT timer;
	EFI_STATUS status;
	UINT64 done;

	nested.r = r;
	status = system->BootServices->CreateEvent(EVT_TIMER | EVT_NOTIFY_SIGNAL, level, call, NULL,
						   &timer);
	if (status != EFI_SUCCESS)
		return status;
	status = system->BootServices->SetTimer(timer, TimerPeriodic, MILLISECOND);
	if (status == EFI_SUCCESS)
		status = converse(r, count, &done);
	system->BootServices->CloseEvent(timer);
	if (status != EFI_SUCCESS)
		return status;
	print("%u exchanges, %u calls inside, %u of them not denied (status %x)\n", done,
	    nested.denied + nested.others, nested.others, nested.other);
	/* At TPL_CALLBACK some calls are made between two exchanges. */
	return nested.denied > 0 && (nested.others == 0 || level == TPL_CALLBACK) ? EFI_SUCCESS
										  : EFI_ABORTED;
}

static struct {
	EFI_BOOT_SERVICES *boot;
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
static void unload_users(EFI_HANDLE handle, EFI_GUID *protocol)
{
	EFI_OPEN_PROTOCOL_INFORMATION_ENTRY *all;
	UINTN n;
	EFI_LOADED_IMAGE_PROTOCOL *image;

	if (meddling.boot->OpenProtocolInformation(handle, protocol, &all, &n) != EFI_SUCCESS)
		return;
	for (UINTN k = 0; k < n; k++)
		if (meddling.boot->HandleProtocol(all[k].AgentHandle, &loaded_image_guid,
						  (void **)&image) == EFI_SUCCESS &&
		    image->Unload != NULL)
			count_attempt(meddling.boot->UnloadImage(all[k].AgentHandle));
	meddling.boot->FreePool(all);
}

static void each(EFI_GUID *protocol)
{
	EFI_HANDLE *handles;
	UINTN count = 0;

	if (meddling.boot->LocateHandleBuffer(ByProtocol, protocol, NULL, &count, &handles) !=
	    EFI_SUCCESS)
		return;
	for (UINTN i = 0; i < count; i++) {
		if (equal(meddling.what, "connect"))
			count_attempt(meddling.boot->ConnectController(handles[i], NULL, NULL, 1));
		else if (equal(meddling.what, "unload"))
			unload_users(handles[i],
				     protocol == &pci_io_guid ? protocol : &usb_io_guid);
		else
			count_attempt(meddling.boot->DisconnectController(handles[i], NULL, NULL));
	}
	meddling.boot->FreePool(handles);
}

static void EFIAPI meddle_inside(EFI_EVENT event, void *context)
{
	UINT32 state;

	(void)event;
	(void)context;
	if (meddling.r->SCardStatus(meddling.r, NULL, NULL, &state, NULL, NULL, NULL) !=
	    EFI_ACCESS_DENIED)
		return;
	each(equal(meddling.what, "connect") ? &usb_io_guid : &smart_card_reader_guid);
	if (equal(meddling.what, "unload"))
		each(&pci_io_guid);
}

EFI_STATUS meddle(EFI_SYSTEM_TABLE *system, reader *r, UINT64 count, const char *what)
{
	EFI_EVENT timer;
	EFI_STATUS status;
	UINT64 done = 0;

	meddling.boot = system->BootServices;
	meddling.r = r;
	meddling.what = what;
	status = system->BootServices->CreateEvent(EVT_TIMER | EVT_NOTIFY_SIGNAL, TPL_CALLBACK,
						   meddle_inside, NULL, &timer);
	if (status != EFI_SUCCESS)
		return status;
	status = system->BootServices->SetTimer(timer, TimerPeriodic, 50 * MILLISECOND);
	if (status == EFI_SUCCESS)
		status = converse(r, count, &done);
	system->BootServices->CloseEvent(timer);
	print("%u exchanges, %u attempts inside, %u of them successful, else status %x\n", done,
	    meddling.times, meddling.successes, meddling.last);
	return status == EFI_SUCCESS && meddling.times == 0 ? EFI_ABORTED : status;
}
