package uefi

import (
	"errors"
	"unsafe"

	"tamaccid/uefi/internal/abi"
)

// Bounds of lists from firmware's handle database (policy).
const (
	maxHandles   = 1 << 16
	maxProtocols = 1 << 12
)

// Protocol is one interface to install. Interface is the address of the protocol's structure.
// Firmware refers to it until the interface is uninstalled: it is memory of AllocatePool or a Go
// object that stays referenced.
type Protocol struct {
	GUID      *GUID
	Interface uintptr
}

// InstallProtocol installs an interface on h, or on a new handle when h is 0, and returns the
// handle (UEFI 2.11, 7.3.2).
func (b *BootServices) InstallProtocol(h Handle, guid *GUID, iface uintptr) (Handle, error) {
	if err := check(abi.Call(b.table.InstallProtocolInterface, uintptr(unsafe.Pointer(&h)),
		uintptr(unsafe.Pointer(guid)), nativeInterface, iface)); err != nil {
		return 0, err
	}
	return h, nil
}

// InstallProtocols installs several interfaces on one handle, all or none, and returns the handle.
// With h 0 it creates the handle. A device path that another handle has is AlreadyStarted, as with
// InstallMultipleProtocolInterfaces (UEFI 2.11, 7.3.17). A handle beside an error still has some of
// the interfaces, because firmware refused to remove them: they must go on working until
// UninstallProtocols succeeds.
func (b *BootServices) InstallProtocols(h Handle, protocols ...Protocol) (Handle, error) {
	for i, p := range protocols {
		on, err := Handle(0), error(AlreadyStarted)
		if p.GUID == nil || *p.GUID != DevicePathGUID ||
			!b.devicePathExists(DevicePathAt(p.Interface)) {
			on, err = b.InstallProtocol(h, p.GUID, p.Interface)
		}
		if err != nil {
			if i > 0 && b.UninstallProtocols(h, protocols[:i]...) != nil {
				return h, err
			}
			return 0, err
		}
		h = on
	}
	return h, nil
}

// devicePathExists reports whether a handle has exactly this device path.
func (b *BootServices) devicePathExists(path DevicePath) bool {
	if len(path) == 0 {
		return false
	}
	_, rest, err := b.LocateDevicePath(&DevicePathGUID, path)
	return err == nil && rest.IsEnd()
}

// ReinstallProtocol replaces an interface and signals the events of RegisterProtocolNotify (UEFI
// 2.11, 7.3.4).
func (b *BootServices) ReinstallProtocol(h Handle, guid *GUID, from, to uintptr) error {
	return check(abi.Call(b.table.ReinstallProtocolInterface, uintptr(h),
		uintptr(unsafe.Pointer(guid)), from, to))
}

// UninstallProtocol removes an interface (UEFI 2.11, 7.3.3). The handle is deleted with its last
// interface. With AccessDenied the interface is open and still installed: it must go on working.
func (b *BootServices) UninstallProtocol(h Handle, guid *GUID, iface uintptr) error {
	return check(abi.Call(b.table.UninstallProtocolInterface, uintptr(h),
		uintptr(unsafe.Pointer(guid)), iface))
}

// UninstallProtocols removes several interfaces from one handle, all or none, the last first. An
// interface that is not installed counts as removed: an earlier call may have removed it and then
// failed to install it again.
func (b *BootServices) UninstallProtocols(h Handle, protocols ...Protocol) error {
	for i := len(protocols) - 1; i >= 0; i-- {
		if err := b.UninstallProtocol(h, protocols[i].GUID, protocols[i].Interface); err != nil &&
			!errors.Is(err, NotFound) {
			for _, p := range protocols[i+1:] {
				b.InstallProtocol(h, p.GUID, p.Interface)
			}
			return err
		}
	}
	return nil
}

// HandleProtocol is the interface of h (UEFI 2.11, 7.3.7).
func (b *BootServices) HandleProtocol(h Handle, guid *GUID) (iface uintptr, err error) {
	err = check(abi.Call(b.table.HandleProtocol, uintptr(h), uintptr(unsafe.Pointer(guid)),
		uintptr(unsafe.Pointer(&iface))))
	if err != nil {
		return 0, err
	}
	return iface, nil
}

// LocateProtocol is the first interface of a protocol in the handle database (UEFI 2.11, 7.3.16).
func (b *BootServices) LocateProtocol(guid *GUID) (iface uintptr, err error) {
	err = check(abi.Call(b.table.LocateProtocol, uintptr(unsafe.Pointer(guid)), 0,
		uintptr(unsafe.Pointer(&iface))))
	if err != nil {
		return 0, err
	}
	return iface, nil
}

// LocateHandles are the handles with a protocol (UEFI 2.11, 7.3.15). None is no error.
func (b *BootServices) LocateHandles(guid *GUID) ([]Handle, error) {
	return b.LocateHandleBuffer(ByProtocol, guid, 0)
}

