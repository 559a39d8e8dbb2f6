//go:build !tamago

package uefitest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"unsafe"

	"tamaccid/uefi"
	"tamaccid/uefi/internal/abi"
)

// Firmware is the firmware of a machine. Its fields may be read and changed between two calls.
type Firmware struct {
	Table   *uefi.BootServicesTable    // that of uefi.Boot
	Runtime *uefi.RuntimeServicesTable // that of uefi.Runtime; its services are Unsupported

	Handles map[uefi.Handle]map[uefi.GUID]uintptr // the handle database
	Opened  []Opening

	// Refuse is called before a service does its work. Any status but Success is its result, and
	// nothing is done. The services are install, uninstall, open, close, handle protocol, locate
	// handles, event, timer, close event, load image, start image and connect.
	Refuse func(service string, h uefi.Handle, guid uefi.GUID) uefi.Status
	// Stays makes other drivers keep what they have open BY_DRIVER when they are asked to stop.
	Stays bool
	// Partial lets a caller uninstall interfaces that are not installed, which is an error of the
	// caller elsewhere.
	Partial bool
	// Connected are the controllers that ConnectController was called for.
	Connected []uefi.Handle
	// Connect is called for each of them, if not nil.
	Connect func(h uefi.Handle, drivers []uefi.Handle, recursive bool)

	Events  map[uefi.Event]*Event // those that exist
	Created []*Event              // those that have ever been created
	Frozen  bool                  // timers stand still
	Signals int                   // calls of SignalEvent

	Images   map[uefi.Handle]*Image // those of LoadImage that are loaded
	ExitText string                 // of an image that StartImage refuses
	Log      []string               // calls of image services and of ConnectController

	// Lingers makes transfers to a removed device end at their time limit, as QEMU's xHCI does.
	Lingers bool

	t     testing.TB
	next  uintptr
	pools map[uintptr]pool
}

// An Opening is one entry in the list of a protocol's openings (UEFI 2.11, 7.3.9).
type Opening struct {
	On                uefi.Handle
	GUID              uefi.GUID
	Agent, Controller uefi.Handle
	How               uefi.OpenAttributes
}

// pool is a block of pool memory. A block that a service allocated for its caller is given.
type pool struct {
	memory any
	given  bool
}

// New puts firmware without handles behind uefi.Boot until the test ends.
func New(t testing.TB) *Firmware {
	fw := &Firmware{
		t:       t,
		Table:   uefi.Boot().Table(),
		Runtime: uefi.Runtime().Table(),
		Handles: map[uefi.Handle]map[uefi.GUID]uintptr{},
		Events:  map[uefi.Event]*Event{},
		Images:  map[uefi.Handle]*Image{},
		next:    0x100,
		pools:   map[uintptr]pool{},
	}
	boot, runtime := *fw.Table, *fw.Runtime
	t.Cleanup(func() {
		*fw.Table, *fw.Runtime = boot, runtime
		for _, p := range fw.pools {
			if p.given {
				t.Errorf("%v, which firmware allocated for its caller, was not freed", p.memory)
			}
		}
		for h, image := range fw.Images {
			if !image.Started {
				t.Errorf("image %#x was neither started nor unloaded", h)
			}
		}
	})
	fw.Table.AllocatePool = function(fw.allocatePool)
	fw.Table.FreePool = function(fw.freePool)
	fw.Table.InstallProtocolInterface = function(fw.install)
	fw.Table.UninstallProtocolInterface = function(fw.uninstall)
	fw.Table.HandleProtocol = function(fw.handleProtocol)
	fw.Table.OpenProtocol = function(fw.open)
	fw.Table.CloseProtocol = function(fw.close)
	fw.Table.OpenProtocolInformation = function(fw.openInformation)
	fw.Table.ProtocolsPerHandle = function(fw.protocolsPerHandle)
	fw.Table.LocateHandleBuffer = function(fw.locateHandles)
	fw.Table.LocateDevicePath = function(fw.locateDevicePath)
	fw.Table.ConnectController = function(fw.connect)
	fw.publishEvents()
	fw.publishImages()
	return fw
}

// function makes f callable as a function of firmware.
func function(f func(a []uintptr) uefi.Status) uintptr {
	return abi.Fake(func(a []uintptr) uintptr { return uintptr(f(a)) })
}

// store writes a result to the caller's memory.
func store[T any](at uintptr, v T) { *abi.At[T](at) = v }

