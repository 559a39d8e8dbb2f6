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
