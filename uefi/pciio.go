package uefi

// PCIIOGUID is EFI_PCI_IO_PROTOCOL_GUID (UEFI 2.11, 14.4).
var PCIIOGUID = MustGUID("4cf5b200-68b8-4ca5-9eec-b23e3f50029a")

// PCIIOAccess is EFI_PCI_IO_PROTOCOL_ACCESS and EFI_PCI_IO_PROTOCOL_CONFIG_ACCESS (UEFI 2.11, 14.4).
type PCIIOAccess struct {
	Read  uintptr
	Write uintptr
}

// PCIIOTable is EFI_PCI_IO_PROTOCOL (UEFI 2.11, 14.4).
type PCIIOTable struct {
	PollMem        uintptr
	PollIO         uintptr
	Mem            PCIIOAccess
	IO             PCIIOAccess
	Config         PCIIOAccess
	CopyMem        uintptr
	Map            uintptr
	Unmap          uintptr
	AllocateBuffer uintptr
	FreeBuffer     uintptr
	Flush          uintptr
	GetLocation    uintptr
	Attributes     uintptr
	GetBarAttrs    uintptr
	SetBarAttrs    uintptr
	ROMSize        uint64
	ROMImage       uintptr
}
