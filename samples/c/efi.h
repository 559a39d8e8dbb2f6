/*
 * The part of UEFI 2.11 that the programs here use, for those who have no other UEFI headers. Names
 * are the specification's; gaps in the tables have the type VOID *. It is for 64-bit processors
 * (2.3.1: natural alignment, UINTN of 8 bytes), and offsets are checked when it is compiled.
 */
#ifndef EFI_H
#define EFI_H

#include <stddef.h>
#include <stdint.h>

/* 2.3.1, 2.3.4: types, and the calling convention. */
#if defined(__x86_64__)
#define EFIAPI __attribute__((ms_abi))
#else
#define EFIAPI
#endif

#define VOID void
typedef uint8_t BOOLEAN;
typedef uint8_t UINT8;
typedef uint16_t UINT16;
typedef uint32_t UINT32;
typedef uint64_t UINT64;
typedef int64_t INT64;
typedef uint64_t UINTN;
typedef uint16_t CHAR16;
typedef UINTN EFI_STATUS;
typedef UINTN EFI_TPL;
typedef VOID *EFI_HANDLE;
typedef VOID *EFI_EVENT;
typedef UINT64 EFI_PHYSICAL_ADDRESS;

typedef struct {
	UINT32 Data1;
	UINT16 Data2, Data3;
	UINT8 Data4[8];
} EFI_GUID;

/* Appendix D: statuses. */
#define EFI_ERROR_BIT 0x8000000000000000ULL
#define EFI_ERROR(status) (((status)&EFI_ERROR_BIT) != 0)
#define EFI_SUCCESS 0ULL
#define EFI_INVALID_PARAMETER (EFI_ERROR_BIT | 2)
#define EFI_UNSUPPORTED (EFI_ERROR_BIT | 3)
#define EFI_BAD_BUFFER_SIZE (EFI_ERROR_BIT | 4)
#define EFI_BUFFER_TOO_SMALL (EFI_ERROR_BIT | 5)
#define EFI_NOT_READY (EFI_ERROR_BIT | 6)
#define EFI_DEVICE_ERROR (EFI_ERROR_BIT | 7)
#define EFI_OUT_OF_RESOURCES (EFI_ERROR_BIT | 9)
#define EFI_NO_MEDIA (EFI_ERROR_BIT | 12)
#define EFI_NOT_FOUND (EFI_ERROR_BIT | 14)
#define EFI_ACCESS_DENIED (EFI_ERROR_BIT | 15)
#define EFI_TIMEOUT (EFI_ERROR_BIT | 18)
#define EFI_ABORTED (EFI_ERROR_BIT | 21)
#define EFI_PROTOCOL_ERROR (EFI_ERROR_BIT | 24)

/* 7.1: events, timers and task priority levels. */
#define EVT_TIMER 0x80000000U
#define EVT_NOTIFY_SIGNAL 0x00000200U
#define TPL_CALLBACK 8
#define TPL_NOTIFY 16

typedef enum { TimerCancel, TimerPeriodic, TimerRelative } EFI_TIMER_DELAY;
typedef VOID(EFIAPI *EFI_EVENT_NOTIFY)(EFI_EVENT Event, VOID *Context);

/* 7.2: memory. */
#define EFI_PAGE_SIZE 4096

typedef enum { AllocateAnyPages } EFI_ALLOCATE_TYPE;
typedef enum { EfiLoaderData = 2, EfiConventionalMemory = 7 } EFI_MEMORY_TYPE;

typedef struct {
	UINT32 Type;
	EFI_PHYSICAL_ADDRESS PhysicalStart;
	UINT64 VirtualStart, NumberOfPages, Attribute;
} EFI_MEMORY_DESCRIPTOR;

/* 7.3: protocols. */
#define EFI_OPEN_PROTOCOL_BY_CHILD_CONTROLLER 0x08
#define EFI_OPEN_PROTOCOL_BY_DRIVER 0x10
#define EFI_OPEN_PROTOCOL_EXCLUSIVE 0x20

typedef enum { AllHandles, ByRegisterNotify, ByProtocol } EFI_LOCATE_SEARCH_TYPE;
typedef enum { EFI_NATIVE_INTERFACE } EFI_INTERFACE_TYPE;

typedef struct {
	EFI_HANDLE AgentHandle, ControllerHandle;
	UINT32 Attributes, OpenCount;
} EFI_OPEN_PROTOCOL_INFORMATION_ENTRY;