// violation fails the test for a call that UEFI forbids, and is the call's status.
func (fw *Firmware) violation(st uefi.Status, format string, args ...any) uefi.Status {
	fw.t.Helper()
	fw.t.Errorf(format, args...)
	return st
}

func (fw *Firmware) refused(service string, h uefi.Handle, guid uefi.GUID) uefi.Status {
	if fw.Refuse == nil {
		return uefi.Success
	}
	return fw.Refuse(service, h, guid)
}

// Only is a value for Refuse: one service fails with one status, on a handle or for a GUID if such
// are given.
func Only(
	service string, st uefi.Status, on ...any,
) func(string, uefi.Handle, uefi.GUID) uefi.Status {
	return func(s string, h uefi.Handle, guid uefi.GUID) uefi.Status {
		for _, v := range on {
			if v != any(h) && v != any(guid) {
				return uefi.Success
			}
		}
		if s == service {
			return st
		}
		return uefi.Success
	}
}

// Give allocates values in firmware's pool for its caller, which must free them.
func Give[T any](fw *Firmware, values ...T) uintptr {
	return allocate(fw, append(make([]T, 0, max(len(values), 1)), values...), true)
}

func allocate[T any](fw *Firmware, memory []T, given bool) uintptr {
	at := uintptr(unsafe.Pointer(unsafe.SliceData(memory)))
	fw.pools[at] = pool{memory, given}
	return at
}

func (fw *Firmware) allocatePool(a []uintptr) uefi.Status {
	const aligned = 8 // UEFI 2.11, 7.2.4
	store(a[2], allocate(fw, make([]uint64, a[1]/aligned+1), false))
	return uefi.Success
}

func (fw *Firmware) freePool(a []uintptr) uefi.Status {
	if _, ok := fw.pools[a[0]]; !ok {
		return fw.violation(uefi.InvalidParameter, "FreePool(%#x) of what is not allocated", a[0])
	}
	delete(fw.pools, a[0])
	return uefi.Success
}

// NewHandle makes a handle with protocols.
func (fw *Firmware) NewHandle(protocols map[uefi.GUID]uintptr) uefi.Handle {
	fw.next++
	h := uefi.Handle(fw.next)
	fw.Handles[h] = protocols
	return h
}

// SetPath gives a handle another device path, or with nil none. The caller keeps the path
// referenced.
func (fw *Firmware) SetPath(h uefi.Handle, path uefi.DevicePath) {
	delete(fw.Handles[h], uefi.DevicePathGUID)
	if path != nil {
		fw.Handles[h][uefi.DevicePathGUID] = uintptr(unsafe.Pointer(&path[0]))
	}
}

// Count is how many handles carry a protocol.
func (fw *Firmware) Count(guid uefi.GUID) int { return len(fw.With(guid)) }

// With are the handles that carry a protocol, in the order in which they were made.
func (fw *Firmware) With(guid uefi.GUID) (all []uefi.Handle) {
	for _, h := range slices.Sorted(maps.Keys(fw.Handles)) {
		if fw.Handles[h][guid] != 0 {
			all = append(all, h)
		}
	}
	return all
}

// State describes what is installed, open and created, to be compared before and after.
func (fw *Firmware) State() string {
	protocols := 0
	for _, on := range fw.Handles {
		protocols += len(on)
	}
	return fmt.Sprintf("%d handles, %d protocols, %d events, open: %v",
		len(fw.Handles), protocols, len(fw.Events), fw.Opened)
}

// install is InstallProtocolInterface (UEFI 2.11, 7.3.2).
func (fw *Firmware) install(a []uintptr) uefi.Status {
	const nativeInterface = 0
	h, guid := *abi.At[uefi.Handle](a[0]), *abi.At[uefi.GUID](a[1])
	if st := fw.refused("install", h, guid); st != uefi.Success {
		return st
	}
	on := fw.Handles[h]
	if a[2] != nativeInterface || h != 0 && on == nil || on[guid] != 0 {
		return uefi.InvalidParameter
	}
	if h == 0 {
		on = map[uefi.GUID]uintptr{}
		store(a[0], fw.NewHandle(on))
	}
	on[guid] = a[3]
	return uefi.Success
}

