/* What these programs need of the UEFI specification 2.11, and nothing of anybody's headers: the types of 2.3.1, the
 * tables of 4.3 and 4.4, the text output of 12.4, files of 13.4, the loaded image of 9.1. Offsets are for 64-bit machines and are
 * checked at compile time. Members that are not called here are gaps. */
#ifndef EFI_H
#define EFI_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#define EFIAPI __attribute__((ms_abi))

typedef uint8_t UINT8;
typedef uint16_t UINT16;
typedef uint32_t UINT32;
typedef uint64_t UINT64;
typedef int64_t INT64;
typedef uint64_t UINTN;
typedef uint16_t CHAR16;
typedef UINTN EFI_STATUS;
typedef void *EFI_HANDLE;
typedef void *EFI_EVENT;
typedef UINTN EFI_TPL;

typedef struct {
	UINT32 a;
	UINT16 b, c;
	UINT8 d[8];
} EFI_GUID;

/* Appendix D. */
#define EFI_ERROR_BIT 0x8000000000000000ULL
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
#define TIMER_CANCEL 0
#define TIMER_PERIODIC 1
#define TIMER_RELATIVE 2

/* 7.3: ways to look handles up. */
#define ALL_HANDLES 0
#define BY_PROTOCOL 2

/* 7.3.11: who has a protocol open. */
#define OPEN_BY_CHILD_CONTROLLER 8
#define OPEN_BY_ALL 0x38 /* a child, a driver, and exclusive */

typedef struct {
	EFI_HANDLE agent, controller;
	UINT32 attributes, count;
} opening;

typedef struct text_output {
	void *reset;
	EFI_STATUS(EFIAPI *output_string)(struct text_output *this, const CHAR16 *string);
} text_output;

typedef void(EFIAPI *notify_function)(EFI_EVENT event, void *context);

typedef struct {
	UINT8 header[24];
	EFI_TPL(EFIAPI *raise_tpl)(EFI_TPL tpl);
	void(EFIAPI *restore_tpl)(EFI_TPL tpl);
	EFI_STATUS(EFIAPI *allocate_pages)(UINT32 how, UINT32 type, UINTN pages, UINT64 *memory);
	EFI_STATUS(EFIAPI *free_pages)(UINT64 memory, UINTN pages);
	EFI_STATUS(EFIAPI *get_memory_map)(UINTN *size, void *map, UINTN *key, UINTN *descriptor_size, UINT32 *version);
	EFI_STATUS(EFIAPI *allocate_pool)(UINT32 type, UINTN size, void **buffer);
	EFI_STATUS(EFIAPI *free_pool)(void *buffer);
	EFI_STATUS(EFIAPI *create_event)(UINT32 type, EFI_TPL tpl, notify_function notify, void *context, EFI_EVENT *event);
	EFI_STATUS(EFIAPI *set_timer)(EFI_EVENT event, UINT32 type, UINT64 hundred_nanoseconds);
	void *wait_for_event, *signal_event;
	EFI_STATUS(EFIAPI *close_event)(EFI_EVENT event);
	void *check_event;
	EFI_STATUS(EFIAPI *install_protocol)(EFI_HANDLE *handle, const EFI_GUID *protocol, UINT32 type, void *interface);
	void *reinstall_protocol;
	EFI_STATUS(EFIAPI *uninstall_protocol)(EFI_HANDLE handle, const EFI_GUID *protocol, void *interface);
	EFI_STATUS(EFIAPI *handle_protocol)(EFI_HANDLE handle, const EFI_GUID *protocol, void **interface);
	void *reserved, *register_protocol_notify, *locate_handle, *locate_device_path, *install_configuration_table;
	EFI_STATUS(EFIAPI *load_image)(UINT8 boot_policy, EFI_HANDLE parent, void *path, void *source, UINTN size,
				       EFI_HANDLE *image);
	EFI_STATUS(EFIAPI *start_image)(EFI_HANDLE image, UINTN *exit_data_size, CHAR16 **exit_data);
	void *exit;
	EFI_STATUS(EFIAPI *unload_image)(EFI_HANDLE image);
	EFI_STATUS(EFIAPI *exit_boot_services)(EFI_HANDLE image, UINTN map_key);
	void *get_next_monotonic_count;
	EFI_STATUS(EFIAPI *stall)(UINTN microseconds);
	void *set_watchdog_timer;
	EFI_STATUS(EFIAPI *connect_controller)(EFI_HANDLE controller, EFI_HANDLE *driver, void *path, UINT8 recursive);
	EFI_STATUS(EFIAPI *disconnect_controller)(EFI_HANDLE controller, EFI_HANDLE driver, EFI_HANDLE child);
	void *open_protocol, *close_protocol;
	EFI_STATUS(EFIAPI *open_protocol_information)(EFI_HANDLE handle, const EFI_GUID *protocol, opening **entries, UINTN *count);
	void *protocols_per_handle;
	EFI_STATUS(EFIAPI *locate_handle_buffer)(UINT32 type, const EFI_GUID *protocol, void *key, UINTN *count,
						 EFI_HANDLE **handles);
	EFI_STATUS(EFIAPI *locate_protocol)(const EFI_GUID *protocol, void *registration, void **interface);
} boot_services;

