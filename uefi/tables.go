package uefi

// The tables are byte-exact: every member that is a function or a pointer in the specification is a
// uintptr here, and no method of theirs exists. The wrappers (BootServices and the like) are what
// programs call.

// TableHeader is EFI_TABLE_HEADER (UEFI 2.11, 4.2.1).
type TableHeader struct {
	Signature  uint64
	Revision   uint32
	HeaderSize uint32
	CRC32      uint32
	Reserved   uint32
}

// Signatures of the tables (UEFI 2.11, 4.3.1, 4.4.1, 4.5.1).
const (
	SystemTableSignature     uint64 = 0x5453595320494249
	BootServicesSignature    uint64 = 0x56524553544f4f42
	RuntimeServicesSignature uint64 = 0x56524553544e5552
)

// SystemTable is EFI_SYSTEM_TABLE (UEFI 2.11, 4.3.1).
type SystemTable struct {
	Header               TableHeader
	FirmwareVendor       uintptr // CHAR16 *
	FirmwareRevision     uint32
	_                    uint32
	ConsoleInHandle      Handle
	ConIn                uintptr // EFI_SIMPLE_TEXT_INPUT_PROTOCOL *
	ConsoleOutHandle     Handle
	ConOut               uintptr // EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL *
	StandardErrorHandle  Handle
	StdErr               uintptr // EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL *
	RuntimeServices      uintptr // EFI_RUNTIME_SERVICES *
	BootServices         uintptr // EFI_BOOT_SERVICES *
	NumberOfTableEntries uintptr
	ConfigurationTable   uintptr // EFI_CONFIGURATION_TABLE *
}

// BootServicesTable is EFI_BOOT_SERVICES (UEFI 2.11, 4.4.1).
type BootServicesTable struct {
	Header                              TableHeader
	RaiseTPL                            uintptr
	RestoreTPL                          uintptr
	AllocatePages                       uintptr
	FreePages                           uintptr
	GetMemoryMap                        uintptr
	AllocatePool                        uintptr
	FreePool                            uintptr
	CreateEvent                         uintptr
	SetTimer                            uintptr
	WaitForEvent                        uintptr
	SignalEvent                         uintptr
	CloseEvent                          uintptr
	CheckEvent                          uintptr
	InstallProtocolInterface            uintptr
	ReinstallProtocolInterface          uintptr
	UninstallProtocolInterface          uintptr
	HandleProtocol                      uintptr
	Reserved                            uintptr
	RegisterProtocolNotify              uintptr
	LocateHandle                        uintptr
	LocateDevicePath                    uintptr
	InstallConfigurationTable           uintptr
	LoadImage                           uintptr
	StartImage                          uintptr
	Exit                                uintptr
	UnloadImage                         uintptr
	ExitBootServices                    uintptr
	GetNextMonotonicCount               uintptr
	Stall                               uintptr
	SetWatchdogTimer                    uintptr
	ConnectController                   uintptr
	DisconnectController                uintptr
	OpenProtocol                        uintptr
	CloseProtocol                       uintptr
	OpenProtocolInformation             uintptr
	ProtocolsPerHandle                  uintptr
	LocateHandleBuffer                  uintptr
	LocateProtocol                      uintptr
	InstallMultipleProtocolInterfaces   uintptr
	UninstallMultipleProtocolInterfaces uintptr
	CalculateCrc32                      uintptr
	CopyMem                             uintptr
	SetMem                              uintptr
	CreateEventEx                       uintptr
}

// RuntimeServicesTable is EFI_RUNTIME_SERVICES (UEFI 2.11, 4.5.1).
type RuntimeServicesTable struct {
	Header                    TableHeader
	GetTime                   uintptr
	SetTime                   uintptr
	GetWakeupTime             uintptr
	SetWakeupTime             uintptr
	SetVirtualAddressMap      uintptr
	ConvertPointer            uintptr
	GetVariable               uintptr
	GetNextVariableName       uintptr
	SetVariable               uintptr
	GetNextHighMonotonicCount uintptr
	ResetSystem               uintptr
	UpdateCapsule             uintptr
	QueryCapsuleCapabilities  uintptr
	QueryVariableInfo         uintptr
}

// ConfigurationTable is EFI_CONFIGURATION_TABLE (UEFI 2.11, 4.6.1).
type ConfigurationTable struct {
	VendorGUID  GUID
	VendorTable uintptr
}

// MemoryDescriptor is EFI_MEMORY_DESCRIPTOR (UEFI 2.11, 7.2.3). Firmware's descriptors may be
// longer.
type MemoryDescriptor struct {
	Type          MemoryType
	_             uint32
	PhysicalStart uint64
	VirtualStart  uint64
	Pages         uint64
	Attribute     uint64
}

// OpenProtocolInformationEntry is EFI_OPEN_PROTOCOL_INFORMATION_ENTRY (UEFI 2.11, 7.3.11).
type OpenProtocolInformationEntry struct {
	Agent      Handle
	Controller Handle
	Attributes OpenAttributes
	OpenCount  uint32
}

// Time is EFI_TIME (UEFI 2.11, 8.3.1).
type Time struct {
	Year       uint16 // 1900 to 9999
	Month      uint8
	Day        uint8
	Hour       uint8
	Minute     uint8
	Second     uint8
	_          uint8
	Nanosecond uint32
	TimeZone   int16 // minutes; local time = UTC - TimeZone, or UnspecifiedTimeZone
	Daylight   uint8
	_          uint8
}

// TimeCapabilities is EFI_TIME_CAPABILITIES (UEFI 2.11, 8.3.1).
type TimeCapabilities struct {
	Resolution uint32 // counts per second
	Accuracy   uint32 // parts per million
	SetsToZero uint8  // BOOLEAN
}
