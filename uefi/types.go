package uefi

// Handle is an EFI_HANDLE, 0 for none.
type Handle uintptr

// Event is an EFI_EVENT, 0 for none.
type Event uintptr

// TPL is a task priority level (UEFI 2.11, 7.1).
type TPL uintptr

// Task priority levels (UEFI 2.11, 7.1).
const (
	TPLApplication TPL = 4
	TPLCallback    TPL = 8
	TPLNotify      TPL = 16
	TPLHighLevel   TPL = 31
)

// EventType is the kind of an event, which determines when its function is called (UEFI 2.11,
// 7.1.1).
type EventType uint32

// Event types (UEFI 2.11, 7.1.1).
const (
	EventTimer                EventType = 0x80000000
	EventRuntime              EventType = 0x40000000
	EventNotifyWait           EventType = 0x00000100
	EventNotifySignal         EventType = 0x00000200
	EventExitBootServices     EventType = 0x00000201
	EventVirtualAddressChange EventType = 0x60000202
)

// TimerDelay is how SetTimer arms a timer event (UEFI 2.11, 7.1.7).
type TimerDelay uintptr

// Timer delays (UEFI 2.11, 7.1.7).
const (
	TimerCancel TimerDelay = iota
	TimerPeriodic
	TimerRelative
)

// MemoryType is what pages are used for (UEFI 2.11, 7.2.1).
type MemoryType uint32

// Memory types (UEFI 2.11, 7.2.1).
const (
	ReservedMemory MemoryType = iota
	LoaderCode
	LoaderData
	BootServicesCode
	BootServicesData
	RuntimeServicesCode
	RuntimeServicesData
	ConventionalMemory
	UnusableMemory
	ACPIReclaimMemory
	ACPIMemoryNVS
	MemoryMappedIO
	MemoryMappedIOPortSpace
	PALCode
	PersistentMemory
	UnacceptedMemory
)

// AllocateType is how AllocatePages chooses an address (UEFI 2.11, 7.2.1).
type AllocateType uintptr

// Allocation types (UEFI 2.11, 7.2.1).
const (
	AllocateAnyPages AllocateType = iota
	AllocateMaxAddress
	AllocateAddress
)

// PageSize is the unit of AllocatePages and of the memory map, on every processor (UEFI 2.11,
// 7.2.1).
const PageSize = 4096

// OpenAttributes state how an agent uses a protocol (UEFI 2.11, 7.3.9).
type OpenAttributes uint32

// Attributes of OpenProtocol (UEFI 2.11, 7.3.9).
const (
	OpenByHandleProtocol  OpenAttributes = 0x01
	OpenGetProtocol       OpenAttributes = 0x02
	OpenTestProtocol      OpenAttributes = 0x04
	OpenByChildController OpenAttributes = 0x08
	OpenByDriver          OpenAttributes = 0x10
	OpenExclusive         OpenAttributes = 0x20
)

// SearchType is what LocateHandleBuffer looks for (UEFI 2.11, 7.3.15).
type SearchType uintptr

// Search types (UEFI 2.11, 7.3.15).
const (
	AllHandles SearchType = iota
	ByRegisterNotify
	ByProtocol
)

// nativeInterface is EFI_NATIVE_INTERFACE, the only interface type (UEFI 2.11, 7.3.2).
const nativeInterface = 0

// ResetType is what ResetSystem does (UEFI 2.11, 8.5.1).
type ResetType uintptr

// Reset types (UEFI 2.11, 8.5.1).
const (
	ResetCold ResetType = iota
	ResetWarm
	ResetShutdown
	ResetPlatformSpecific
)

// VariableAttributes belong to a variable (UEFI 2.11, 8.2.1).
type VariableAttributes uint32

// Variable attributes (UEFI 2.11, 8.2.1).
const (
	VariableNonVolatile                       VariableAttributes = 0x01
	VariableBootServiceAccess                 VariableAttributes = 0x02
	VariableRuntimeAccess                     VariableAttributes = 0x04
	VariableHardwareErrorRecord               VariableAttributes = 0x08
	VariableTimeBasedAuthenticatedWriteAccess VariableAttributes = 0x20
	VariableAppendWrite                       VariableAttributes = 0x40
	VariableEnhancedAuthenticatedAccess       VariableAttributes = 0x80
)

// GlobalVariable is the vendor GUID of Boot####, Driver#### and the like (UEFI 2.11, 3.3).
var GlobalVariable = MustGUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