// uninstall is UninstallProtocolInterface (UEFI 2.11, 7.3.3). A handle goes with its last
// interface.
func (fw *Firmware) uninstall(a []uintptr) uefi.Status {
	h, guid := uefi.Handle(a[0]), *abi.At[uefi.GUID](a[1])
	if st := fw.refused("uninstall", h, guid); st != uefi.Success {
		return st
	}
	on := fw.Handles[h]
	switch at := on[guid]; {
	case at == 0 && fw.Partial:
		return uefi.NotFound
	case at == 0 || at != a[2]:
		return fw.violation(uefi.NotFound, "uninstalled from %#x what is not there: %v", h, guid)
	}
	for _, o := range slices.Clone(fw.Opened) {
		if o.On == h && o.GUID == guid && o.How >= uefi.OpenByChildController && !fw.stop(o) {
			return uefi.AccessDenied
		}
	}
	delete(on, guid)
	if len(on) == 0 {
		delete(fw.Handles, h)
	}
	return uefi.Success
}

// stop ends an opening BY_DRIVER, as DisconnectController does, and reports whether it has ended.
func (fw *Firmware) stop(o Opening) bool {
	if fw.Stays || o.How&uefi.OpenByDriver == 0 {
		return false
	}
	fw.Opened = slices.DeleteFunc(fw.Opened, func(other Opening) bool { return other == o })
	return true
}

// handleProtocol is HandleProtocol (UEFI 2.11, 7.3.7).
func (fw *Firmware) handleProtocol(a []uintptr) uefi.Status {
	h, guid := uefi.Handle(a[0]), *abi.At[uefi.GUID](a[1])
	if st := fw.refused("handle protocol", h, guid); st != uefi.Success {
		return st
	}
	return fw.find(h, guid, a[2])
}

func (fw *Firmware) find(h uefi.Handle, guid uefi.GUID, out uintptr) uefi.Status {
	store(out, fw.Handles[h][guid])
	if fw.Handles[h][guid] == 0 {
		return uefi.Unsupported
	}
	return uefi.Success
}

// open is OpenProtocol (UEFI 2.11, 7.3.9).
func (fw *Firmware) open(a []uintptr) uefi.Status {
	o := Opening{On: uefi.Handle(a[0]), GUID: *abi.At[uefi.GUID](a[1]), Agent: uefi.Handle(a[3]),
		Controller: uefi.Handle(a[4]), How: uefi.OpenAttributes(a[5])}
	if st := fw.refused("open", o.On, o.GUID); st != uefi.Success {
		return st
	}
	if st := fw.find(o.On, o.GUID, a[2]); st != uefi.Success {
		return st
	}
	const uses = uefi.OpenByChildController | uefi.OpenByDriver | uefi.OpenExclusive
	if o.How&uses != 0 && fw.Handles[o.Agent] == nil ||
		o.How&(uses&^uefi.OpenExclusive) != 0 && fw.Handles[o.Controller] == nil ||
		o.How == uefi.OpenByChildController && o.Controller == o.On {
		return fw.violation(uefi.InvalidParameter, "OpenProtocol: %+v names no agent or controller",
			o)
	}
	if o.How&(uefi.OpenByDriver|uefi.OpenExclusive) != 0 {
		for _, other := range slices.Clone(fw.Opened) {
			switch {
			case other.On != o.On || other.GUID != o.GUID || other.How&uefi.OpenByDriver == 0:
			case other.Agent == o.Agent:
				return uefi.AlreadyStarted
			case o.How&uefi.OpenExclusive == 0 || other.How&uefi.OpenExclusive != 0 ||
				!fw.stop(other):
				return uefi.AccessDenied
			}
		}
	}
	fw.Opened = append(fw.Opened, o)
	return uefi.Success
}

// close is CloseProtocol (UEFI 2.11, 7.3.10).
func (fw *Firmware) close(a []uintptr) uefi.Status {
	on, guid := uefi.Handle(a[0]), *abi.At[uefi.GUID](a[1])
	agent, controller := uefi.Handle(a[2]), uefi.Handle(a[3])
	if st := fw.refused("close", on, guid); st != uefi.Success {
		return st
	}
	if fw.Handles[on] == nil || fw.Handles[controller] == nil {
		return fw.violation(uefi.InvalidParameter, "CloseProtocol: no handle %#x or %#x", on,
			controller)
	}
	i := slices.IndexFunc(fw.Opened, func(o Opening) bool {
		return o.On == on && o.GUID == guid && o.Agent == agent && o.Controller == controller
	})
	if i < 0 {
		return fw.violation(uefi.NotFound, "closed what is not open: %x", a)
	}
	fw.Opened = slices.Delete(fw.Opened, i, i+1)
	return uefi.Success
}

