package uefi

import (
	"unsafe"

	"tamaccid/uefi/internal/abi"
)

// USB2HCGUID is EFI_USB2_HC_PROTOCOL_GUID (UEFI 2.11, 17.1.2).
var USB2HCGUID = MustGUID("3e745226-9818-45b6-a2ac-d7cd0e8ba2bc")

// USB2HCTable is EFI_USB2_HC_PROTOCOL (UEFI 2.11, 17.1.2). It is the USB bus driver's: others only read port states.
type USB2HCTable struct {
	GetCapability            uintptr
	Reset                    uintptr
	GetState                 uintptr
	SetState                 uintptr
	ControlTransfer          uintptr
	BulkTransfer             uintptr
	AsyncInterruptTransfer   uintptr
	SyncInterruptTransfer    uintptr
	IsochronousTransfer      uintptr
	AsyncIsochronousTransfer uintptr
	GetRootHubPortStatus     uintptr
	SetRootHubPortFeature    uintptr
	ClearRootHubPortFeature  uintptr
	MajorRevision            uint16
	MinorRevision            uint16
}

// USBPortStatus is EFI_USB_PORT_STATUS; bit 0 of both members is about the connection (UEFI 2.11, 17.1.2).
type USBPortStatus struct {
	Status uint16
	Change uint16
}

// RootHubPortStatus reads the state of a root hub's port, counted from 0, of the host controller whose protocol is at addr.
func RootHubPortStatus(addr uintptr, port uint8) (s USBPortStatus, err error) {
	err = check(abi.Call(tableAt[USB2HCTable](addr).GetRootHubPortStatus, addr, uintptr(port), uintptr(unsafe.Pointer(&s))))
	return s, err
}
