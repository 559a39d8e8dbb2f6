/* A resident driver with a periodic timer event of 1 ms. It can be unloaded. */
#include "protocols.h"
#include "ticks.h"

/* UEFI 2.11, 7.1: timer periods are in units of 100 ns. */
#define MILLISECOND 10000

static EFI_BOOT_SERVICES *boot;
static EFI_EVENT timer;
static EFI_HANDLE handle;
static ticks counter;

static void EFIAPI tick(EFI_EVENT event, void *context)
{
	ticks *t = context;

	(void)event;
	t->count++;
	t->sum += 1.0;
}

static EFI_STATUS EFIAPI unload(EFI_HANDLE image)
{
	EFI_STATUS status;

	(void)image;
	status = boot->UninstallProtocolInterface(handle, &ticks_guid, &counter);
	if (status != EFI_SUCCESS)
		return status;
	boot->SetTimer(timer, TimerCancel, 0);
	return boot->CloseEvent(timer);
}

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
	EFI_LOADED_IMAGE_PROTOCOL *self;
	EFI_STATUS status;

	boot = system->BootServices;
	status = boot->HandleProtocol(image, &loaded_image_guid, (void **)&self);
	if (status != EFI_SUCCESS)
		return status;
	self->Unload = unload;
	status = boot->CreateEvent(EVT_TIMER | EVT_NOTIFY_SIGNAL, TPL_NOTIFY, tick, &counter,
				   &timer);
	if (status != EFI_SUCCESS)
		return status;
	status = boot->SetTimer(timer, TimerPeriodic, MILLISECOND);
	if (status == EFI_SUCCESS)
		status = boot->InstallProtocolInterface(&handle, &ticks_guid, 0, &counter);
	if (status != EFI_SUCCESS)
		boot->CloseEvent(timer);
	return status;
}
