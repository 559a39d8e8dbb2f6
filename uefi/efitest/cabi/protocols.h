/*
 * The protocols that these programs use beside that of the reader: the loaded image (UEFI 2.11,
 * 9.1) and files (13.4, 13.5). Everything else of UEFI is in samples/c/efi.h.
 */
#ifndef PROTOCOLS_H
#define PROTOCOLS_H

#include "efi.h"

typedef struct {
	UINT32 Revision;
	EFI_HANDLE ParentHandle;
	EFI_SYSTEM_TABLE *SystemTable;
	EFI_HANDLE DeviceHandle;
	VOID *FilePath, *Reserved;
	UINT32 LoadOptionsSize;
	CHAR16 *LoadOptions;
	VOID *ImageBase;
	UINT64 ImageSize;
	EFI_MEMORY_TYPE ImageCodeType, ImageDataType;
	EFI_STATUS(EFIAPI *Unload)(EFI_HANDLE ImageHandle);
} EFI_LOADED_IMAGE_PROTOCOL;

_Static_assert(offsetof(EFI_LOADED_IMAGE_PROTOCOL, LoadOptions) == 56, "UEFI 2.11, 9.1.1");
_Static_assert(offsetof(EFI_LOADED_IMAGE_PROTOCOL, Unload) == 88, "UEFI 2.11, 9.1.1");

__attribute__((unused)) static EFI_GUID loaded_image_guid = {
	0x5B1B31A1, 0x9562, 0x11D2, {0x8E, 0x3F, 0x00, 0xA0, 0xC9, 0x69, 0x72, 0x3B}};

#define EFI_FILE_MODE_READ 1
#define END_OF_FILE 0xFFFFFFFFFFFFFFFFULL /* 13.5.11: a position */

typedef struct EFI_FILE_PROTOCOL EFI_FILE_PROTOCOL;
struct EFI_FILE_PROTOCOL {
	UINT64 Revision;
	EFI_STATUS(EFIAPI *Open)(
		EFI_FILE_PROTOCOL *This, EFI_FILE_PROTOCOL **NewHandle, CHAR16 *FileName,
		UINT64 OpenMode, UINT64 Attributes);
	EFI_STATUS(EFIAPI *Close)(EFI_FILE_PROTOCOL *This);
	VOID *Delete;
	EFI_STATUS(EFIAPI *Read)(EFI_FILE_PROTOCOL *This, UINTN *BufferSize, VOID *Buffer);
	VOID *Write;
	EFI_STATUS(EFIAPI *GetPosition)(EFI_FILE_PROTOCOL *This, UINT64 *Position);
	EFI_STATUS(EFIAPI *SetPosition)(EFI_FILE_PROTOCOL *This, UINT64 Position);
};

typedef struct EFI_SIMPLE_FILE_SYSTEM_PROTOCOL EFI_SIMPLE_FILE_SYSTEM_PROTOCOL;
struct EFI_SIMPLE_FILE_SYSTEM_PROTOCOL {
	UINT64 Revision;
	EFI_STATUS(EFIAPI *OpenVolume)(
		EFI_SIMPLE_FILE_SYSTEM_PROTOCOL *This, EFI_FILE_PROTOCOL **Root);
};

#endif