// openInformation is OpenProtocolInformation (UEFI 2.11, 7.3.11).
func (fw *Firmware) openInformation(a []uintptr) uefi.Status {
	var all []uefi.OpenProtocolInformationEntry
	for _, o := range fw.Opened {
		if o.On == uefi.Handle(a[0]) && o.GUID == *abi.At[uefi.GUID](a[1]) {
			all = append(all, uefi.OpenProtocolInformationEntry{
				Agent: o.Agent, Controller: o.Controller, Attributes: o.How, OpenCount: 1})
		}
	}
	store(a[2], Give(fw, all...))
	store(a[3], uintptr(len(all)))
	return uefi.Success
}

// protocolsPerHandle is ProtocolsPerHandle (UEFI 2.11, 7.3.14).
func (fw *Firmware) protocolsPerHandle(a []uintptr) uefi.Status {
	var all []*uefi.GUID
	for guid := range fw.Handles[uefi.Handle(a[0])] {
		all = append(all, &guid)
	}
	slices.SortFunc(all, func(x, y *uefi.GUID) int { return cmp.Compare(x.A, y.A) })
	store(a[1], Give(fw, all...))
	store(a[2], uintptr(len(all)))
	return uefi.Success
}

// locateHandles is LocateHandleBuffer (UEFI 2.11, 7.3.15).
func (fw *Firmware) locateHandles(a []uintptr) uefi.Status {
	var guid uefi.GUID
	var all []uefi.Handle
	switch search := uefi.SearchType(a[0]); search {
	case uefi.AllHandles:
		all = slices.Sorted(maps.Keys(fw.Handles))
	case uefi.ByProtocol:
		guid = *abi.At[uefi.GUID](a[1])
		all = fw.With(guid)
	default:
		return fw.violation(uefi.InvalidParameter, "LocateHandleBuffer: search type %d", search)
	}
	if st := fw.refused("locate handles", 0, guid); st != uefi.Success {
		return st
	}
	if len(all) == 0 {
		return uefi.NotFound
	}
	store(a[3], uintptr(len(all)))
	store(a[4], Give(fw, all...))
	return uefi.Success
}

// locateDevicePath is LocateDevicePath (UEFI 2.11, 7.3.8).
func (fw *Firmware) locateDevicePath(a []uintptr) uefi.Status {
	const end = 4 // length of the End node
	path := uefi.DevicePathAt(*abi.At[uintptr](a[1]))
	best, used := uefi.Handle(0), 0
	for h, on := range fw.Handles {
		p := uefi.DevicePathAt(on[uefi.DevicePathGUID])
		if len(p) > end && len(p)-end >= used && bytes.HasPrefix(path, p[:len(p)-end]) &&
			on[*abi.At[uefi.GUID](a[0])] != 0 {
			best, used = h, len(p)-end
		}
	}
	if best == 0 {
		return uefi.NotFound
	}
	*abi.At[uintptr](a[1]) += uintptr(used)
	store(a[2], best)
	return uefi.Success
}

// connect is ConnectController (UEFI 2.11, 7.3.12). No driver starts.
func (fw *Firmware) connect(a []uintptr) uefi.Status {
	h, recursive := uefi.Handle(a[0]), a[3] != 0
	if fw.Handles[h] == nil {
		return fw.violation(uefi.InvalidParameter, "ConnectController: no handle %#x", h)
	}
	var drivers []uefi.Handle
	for at := a[1]; at != 0 && *abi.At[uefi.Handle](at) != 0; at += unsafe.Sizeof(h) {
		drivers = append(drivers, *abi.At[uefi.Handle](at))
	}
	fw.Connected = append(fw.Connected, h)
	fw.Log = append(fw.Log, fmt.Sprintf("connect %v, recursive: %v", drivers, recursive))
	if fw.Connect != nil {
		fw.Connect(h, drivers, recursive)
	}
	return fw.refused("connect", h, uefi.GUID{})
}

// Must ends the test unless err is nil or uefi.Success.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, uefi.Success) {
		t.Fatal(err)
	}
}

// Check fails the test unless err is nil or uefi.Success.
func Check(t testing.TB, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, uefi.Success) {
		t.Error(err)
	}
}
