package uefi

import (
	"errors"
	"unsafe"

	"tamaccid/uefi/internal/abi"
)

// LoadImage loads an image from memory or, with source nil, from path (UEFI 2.11, 7.4.1). Firmware
// copies source. With SecurityViolation the handle is valid too: the image is loaded and cannot be
// started. UnloadImage frees it.
func (b *BootServices) LoadImage(
	bootPolicy bool, parent Handle, path DevicePath, source []byte,
) (h Handle, err error) {
	if len(path) > 0 && !path.Complete() {
		return 0, InvalidParameter
	}
	err = check(abi.Call(b.table.LoadImage, boolean(bootPolicy), uintptr(parent),
		uintptr(unsafe.Pointer(unsafe.SliceData(path))),
		uintptr(unsafe.Pointer(unsafe.SliceData(source))), uintptr(len(source)),
		uintptr(unsafe.Pointer(&h))))
	if err != nil && !errors.Is(err, SecurityViolation) {
		return 0, err
	}
	return h, err
}

// maxExitText bounds the text of an image's exit data, in CHAR16 (policy).
const maxExitText = 1024

// StartImage starts a loaded image (UEFI 2.11, 7.4.2). It returns when an application ends, which
// is then unloaded, or when a driver returns from its entry point. The error is the image's own
// status, and text the reason that the image gives for it, if any.
func (b *BootServices) StartImage(h Handle) (text string, err error) {
	var out struct{ size, data uintptr }
	status := Status(abi.Call(b.table.StartImage, uintptr(h), uintptr(unsafe.Pointer(&out.size)),
		uintptr(unsafe.Pointer(&out.data))))
	if out.data != 0 {
		text = StringAt(out.data, int(min(out.size/2, maxExitText)))
		b.FreePool(out.data)
	}
	return text, status.Err()
}

// UnloadImage unloads an image, a driver by its Unload function (UEFI 2.11, 7.4.3).
func (b *BootServices) UnloadImage(h Handle) error {
	return check(abi.Call(b.table.UnloadImage, uintptr(h)))
}

// ExitBootServices ends boot services. key is that of the newest memory map (UEFI 2.11, 7.4.6).
// When it fails, only the memory services may be called.
func (b *BootServices) ExitBootServices(image Handle, key uintptr) error {
	return check(abi.Call(b.table.ExitBootServices, uintptr(image), key))
}