// LocateHandleBuffer are the handles that match a search (UEFI 2.11, 7.3.15). None is no error.
// guid is used with ByProtocol, key with ByRegisterNotify.
func (b *BootServices) LocateHandleBuffer(
	search SearchType, guid *GUID, key uintptr,
) ([]Handle, error) {
	var out struct{ n, buf uintptr }
	err := check(abi.Call(b.table.LocateHandleBuffer, uintptr(search),
		uintptr(unsafe.Pointer(guid)), key,
		uintptr(unsafe.Pointer(&out.n)), uintptr(unsafe.Pointer(&out.buf))))
	if errors.Is(err, NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return copyPool[Handle](b, out.buf, out.n, maxHandles)
}

// copyPool copies an array that firmware allocated for its caller, and frees it.
func copyPool[T any](b *BootServices, addr, n, max uintptr) ([]T, error) {
	if addr == 0 || n == 0 {
		return nil, b.FreePool(addr)
	}
	if n > max {
		b.FreePool(addr)
		return nil, BadBufferSize
	}
	out := make([]T, n)
	copy(out, unsafe.Slice(At[T](addr), n))
	return out, b.FreePool(addr)
}

// OpenProtocol opens an interface of h for an agent, the image or driver binding handle, on behalf
// of a controller (UEFI 2.11, 7.3.9). With OpenTestProtocol the interface is 0. AlreadyStarted
// reports an earlier opening by the same agent; the interface is returned with it. CloseProtocol
// ends the opening.
func (b *BootServices) OpenProtocol(
	h Handle, guid *GUID, agent, controller Handle, how OpenAttributes,
) (iface uintptr, err error) {
	out := uintptr(0)
	err = check(abi.Call(b.table.OpenProtocol, uintptr(h), uintptr(unsafe.Pointer(guid)),
		uintptr(unsafe.Pointer(&out)),
		uintptr(agent), uintptr(controller), uintptr(how)))
	if err != nil && !errors.Is(err, AlreadyStarted) {
		return 0, err
	}
	return out, err
}

// CloseProtocol ends an OpenProtocol with the same handles (UEFI 2.11, 7.3.10).
func (b *BootServices) CloseProtocol(h Handle, guid *GUID, agent, controller Handle) error {
	return check(abi.Call(b.table.CloseProtocol, uintptr(h), uintptr(unsafe.Pointer(guid)),
		uintptr(agent), uintptr(controller)))
}

// OpenProtocolInformation lists the openings of an interface of h (UEFI 2.11, 7.3.11).
func (b *BootServices) OpenProtocolInformation(
	h Handle, guid *GUID,
) ([]OpenProtocolInformationEntry, error) {
	var out struct{ buf, n uintptr }
	err := check(abi.Call(b.table.OpenProtocolInformation, uintptr(h),
		uintptr(unsafe.Pointer(guid)),
		uintptr(unsafe.Pointer(&out.buf)), uintptr(unsafe.Pointer(&out.n))))
	if err != nil {
		return nil, err
	}
	return copyPool[OpenProtocolInformationEntry](b, out.buf, out.n, maxHandles)
}

// ProtocolsPerHandle lists the protocols of h (UEFI 2.11, 7.3.14).
func (b *BootServices) ProtocolsPerHandle(h Handle) ([]GUID, error) {
	var out struct{ buf, n uintptr }
	err := check(abi.Call(b.table.ProtocolsPerHandle, uintptr(h), uintptr(unsafe.Pointer(&out.buf)),
		uintptr(unsafe.Pointer(&out.n))))
	if err != nil {
		return nil, err
	}
	refs, err := copyPool[uintptr](b, out.buf, out.n, maxProtocols)
	guids := make([]GUID, 0, len(refs))
	for _, r := range refs {
		if r != 0 {
			guids = append(guids, *At[GUID](r))
		}
	}
	return guids, err
}

// RegisterProtocolNotify signals ev whenever the protocol is installed or reinstalled; key is for
// LocateHandleBuffer(ByRegisterNotify) (UEFI 2.11, 7.3.5). CloseEvent ends it.
func (b *BootServices) RegisterProtocolNotify(guid *GUID, ev Event) (key uintptr, err error) {
	err = check(abi.Call(b.table.RegisterProtocolNotify, uintptr(unsafe.Pointer(guid)), uintptr(ev),
		uintptr(unsafe.Pointer(&key))))
	return key, err
}

// LocateDevicePath finds the handle with the protocol whose device path is the longest beginning of
// path, and returns the rest of path (UEFI 2.11, 7.3.8).
func (b *BootServices) LocateDevicePath(
	guid *GUID, path DevicePath,
) (h Handle, rest DevicePath, err error) {
	if !path.Complete() {
		return 0, nil, InvalidParameter
	}
	start := unsafe.Pointer(unsafe.SliceData(path))
	at := start
	err = check(abi.Call(b.table.LocateDevicePath, uintptr(unsafe.Pointer(guid)),
		uintptr(unsafe.Pointer(&at)), uintptr(unsafe.Pointer(&h))))
	if err != nil {
		return 0, nil, err
	}
	used := uintptr(at) - uintptr(start)
	if used > uintptr(len(path)) {
		return 0, nil, BadBufferSize
	}
	return h, path[used:], nil
}

// ConnectController connects drivers to a controller (UEFI 2.11, 7.3.12): the given ones first, in
// that order, then any. With recursive it connects the children too that appear. NotFound reports
// that no driver started.
func (b *BootServices) ConnectController(
	controller Handle, drivers []Handle, recursive bool,
) error {
	list := unsafe.Pointer(nil)
	if len(drivers) > 0 {
		ended := append(append(make([]Handle, 0, len(drivers)+1), drivers...), 0)
		list = unsafe.Pointer(unsafe.SliceData(ended))
	}
	return check(abi.Call(b.table.ConnectController, uintptr(controller), uintptr(list), 0,
		boolean(recursive)))
}

// DisconnectController stops a driver, or all with 0, on a controller, or on one child of it (UEFI
// 2.11, 7.3.13).
func (b *BootServices) DisconnectController(controller, driver, child Handle) error {
	return check(abi.Call(b.table.DisconnectController, uintptr(controller), uintptr(driver),
		uintptr(child)))
}

// boolean is a BOOLEAN argument (UEFI 2.11, 2.3.1).
func boolean(v bool) uintptr {
	if v {
		return 1
	}
	return 0
}
