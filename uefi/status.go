package uefi

import "fmt"

// Status is an EFI_STATUS. As an error it is compared with errors.Is. The code of the firmware is
// kept.
type Status uintptr

// errorBit is the highest bit of an EFI_STATUS, set in errors and clear in warnings (UEFI 2.11,
// appendix D).
const errorBit Status = Status(^(^uintptr(0) >> 1))

// Success is EFI_SUCCESS.
const Success Status = 0

// Errors (UEFI 2.11, table D.3).
const (
	LoadError           = errorBit | 1
	InvalidParameter    = errorBit | 2
	Unsupported         = errorBit | 3
	BadBufferSize       = errorBit | 4
	BufferTooSmall      = errorBit | 5
	NotReady            = errorBit | 6
	DeviceError         = errorBit | 7
	WriteProtected      = errorBit | 8
	OutOfResources      = errorBit | 9
	VolumeCorrupted     = errorBit | 10
	VolumeFull          = errorBit | 11
	NoMedia             = errorBit | 12
	MediaChanged        = errorBit | 13
	NotFound            = errorBit | 14
	AccessDenied        = errorBit | 15
	NoResponse          = errorBit | 16
	NoMapping           = errorBit | 17
	Timeout             = errorBit | 18
	NotStarted          = errorBit | 19
	AlreadyStarted      = errorBit | 20
	Aborted             = errorBit | 21
	ICMPError           = errorBit | 22
	TFTPError           = errorBit | 23
	ProtocolError       = errorBit | 24
	IncompatibleVersion = errorBit | 25
	SecurityViolation   = errorBit | 26
	CRCError            = errorBit | 27
	EndOfMedia          = errorBit | 28
	EndOfFile           = errorBit | 31
	InvalidLanguage     = errorBit | 32
	CompromisedData     = errorBit | 33
	IPAddressConflict   = errorBit | 34
	HTTPError           = errorBit | 35
)

// Warnings (UEFI 2.11, table D.4). The call has succeeded.
const (
	WarnUnknownGlyph   Status = 1
	WarnDeleteFailure  Status = 2
	WarnWriteFailure   Status = 3
	WarnBufferTooSmall Status = 4
	WarnStaleData      Status = 5
	WarnFileSystem     Status = 6
	WarnResetRequired  Status = 7
)

var errorNames = [...]string{
	1:  "EFI_LOAD_ERROR",
	2:  "EFI_INVALID_PARAMETER",
	3:  "EFI_UNSUPPORTED",
	4:  "EFI_BAD_BUFFER_SIZE",
	5:  "EFI_BUFFER_TOO_SMALL",
	6:  "EFI_NOT_READY",
	7:  "EFI_DEVICE_ERROR",
	8:  "EFI_WRITE_PROTECTED",
	9:  "EFI_OUT_OF_RESOURCES",
	10: "EFI_VOLUME_CORRUPTED",
	11: "EFI_VOLUME_FULL",
	12: "EFI_NO_MEDIA",
	13: "EFI_MEDIA_CHANGED",
	14: "EFI_NOT_FOUND",
	15: "EFI_ACCESS_DENIED",
	16: "EFI_NO_RESPONSE",
	17: "EFI_NO_MAPPING",
	18: "EFI_TIMEOUT",
	19: "EFI_NOT_STARTED",
	20: "EFI_ALREADY_STARTED",
	21: "EFI_ABORTED",
	22: "EFI_ICMP_ERROR",
	23: "EFI_TFTP_ERROR",
	24: "EFI_PROTOCOL_ERROR",
	25: "EFI_INCOMPATIBLE_VERSION",
	26: "EFI_SECURITY_VIOLATION",
	27: "EFI_CRC_ERROR",
	28: "EFI_END_OF_MEDIA",
	31: "EFI_END_OF_FILE",
	32: "EFI_INVALID_LANGUAGE",
	33: "EFI_COMPROMISED_DATA",
	34: "EFI_IP_ADDRESS_CONFLICT",
	35: "EFI_HTTP_ERROR",
}

var warningNames = [...]string{
	0: "EFI_SUCCESS",
	1: "EFI_WARN_UNKNOWN_GLYPH",
	2: "EFI_WARN_DELETE_FAILURE",
	3: "EFI_WARN_WRITE_FAILURE",
	4: "EFI_WARN_BUFFER_TOO_SMALL",
	5: "EFI_WARN_STALE_DATA",
	6: "EFI_WARN_FILE_SYSTEM",
	7: "EFI_WARN_RESET_REQUIRED",
}

// IsError reports whether s is an error: not success and not a warning.
func (s Status) IsError() bool { return s&errorBit != 0 }

// Error is the specification's name of the status, or the number of a status without a name.
func (s Status) Error() string {
	names, code := warningNames[:], s
	if s.IsError() {
		names, code = errorNames[:], s&^errorBit
	}
	if code < Status(len(names)) && names[code] != "" {
		return names[code]
	}
	return fmt.Sprintf("EFI_STATUS 0x%X", uintptr(s))
}

// Err is nil for success and for warnings, else s itself.
func (s Status) Err() error {
	if s.IsError() {
		return s
	}
	return nil
}
