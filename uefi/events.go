package uefi

import (
	"time"
	"unsafe"

	"tamaccid/uefi/internal/abi"
)

// timerUnit is the unit of SetTimer (UEFI 2.11, 7.1.7: 100 ns).
const timerUnit = 100 * time.Nanosecond

// CreateEvent creates an event (UEFI 2.11, 7.1.1). notify is the address of a function that
// firmware calls with the event and context, 0 for none; gate.NewFunc makes one of a Go function.
// CloseEvent frees the event.
func (b *BootServices) CreateEvent(
	kind EventType, level TPL, notify, context uintptr,
) (ev Event, err error) {
	err = check(abi.Call(b.table.CreateEvent, uintptr(kind), uintptr(level), notify, context,
		uintptr(unsafe.Pointer(&ev))))
	if err != nil {
		return 0, err
	}
	return ev, nil
}

// CreateEventEx creates an event that belongs to a group (UEFI 2.11, 7.1.2).
func (b *BootServices) CreateEventEx(
	kind EventType, level TPL, notify, context uintptr, group *GUID,
) (ev Event, err error) {
	err = check(abi.Call(b.table.CreateEventEx, uintptr(kind), uintptr(level), notify, context,
		uintptr(unsafe.Pointer(group)), uintptr(unsafe.Pointer(&ev))))
	if err != nil {
		return 0, err
	}
	return ev, nil
}

// Event groups (UEFI 2.11, 7.1.2).
var (
	GroupExitBootServices       = MustGUID("27abf055-b1b8-4c26-8048-748f37baa2df")
	GroupBeforeExitBootServices = MustGUID("8be0e274-3970-4b44-80c5-1ab9502f3bfc")
	GroupReadyToBoot            = MustGUID("7ce88fb3-4bd7-4679-87a8-a8d8dee50d2b")
	GroupAfterReadyToBoot       = MustGUID("3a2a00ad-98b9-4cdf-a478-702777f1c10b")
	GroupMemoryMapChange        = MustGUID("78bee926-692f-48fd-9edb-01422ef0d7ab")
	// GroupIdleLoop is signaled by edk2 while WaitForEvent has nothing else to do
	// (MdeModulePkg/Include/Guid/IdleLoopEvent.h).
	GroupIdleLoop             = MustGUID("3c8d294c-5fc3-4451-bb31-c4c032295e6c")
	GroupVirtualAddressChange = MustGUID("13fa7698-c831-49c7-87ea-8f43fcc25196")
)

// CloseEvent removes the event and frees it (UEFI 2.11, 7.1.3).
func (b *BootServices) CloseEvent(ev Event) error {
	return check(abi.Call(b.table.CloseEvent, uintptr(ev)))
}

// SignalEvent signals the event, and its group if it has one (UEFI 2.11, 7.1.4).
func (b *BootServices) SignalEvent(ev Event) error {
	return check(abi.Call(b.table.SignalEvent, uintptr(ev)))
}

// CheckEvent reports whether the event is signaled, and clears it if so (UEFI 2.11, 7.1.6).
func (b *BootServices) CheckEvent(ev Event) (signaled bool, err error) {
	switch status := Status(abi.Call(b.table.CheckEvent, uintptr(ev))); status {
	case NotReady:
		return false, nil
	default:
		return !status.IsError(), status.Err()
	}
}

// WaitForEvent waits until one of the events is signaled, clears it and returns its index (UEFI
// 2.11, 7.1.5). It has no time limit, and no goroutine runs during it: add a timer event, or call
// CheckEvent repeatedly from a goroutine. The TPL must be TPLApplication.
func (b *BootServices) WaitForEvent(events ...Event) (index int, err error) {
	if len(events) == 0 {
		return -1, InvalidParameter
	}
	var at uintptr
	err = check(abi.Call(b.table.WaitForEvent, uintptr(len(events)),
		uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(unsafe.Pointer(&at))))
	if at >= uintptr(len(events)) {
		at = 0
		if err == nil {
			err = DeviceError
		}
	}
	return int(at), err
}

// SetTimer sets or cancels a timer event (UEFI 2.11, 7.1.7). d is rounded up to 100 ns. For a
// relative or periodic timer 0 means the next tick of firmware's clock.
func (b *BootServices) SetTimer(ev Event, kind TimerDelay, d time.Duration) error {
	if d < 0 {
		d = 0
	}
	return check(abi.Call(b.table.SetTimer, uintptr(ev), uintptr(kind),
		uintptr((d+timerUnit-1)/timerUnit)))
}
