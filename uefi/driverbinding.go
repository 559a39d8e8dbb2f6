package uefi

// Protocols of the driver model (UEFI 2.11, 11.1, 11.5, 11.8). The older component name protocol
// has the layout of the newer one, with ISO 639-2 languages (EFI 1.10, 10.5).
var (
	DriverBindingGUID             = MustGUID("18a031ab-b443-4d1a-a5c0-0c09261e9f71")
	ComponentName2GUID            = MustGUID("6a7a5cff-e8d9-4f70-bada-75ab3025ce14")
	ComponentNameGUID             = MustGUID("107a772c-d5e1-11d4-9a46-0090273fc14d")
	DriverSupportedEFIVersionGUID = MustGUID("5c198761-16a8-4e69-972c-89d67954f81d")
)

// DriverBinding is EFI_DRIVER_BINDING_PROTOCOL (UEFI 2.11, 11.1). Its functions, in C:
//
//	Supported(This, ControllerHandle, RemainingDevicePath)
//	Start(This, ControllerHandle, RemainingDevicePath)
//	Stop(This, ControllerHandle, NumberOfChildren, ChildHandleBuffer)
//
// Versions 0x10 to 0xffffffef are for drivers that are not part of the platform.
type DriverBinding struct {
	Supported           uintptr
	Start               uintptr
	Stop                uintptr
	Version             uint32
	_                   uint32
	ImageHandle         Handle
	DriverBindingHandle Handle
}

// ComponentName2 is EFI_COMPONENT_NAME2_PROTOCOL, and EFI_COMPONENT_NAME_PROTOCOL (UEFI 2.11,
// 11.5). Its functions, in C:
//
//	GetDriverName(This, Language, DriverName)
//	GetControllerName(This, ControllerHandle, ChildHandle OPTIONAL, Language, ControllerName)
type ComponentName2 struct {
	GetDriverName      uintptr
	GetControllerName  uintptr
	SupportedLanguages uintptr // CHAR8 *, "en;fr" (RFC 4646), or "engfra" in the older protocol
}

// DriverSupportedEFIVersion is EFI_DRIVER_SUPPORTED_EFI_VERSION_PROTOCOL (UEFI 2.11, 11.8).
type DriverSupportedEFIVersion struct {
	Length          uint32
	FirmwareVersion uint32 // as Revision in the tables' header
}

// ASCIIAt reads a NUL-terminated CHAR8 string in firmware's memory, such as a language tag, at most
// max bytes of it. A null address is the empty string.
func ASCIIAt(addr uintptr, max int) string {
	if addr == 0 {
		return ""
	}
	var out []byte
	for n := 0; n < max; n++ {
		c := *At[byte](addr + uintptr(n))
		if c == 0 {
			break
		}
		out = append(out, c)
	}
	return string(out)
}

// LanguageMatches reports whether a language tag asks for a supported one, by RFC 4647 lookup in
// the direction that UEFI uses: the tags are the same, or one is a prefix of the other up to a
// hyphen ("en" and "en-US"). Upper and lower case are the same.
func LanguageMatches(want, supported string) bool {
	if len(want) < len(supported) {
		want, supported = supported, want
	}
	if supported == "" {
		return false
	}
	for i := range len(supported) {
		if lower(want[i]) != lower(supported[i]) {
			return false
		}
	}
	return len(want) == len(supported) || want[len(supported)] == '-'
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}
