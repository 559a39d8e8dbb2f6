/* A resident driver whose periodic timer event ticks every millisecond while others work. It goes away when it is
 * unloaded. */
#include "efi.h"
#include "ticks.h"

/* UEFI 2.11, 7.1: timer periods are in units of 100 ns. */
#define MILLISECOND 10000

static boot_services *boot;
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
	status = boot->uninstall_protocol(handle, &ticks_guid, &counter);
	if (status != EFI_SUCCESS)
		return status;
	boot->set_timer(timer, TIMER_CANCEL, 0);
	return boot->close_event(timer);
}

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, system_table *system)
{
	loaded_image *self;
	EFI_STATUS status;

	boot = system->boot;
	status = boot->handle_protocol(image, &loaded_image_guid, (void **)&self);
	if (status != EFI_SUCCESS)
		return status;
	self->unload = unload;
	status = boot->create_event(EVT_TIMER | EVT_NOTIFY_SIGNAL, TPL_NOTIFY, tick, &counter, &timer);
	if (status != EFI_SUCCESS)
		return status;
	status = boot->set_timer(timer, TIMER_PERIODIC, MILLISECOND);
	if (status == EFI_SUCCESS)
		status = boot->install_protocol(&handle, &ticks_guid, 0, &counter);
	if (status != EFI_SUCCESS)
		boot->close_event(timer);
	return status;
}