/* 4.2: the header of each table. */
typedef struct {
	UINT64 Signature;
	UINT32 Revision, HeaderSize, CRC32, Reserved;
} EFI_TABLE_HEADER;

/* 4.4: boot services. */
typedef struct {
	EFI_TABLE_HEADER Hdr;
	EFI_TPL(EFIAPI *RaiseTPL)(EFI_TPL NewTpl);
	VOID(EFIAPI *RestoreTPL)(EFI_TPL OldTpl);
	EFI_STATUS(EFIAPI *AllocatePages)(
		EFI_ALLOCATE_TYPE Type, EFI_MEMORY_TYPE MemoryType, UINTN Pages,
		EFI_PHYSICAL_ADDRESS *Memory);
	EFI_STATUS(EFIAPI *FreePages)(EFI_PHYSICAL_ADDRESS Memory, UINTN Pages);
	EFI_STATUS(EFIAPI *GetMemoryMap)(
		UINTN *Size, EFI_MEMORY_DESCRIPTOR *Map, UINTN *Key, UINTN *DescriptorSize,
		UINT32 *DescriptorVersion);
	EFI_STATUS(EFIAPI *AllocatePool)(EFI_MEMORY_TYPE PoolType, UINTN Size, VOID **Buffer);
	EFI_STATUS(EFIAPI *FreePool)(VOID *Buffer);
	EFI_STATUS(EFIAPI *CreateEvent)(
		UINT32 Type, EFI_TPL NotifyTpl, EFI_EVENT_NOTIFY NotifyFunction,
		VOID *NotifyContext, EFI_EVENT *Event);
	EFI_STATUS(EFIAPI *SetTimer)(EFI_EVENT Event, EFI_TIMER_DELAY Type, UINT64 TriggerTime);
	VOID *WaitForEvent, *SignalEvent;
	EFI_STATUS(EFIAPI *CloseEvent)(EFI_EVENT Event);
	VOID *CheckEvent;
	EFI_STATUS(EFIAPI *InstallProtocolInterface)(
		EFI_HANDLE *Handle, EFI_GUID *Protocol, EFI_INTERFACE_TYPE Type, VOID *Interface);
	VOID *ReinstallProtocolInterface;
	EFI_STATUS(EFIAPI *UninstallProtocolInterface)(
		EFI_HANDLE Handle, EFI_GUID *Protocol, VOID *Interface);
	EFI_STATUS(EFIAPI *HandleProtocol)(EFI_HANDLE Handle, EFI_GUID *Protocol, VOID **Interface);
	VOID *Reserved, *RegisterProtocolNotify, *LocateHandle, *LocateDevicePath;
	VOID *InstallConfigurationTable;
	EFI_STATUS(EFIAPI *LoadImage)(
		BOOLEAN BootPolicy, EFI_HANDLE ParentImageHandle, VOID *DevicePath,
		VOID *SourceBuffer, UINTN SourceSize, EFI_HANDLE *ImageHandle);
	EFI_STATUS(EFIAPI *StartImage)(
		EFI_HANDLE ImageHandle, UINTN *ExitDataSize, CHAR16 **ExitData);
	VOID *Exit;
	EFI_STATUS(EFIAPI *UnloadImage)(EFI_HANDLE ImageHandle);
	EFI_STATUS(EFIAPI *ExitBootServices)(EFI_HANDLE ImageHandle, UINTN MapKey);
	VOID *GetNextMonotonicCount;
	EFI_STATUS(EFIAPI *Stall)(UINTN Microseconds);
	VOID *SetWatchdogTimer;
	EFI_STATUS(EFIAPI *ConnectController)(
		EFI_HANDLE ControllerHandle, EFI_HANDLE *DriverImageHandle,
		VOID *RemainingDevicePath, BOOLEAN Recursive);
	EFI_STATUS(EFIAPI *DisconnectController)(
		EFI_HANDLE ControllerHandle, EFI_HANDLE DriverImageHandle, EFI_HANDLE ChildHandle);
	VOID *OpenProtocol, *CloseProtocol;
	EFI_STATUS(EFIAPI *OpenProtocolInformation)(
		EFI_HANDLE Handle, EFI_GUID *Protocol,
		EFI_OPEN_PROTOCOL_INFORMATION_ENTRY **EntryBuffer, UINTN *EntryCount);
	VOID *ProtocolsPerHandle;
	EFI_STATUS(EFIAPI *LocateHandleBuffer)(
		EFI_LOCATE_SEARCH_TYPE SearchType, EFI_GUID *Protocol, VOID *SearchKey,
		UINTN *NoHandles, EFI_HANDLE **Buffer);
	EFI_STATUS(EFIAPI *LocateProtocol)(
		EFI_GUID *Protocol, VOID *Registration, VOID **Interface);
	VOID *InstallMultipleProtocolInterfaces, *UninstallMultipleProtocolInterfaces;
	VOID *CalculateCrc32, *CopyMem, *SetMem, *CreateEventEx;
} EFI_BOOT_SERVICES;

