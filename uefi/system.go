// Package uefi binds the services and protocols of UEFI firmware: byte-exact tables, typed
// statuses, and Go functions over boot services, runtime services, console, device paths and the
// protocols that a driver or an application uses.
//
// Specification: UEFI 2.11 ("UEFI"), with clause numbers of that release.
//
// Memory. A pointer from firmware is a uintptr or a pointer made by At. The garbage collector does
// not manage its memory; each function states who frees it. A pointer that firmware keeps (an
// installed protocol, the context of a notification) must not point to Go memory that only firmware
// refers to: use AllocatePool, or keep a Go reference for as long as firmware may use it. Go
// objects do not move on the heap.
//
// No other goroutine runs during a firmware function.
package uefi

import (
	"unsafe"

	"tamaccid/uefi/gate"
	"tamaccid/uefi/internal/abi"
)

// At is the object of type T at an address from firmware, nil for 0. The memory belongs to the
// firmware.
func At[T any](addr uintptr) *T { return abi.At[T](addr) }

// The tables that the wrappers use. On a host, without firmware, they are empty and every call is
// Unsupported.
var (
	system          = tableAt[SystemTable](gate.SystemTable())
	bootServices    = &BootServices{table: tableAt[BootServicesTable](system.BootServices)}
	runtimeServices = &RuntimeServices{table: tableAt[RuntimeServicesTable](system.RuntimeServices)}
)

func tableAt[T any](addr uintptr) *T {
	if addr == 0 {
		return new(T)
	}
	return At[T](addr)
}

// System is the system table. It belongs to the firmware.
func System() *SystemTable { return system }

// Boot is the boot services. They end with ExitBootServices.
func Boot() *BootServices { return bootServices }

// Runtime is the runtime services.
func Runtime() *RuntimeServices { return runtimeServices }

// ImageHandle is the handle of the running image.
func ImageHandle() Handle { return Handle(gate.ImageHandle()) }

// maxVendor bounds the length of the firmware vendor's name, in CHAR16 (policy).
const maxVendor = 256

// Firmware is the firmware's vendor and revision, which have meaning to the vendor only (UEFI 2.11,
// 4.3.1).
func Firmware() (vendor string, revision uint32) {
	return StringAt(system.FirmwareVendor, maxVendor), system.FirmwareRevision
}

// maxConfigurationTables bounds a count that firmware gives (policy: real machines have about
// twenty).
const maxConfigurationTables = 4096

// ConfigurationTables are the pairs of GUID and table address that the system table lists (UEFI
// 2.11, 4.6). The slice is firmware's memory and changes with InstallConfigurationTable: do not
// keep it.
func ConfigurationTables() []ConfigurationTable {
	n := system.NumberOfTableEntries
	if system.ConfigurationTable == 0 || n > maxConfigurationTables {
		return nil
	}
	return unsafe.Slice(At[ConfigurationTable](system.ConfigurationTable), n)
}
