//go:build !tamago

package uefitest

import (
	"fmt"
	"slices"
	"unsafe"

	"tamaccid/uefi"
	"tamaccid/uefi/internal/abi"
)

// An Image is an image (UEFI 2.11, 7.4). Its handle carries EFI_LOADED_IMAGE_PROTOCOL.
type Image struct {
	uefi.LoadedImage
	Path    uefi.DevicePath
	Source  []byte // of an image from memory
	Started bool
}

func (fw *Firmware) publishImages() {
	fw.Table.LoadImage = function(fw.loadImage)
	fw.Table.StartImage = function(fw.startImage)
	fw.Table.UnloadImage = function(fw.unloadImage)
}

// NewImage makes the handle of an image that came from a device.
func (fw *Firmware) NewImage(device uefi.Handle) (uefi.Handle, *Image) {
	image := &Image{LoadedImage: uefi.LoadedImage{DeviceHandle: device}}
	return fw.NewHandle(map[uefi.GUID]uintptr{
		uefi.LoadedImageGUID: uintptr(unsafe.Pointer(&image.LoadedImage)),
	}), image
}

// loadImage is LoadImage (UEFI 2.11, 7.4.1). An image that Secure Boot does not accept is loaded
// too, and cannot be started.
func (fw *Firmware) loadImage(a []uintptr) uefi.Status {
	parent := uefi.Handle(a[1])
	if fw.Handles[parent][uefi.LoadedImageGUID] == 0 || a[2] == 0 && a[3] == 0 || a[0] > 1 {
		return fw.violation(uefi.InvalidParameter, "LoadImage(%x)", a)
	}
	path := uefi.DevicePathAt(a[2])
	fw.Log = append(fw.Log, fmt.Sprintf("load %v, boot policy: %v", path, a[0] != 0))
	st := fw.refused("load image", parent, uefi.GUID{})
	if st.IsError() && st != uefi.SecurityViolation {
		return st
	}
	h, image := fw.NewImage(0)
	image.Path, image.ParentHandle = path, parent
	if a[3] != 0 {
		image.Source = slices.Clone(unsafe.Slice(abi.At[byte](a[3]), a[4]))
	}
	fw.Images[h] = image
	store(a[5], h)
	return st
}

// startImage is StartImage (UEFI 2.11, 7.4.2). An image that returns an error is unloaded.
func (fw *Firmware) startImage(a []uintptr) uefi.Status {
	h := uefi.Handle(a[0])
	image := fw.Images[h]
	if image == nil || image.Started {
		return fw.violation(uefi.InvalidParameter, "StartImage(%#x)", h)
	}
	fw.Log = append(fw.Log, "start with "+fmt.Sprintf("%q", image.OptionText()))
	image.Started = true
	st := fw.refused("start image", h, uefi.GUID{})
	if st.IsError() {
		fw.remove(h)
		if fw.ExitText != "" {
			text := uefi.UTF16(fw.ExitText)
			text = text[:len(text)-1] // its size ends it
			store(a[1], uintptr(2*len(text)))
			store(a[2], Give(fw, text...))
		}
	}
	return st
}

// unloadImage is UnloadImage (UEFI 2.11, 7.4.3).
func (fw *Firmware) unloadImage(a []uintptr) uefi.Status {
	if fw.Images[uefi.Handle(a[0])] == nil {
		return fw.violation(uefi.InvalidParameter, "UnloadImage(%#x)", a[0])
	}
	fw.Log = append(fw.Log, "unload")
	fw.remove(uefi.Handle(a[0]))
	return uefi.Success
}

func (fw *Firmware) remove(image uefi.Handle) {
	delete(fw.Images, image)
	delete(fw.Handles, image)
}
