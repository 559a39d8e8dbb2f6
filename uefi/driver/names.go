package driver

import (
	"unsafe"

	"tamaccid/uefi"
	"tamaccid/uefi/gate"
)

// driverName is the driver's name (UEFI 2.11, 11.5.2).
const driverName = "tamaccid Smart Card Reader Driver"

const maxLanguage = 64 // policy: bytes of a language tag that are looked at

// texts are the strings to which firmware holds pointers.
type texts struct {
	languages [3]byte
	driver    []uint16
}

func (d *Driver) newNames() uefi.ComponentName2 {
	d.texts.languages = [3]byte{'e', 'n'}
	d.texts.driver = uefi.UTF16(driverName)
	return uefi.ComponentName2{
		GetDriverName:      d.newFunc("GetDriverName", uefi.DeviceError, d.driverName),
		GetControllerName:  d.newFunc("GetControllerName", uefi.DeviceError, d.controllerName),
		SupportedLanguages: uintptr(unsafe.Pointer(&d.texts.languages)),
	}
}

// nameOut checks the arguments that both functions have: the language and the address for the name.
func nameOut(language, out uintptr) (*uintptr, uefi.Status) {
	if !gate.Readable(language, 1) || !gate.Writable(out, unsafe.Sizeof(out)) {
		return nil, uefi.InvalidParameter
	}
	if !uefi.LanguageMatches(uefi.ASCIIAt(language, maxLanguage), "en") {
		return nil, uefi.Unsupported
	}
	return uefi.At[uintptr](out), uefi.Success
}

// driverName is GetDriverName (UEFI 2.11, 11.5.2).
func (d *Driver) driverName(a *gate.Args) uefi.Status {
	out, st := nameOut(a.At(1), a.At(2))
	if st == uefi.Success {
		*out = uintptr(unsafe.Pointer(&d.texts.driver[0]))
	}
	return st
}

// controllerName is GetControllerName (UEFI 2.11, 11.5.3): the reader's name,
// for slot 0 of a controller or the slot of a child, or the host controller's.
func (d *Driver) controllerName(a *gate.Args) uefi.Status {
	handle, child := uefi.Handle(a.At(1)), uefi.Handle(a.At(2))
	if handle == 0 {
		return uefi.InvalidParameter
	}
	out, st := nameOut(a.At(3), a.At(4))
	if st != uefi.Success {
		return st
	}
	c := d.bound[handle]
	if c == nil {
		return uefi.Unsupported
	}
	if child == 0 && c.host != nil {
		*out = uintptr(unsafe.Pointer(&c.host.name[0]))
		return uefi.Success
	}
	if child == 0 {
		child = handle
	}
	for _, o := range c.slots {
		if o.handle == child {
			*out = uintptr(unsafe.Pointer(&o.reader.name[0]))
			return uefi.Success
		}
	}
	return uefi.Unsupported
}