typedef struct {
	UINT8 header[24];
	void *firmware_vendor;
	UINT32 firmware_revision;
	EFI_HANDLE console_in_handle;
	void *console_in;
	EFI_HANDLE console_out_handle;
	text_output *console_out;
	EFI_HANDLE standard_error_handle;
	text_output *standard_error;
	void *runtime_services;
	boot_services *boot;
} system_table;

typedef struct {
	UINT32 revision;
	EFI_HANDLE parent;
	system_table *system;
	EFI_HANDLE device;
	void *file_path, *reserved;
	UINT32 load_options_size;
	CHAR16 *load_options;
	void *image_base;
	UINT64 image_size;
	UINT32 code_type, data_type;
	EFI_STATUS(EFIAPI *unload)(EFI_HANDLE image);
} loaded_image;

/* 7.2: ways to allocate, and what a memory map consists of. */
#define PAGE_SIZE 4096
#define CONVENTIONAL_MEMORY 7
#define LOADER_DATA 2
#define ALLOCATE_ANY 0

typedef struct {
	UINT32 type;
	UINT64 physical_start, virtual_start, pages, attribute;
} memory_descriptor;

/* 13.4 and 13.5: files. */
#define FILE_MODE_READ 1
#define END_OF_FILE 0xFFFFFFFFFFFFFFFFULL

typedef struct file {
	UINT64 revision;
	EFI_STATUS(EFIAPI *open)(struct file *this, struct file **new, const CHAR16 *name, UINT64 mode, UINT64 attributes);
	EFI_STATUS(EFIAPI *close)(struct file *this);
	void *delete;
	EFI_STATUS(EFIAPI *read)(struct file *this, UINTN *size, void *buffer);
	void *write;
	EFI_STATUS(EFIAPI *get_position)(struct file *this, UINT64 *position);
	EFI_STATUS(EFIAPI *set_position)(struct file *this, UINT64 position);
} file;

typedef struct file_system {
	UINT64 revision;
	EFI_STATUS(EFIAPI *open_volume)(struct file_system *this, file **root);
} file_system;

_Static_assert(offsetof(boot_services, get_memory_map) == 56, "UEFI 2.11, 4.4.1");
_Static_assert(offsetof(boot_services, load_image) == 200, "UEFI 2.11, 4.4.1");
_Static_assert(offsetof(boot_services, unload_image) == 224, "UEFI 2.11, 4.4.1");
_Static_assert(offsetof(boot_services, connect_controller) == 264, "UEFI 2.11, 4.4.1");
_Static_assert(offsetof(boot_services, free_pool) == 72, "UEFI 2.11, 4.4.1");
_Static_assert(offsetof(boot_services, set_timer) == 88, "UEFI 2.11, 4.4.1");
_Static_assert(offsetof(boot_services, install_protocol) == 128, "UEFI 2.11, 4.4.1");
_Static_assert(offsetof(boot_services, handle_protocol) == 152, "UEFI 2.11, 4.4.1");
_Static_assert(offsetof(boot_services, stall) == 248, "UEFI 2.11, 4.4.1");
_Static_assert(offsetof(boot_services, open_protocol_information) == 296, "UEFI 2.11, 4.4.1");
_Static_assert(offsetof(boot_services, locate_handle_buffer) == 312, "UEFI 2.11, 4.4.1");
_Static_assert(offsetof(boot_services, locate_protocol) == 320, "UEFI 2.11, 4.4.1");
_Static_assert(offsetof(system_table, console_out) == 64, "UEFI 2.11, 4.3.1");
_Static_assert(offsetof(system_table, boot) == 96, "UEFI 2.11, 4.3.1");
_Static_assert(offsetof(boot_services, allocate_pages) == 40, "UEFI 2.11, 4.4.1");
_Static_assert(offsetof(boot_services, exit_boot_services) == 232, "UEFI 2.11, 4.4.1");
_Static_assert(offsetof(loaded_image, load_options) == 56, "UEFI 2.11, 9.1.1");
_Static_assert(offsetof(loaded_image, unload) == 88, "UEFI 2.11, 9.1.1");

__attribute__((unused)) static const EFI_GUID loaded_image_guid = {
	0x5B1B31A1, 0x9562, 0x11D2, {0x8E, 0x3F, 0x00, 0xA0, 0xC9, 0x69, 0x72, 0x3B}};

#endif