/* 12.4: text output. */
typedef struct EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL;
struct EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL {
	VOID *Reset;
	EFI_STATUS(EFIAPI *OutputString)(EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL *This, CHAR16 *String);
	VOID *TestString, *QueryMode, *SetMode, *SetAttribute, *ClearScreen, *SetCursorPosition;
	VOID *EnableCursor, *Mode;
};

/* 4.3: the system table, which each program gets. */
typedef struct {
	EFI_TABLE_HEADER Hdr;
	CHAR16 *FirmwareVendor;
	UINT32 FirmwareRevision;
	EFI_HANDLE ConsoleInHandle;
	VOID *ConIn;
	EFI_HANDLE ConsoleOutHandle;
	EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL *ConOut;
	EFI_HANDLE StandardErrorHandle;
	EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL *StdErr;
	VOID *RuntimeServices;
	EFI_BOOT_SERVICES *BootServices;
	UINTN NumberOfTableEntries;
	VOID *ConfigurationTable;
} EFI_SYSTEM_TABLE;

_Static_assert(sizeof(EFI_TABLE_HEADER) == 24, "UEFI 2.11, 4.2.1");
_Static_assert(sizeof(EFI_MEMORY_DESCRIPTOR) == 40, "UEFI 2.11, 7.2.3");
_Static_assert(sizeof(EFI_OPEN_PROTOCOL_INFORMATION_ENTRY) == 24, "UEFI 2.11, 7.3.11");
_Static_assert(offsetof(EFI_BOOT_SERVICES, AllocatePages) == 40, "UEFI 2.11, 4.4.1");
_Static_assert(offsetof(EFI_BOOT_SERVICES, FreePool) == 72, "UEFI 2.11, 4.4.1");
_Static_assert(offsetof(EFI_BOOT_SERVICES, SetTimer) == 88, "UEFI 2.11, 4.4.1");
_Static_assert(offsetof(EFI_BOOT_SERVICES, InstallProtocolInterface) == 128, "UEFI 2.11, 4.4.1");
_Static_assert(offsetof(EFI_BOOT_SERVICES, HandleProtocol) == 152, "UEFI 2.11, 4.4.1");
_Static_assert(offsetof(EFI_BOOT_SERVICES, LoadImage) == 200, "UEFI 2.11, 4.4.1");
_Static_assert(offsetof(EFI_BOOT_SERVICES, ExitBootServices) == 232, "UEFI 2.11, 4.4.1");
_Static_assert(offsetof(EFI_BOOT_SERVICES, Stall) == 248, "UEFI 2.11, 4.4.1");
_Static_assert(offsetof(EFI_BOOT_SERVICES, ConnectController) == 264, "UEFI 2.11, 4.4.1");
_Static_assert(offsetof(EFI_BOOT_SERVICES, OpenProtocolInformation) == 296, "UEFI 2.11, 4.4.1");
_Static_assert(offsetof(EFI_BOOT_SERVICES, LocateHandleBuffer) == 312, "UEFI 2.11, 4.4.1");
_Static_assert(offsetof(EFI_BOOT_SERVICES, LocateProtocol) == 320, "UEFI 2.11, 4.4.1");
_Static_assert(sizeof(EFI_BOOT_SERVICES) == 376, "UEFI 2.11, 4.4.1");
_Static_assert(offsetof(EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL, OutputString) == 8, "UEFI 2.11, 12.4.1");
_Static_assert(offsetof(EFI_SYSTEM_TABLE, ConOut) == 64, "UEFI 2.11, 4.3.1");
_Static_assert(offsetof(EFI_SYSTEM_TABLE, BootServices) == 96, "UEFI 2.11, 4.3.1");

#endif
