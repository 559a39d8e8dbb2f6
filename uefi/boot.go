package uefi

import (
	"time"
	"unsafe"

	"tamaccid/uefi/internal/abi"
)

// BootServices are the boot services (UEFI 2.11, 7). Every method returns the firmware's Status as
// its error, or nil for success and for warnings.
type BootServices struct{ table *BootServicesTable }

// Table is the raw table, for what has no method here.
func (b *BootServices) Table() *BootServicesTable { return b.table }

// check turns the result of a firmware call into a Go error.
func check(status uintptr) error { return Status(status).Err() }

// RaiseTPL raises the task priority and returns the former one (UEFI 2.11, 7.1.8).
// The level must not be below the current one: firmware may stop the machine.
func (b *BootServices) RaiseTPL(level TPL) (former TPL) {
	return TPL(abi.Call(b.table.RaiseTPL, uintptr(level)))
}

// RestoreTPL goes back to the level that RaiseTPL returned (UEFI 2.11, 7.1.9).
func (b *BootServices) RestoreTPL(former TPL) {
	abi.Call(b.table.RestoreTPL, uintptr(former))
}

// AllocatePages allocates pages of PageSize bytes (UEFI 2.11, 7.2.1). addr is ignored, a limit or
// the address itself, depending on how. The memory is not zeroed. FreePages frees it.
func (b *BootServices) AllocatePages(
	how AllocateType, use MemoryType, pages uintptr, addr uint64,
) (uint64, error) {
	if err := check(abi.Call(b.table.AllocatePages, uintptr(how), uintptr(use), pages,
		uintptr(unsafe.Pointer(&addr)))); err != nil {
		return 0, err
	}
	return addr, nil
}

// FreePages frees pages (UEFI 2.11, 7.2.2).
func (b *BootServices) FreePages(addr uint64, pages uintptr) error {
	return check(abi.Call(b.table.FreePages, uintptr(addr), pages))
}

// AllocatePool allocates size bytes, aligned on 8 and not zeroed (UEFI 2.11, 7.2.4). FreePool frees
// them.
func (b *BootServices) AllocatePool(use MemoryType, size uintptr) (addr uintptr, err error) {
	if err := check(abi.Call(b.table.AllocatePool, uintptr(use), size,
		uintptr(unsafe.Pointer(&addr)))); err != nil {
		return 0, err
	}
	if addr == 0 {
		return 0, OutOfResources
	}
	return addr, nil
}

// FreePool frees memory of AllocatePool, or memory that a service allocated for its caller (UEFI
// 2.11, 7.2.5). It does nothing for 0.
func (b *BootServices) FreePool(addr uintptr) error {
	if addr == 0 {
		return nil
	}
	return check(abi.Call(b.table.FreePool, addr))
}

// Stall waits at least d (UEFI 2.11, 7.5.2). No other goroutine runs during it: most programs use
// time.Sleep instead.
func (b *BootServices) Stall(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	return check(abi.Call(b.table.Stall, uintptr((d+time.Microsecond-1)/time.Microsecond)))
}

// SetWatchdogTimer resets the machine after that many seconds; 0 turns the watchdog off (UEFI 2.11,
// 7.5.1). Firmware sets it to 5 minutes before it starts a boot option. code is logged; codes below
// 0x10000 are reserved for firmware.
func (b *BootServices) SetWatchdogTimer(seconds uintptr, code uint64) error {
	return check(abi.Call(b.table.SetWatchdogTimer, seconds, uintptr(code), 0, 0))
}

// NextMonotonicCount is a number that increases with every call, also across resets (UEFI 2.11,
// 7.5.5).
func (b *BootServices) NextMonotonicCount() (n uint64, err error) {
	err = check(abi.Call(b.table.GetNextMonotonicCount, uintptr(unsafe.Pointer(&n))))
	return n, err
}

// InstallConfigurationTable adds or replaces an entry of the system table, or removes it with addr
// 0 (UEFI 2.11, 7.5.6). The memory at addr belongs to the caller. Its memory type must live as long
// as the entry.
func (b *BootServices) InstallConfigurationTable(vendor *GUID, addr uintptr) error {
	return check(abi.Call(b.table.InstallConfigurationTable, uintptr(unsafe.Pointer(vendor)), addr))
}
