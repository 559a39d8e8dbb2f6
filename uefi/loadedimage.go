package uefi

import "unsafe"

// Protocols of images (UEFI 2.11, 9.1, 9.2).
var (
	LoadedImageGUID           = MustGUID("5b1b31a1-9562-11d2-8e3f-00a0c969723b")
	LoadedImageDevicePathGUID = MustGUID("bc62157e-3e33-4fec-9920-2d3b36d750df")
)

// LoadedImage is EFI_LOADED_IMAGE_PROTOCOL (UEFI 2.11, 9.1.1). It belongs to firmware. A driver
// writes its Unload member, the address of a function that takes the image handle and returns a
// status.
type LoadedImage struct {
	Revision        uint32
	_               uint32
	ParentHandle    Handle
	SystemTable     uintptr // EFI_SYSTEM_TABLE *
	DeviceHandle    Handle
	FilePath        uintptr // EFI_DEVICE_PATH_PROTOCOL *
	Reserved        uintptr
	LoadOptionsSize uint32 // bytes
	_               uint32
	LoadOptions     uintptr
	ImageBase       uintptr
	ImageSize       uint64
	ImageCodeType   MemoryType
	ImageDataType   MemoryType
	Unload          uintptr // EFI_IMAGE_UNLOAD
}

// LoadedImage is the loaded image protocol of an image's handle.
func (b *BootServices) LoadedImage(image Handle) (*LoadedImage, error) {
	addr, err := b.HandleProtocol(image, &LoadedImageGUID)
	if err != nil {
		return nil, err
	}
	if addr == 0 {
		return nil, NotFound
	}
	return At[LoadedImage](addr), nil
}

// maxLoadOptions bounds the load options that are copied (policy).
const maxLoadOptions = 64 << 10

// Options is a copy of the load options in any format.
func (l *LoadedImage) Options() []byte {
	if l.LoadOptions == 0 || l.LoadOptionsSize == 0 || l.LoadOptionsSize > maxLoadOptions {
		return nil
	}
	return append([]byte(nil), unsafe.Slice(At[byte](l.LoadOptions), l.LoadOptionsSize)...)
}

// OptionText is the load options as the text that the Shell and the boot manager pass: CHAR16 up to
// a NUL.
func (l *LoadedImage) OptionText() string {
	raw := l.Options()
	wide := make([]uint16, len(raw)/2)
	for i := range wide {
		wide[i] = uint16(raw[2*i]) | uint16(raw[2*i+1])<<8
	}
	return FromUTF16(wide)
}

// SetOptionText gives an image load options before it is started, as the Shell and the boot manager
// do. The options are in pool memory that is not freed, since the image may read them at any time.
func (b *BootServices) SetOptionText(l *LoadedImage, text string) error {
	wide := UTF16(text)
	size := uintptr(len(wide)) * unsafe.Sizeof(wide[0])
	if size > maxLoadOptions {
		return BadBufferSize
	}
	addr, err := b.AllocatePool(BootServicesData, size)
	if err != nil {
		return err
	}
	copy(unsafe.Slice(At[uint16](addr), len(wide)), wide)
	l.LoadOptions, l.LoadOptionsSize = addr, uint32(size)
	return nil
}

// File is a copy of the path of the image's file on its device, nil for an image that came from
// memory.
func (l *LoadedImage) File() DevicePath { return DevicePathAt(l.FilePath) }
