//go:build !tamago

package driver

import (
	"errors"
	"slices"
	"testing"
	"unsafe"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/hcd"
	"tamaccid/baremetal/usbhost/usbtest"
	"tamaccid/uefi"
	"tamaccid/uefi/internal/abi"
	"tamaccid/uefi/pcihost"
)

// fakeEvents adds events and timers, and the search for drivers.
func (fw *firmware) fakeEvents(table *uefi.BootServicesTable) {
	fw.timers = map[uintptr]int{}
	next := uintptr(0x9000)
	table.CreateEvent = abi.Fake(func(a []uintptr) uintptr {
		if st := fw.allows("event", 0, uefi.GUID{}); st != uefi.Success {
			return uintptr(st)
		}
		level := uefi.TPLCallback
		if uefi.EventType(a[0]) == uefi.EventExitBootServices {
			level = uefi.TPLNotify
		}
		if uefi.TPL(a[1]) != level {
			fw.t.Errorf("event of type %#x at TPL %d", a[0], a[1])
		}
		next++
		fw.events++
		*abi.At[uintptr](a[4]) = next
		return 0
	})
	table.SetTimer = abi.Fake(func(a []uintptr) uintptr {
		fw.timers[a[0]] = int(a[1])
		return uintptr(fw.allows("timer", 0, uefi.GUID{}))
	})
	table.CloseEvent = abi.Fake(func(a []uintptr) uintptr {
		if st := fw.allows("close event", 0, uefi.GUID{}); st != uefi.Success {
			return uintptr(st)
		}
		fw.events--
		delete(fw.timers, a[0])
		return 0
	})
	table.CreateEventEx = abi.Fake(func(a []uintptr) uintptr { return abi.Call(table.CreateEvent, a[0], a[1], a[2], a[3], a[5]) })
	table.CheckEvent = abi.Fake(func(a []uintptr) uintptr {
		if kind, set := fw.timers[a[0]]; !set || fw.frozen || uefi.TimerDelay(kind) == uefi.TimerCancel {
			return uintptr(uefi.NotReady)
		}
		return 0
	})
	table.SignalEvent = abi.Fake(func(a []uintptr) uintptr {
		fw.signals++
		return 0
	})
	table.ConnectController = abi.Fake(func(a []uintptr) uintptr {
		fw.asked = append(fw.asked, uefi.Handle(a[0]))
		if fw.asks != nil {
			fw.asks(uefi.Handle(a[0]))
		}
		return 0
	})
}

// armed is how many timers are set.
func (fw *firmware) armed() (n int) {
	for _, kind := range fw.timers {
		if uefi.TimerDelay(kind) != uefi.TimerCancel {
			n++
		}
	}
	return n
}

// leaves ends an opening of another driver's, as DisconnectController does.
func (fw *firmware) leaves(o opening) bool {
	if fw.stays {
		return false
	}
	fw.opened = slices.DeleteFunc(fw.opened, func(other opening) bool { return other == o })
	return true
}

// A pciFunction is a host controller as a handle with EFI_PCI_IO_PROTOCOL and a device path.
type pciFunction struct {
	handle     uefi.Handle
	table      uefi.PCIIOTable
	path       uefi.DevicePath
	class      uint32
	command    uint16
	attributes uefi.PCIAttributes
	virtual    *usbtest.Controller // behind its registers
	halted     int
	broken     error              // the controller does not start
	stuck      error              // it does not stop
	pages      map[uintptr][]byte // of AllocateBuffer, by address
}

// virtualHost is the virtual controller of a function. It counts calls of Halt.
type virtualHost struct {
	*usbtest.Controller
	f *pciFunction
}

func (v virtualHost) Halt() { v.f.halted++ }

func (v virtualHost) Close() error { return errors.Join(v.Controller.Close(), v.f.stuck) }

// newVirtual is a controller that has not been started yet.
func newVirtual() *usbtest.Controller {
	return usbtest.New(usbtest.Model{Name: "virtual xHCI", USB2: 4, USB3: 4})
}

// plugHost makes the handle of a host controller with four ports, USB 2 and 3.
func (fw *firmware) plugHost() *pciFunction {
	fw.t.Helper()
	f := &pciFunction{handle: fw.next, class: 0x0c033000, command: 0x0406, attributes: 0x100,
		pages: map[uintptr][]byte{}, virtual: newVirtual()}
	fw.next++
	var err error
	if f.path, err = uefi.NewDevicePath(uefi.Node{Type: uefi.ACPINode, SubType: 1, Data: []byte{0xd0, 0x41, 3, 10, 0, 0, 0, 0}},
		uefi.Node{Type: uefi.HardwareNode, SubType: 1, Data: []byte{0, byte(f.handle)}}); err != nil {
		fw.t.Fatal(err)
	}
	f.table = uefi.PCIIOTable{
		Config: uefi.PCIIOAccess{
			Read: abi.Fake(func(a []uintptr) uintptr {
				if a[2] == 8 {
					*abi.At[uint32](a[4]) = f.class
				} else {
					*abi.At[uint16](a[4]) = f.command
				}
				return 0
			}),
			Write: abi.Fake(func(a []uintptr) uintptr { f.command = *abi.At[uint16](a[4]); return 0 }),
		},
		Mem: uefi.PCIIOAccess{Read: abi.Fake(func(a []uintptr) uintptr { *abi.At[uint32](a[5]) = 1; return 0 })},
		AllocateBuffer: abi.Fake(func(a []uintptr) uintptr {
			b := make([]byte, (a[3]+1)*uefi.PageSize)
			at := (uintptr(unsafe.Pointer(&b[0])) + uefi.PageSize - 1) &^ (uefi.PageSize - 1)
			f.pages[at], *abi.At[uintptr](a[4]) = b, at
			return 0
		}),
		FreeBuffer: abi.Fake(func(a []uintptr) uintptr { delete(f.pages, a[2]); return 0 }),
		Map: abi.Fake(func(a []uintptr) uintptr {
			*abi.At[uint64](a[4]), *abi.At[uintptr](a[5]) = uint64(a[2]), 1
			return 0
		}),
		Unmap: abi.Fake(func([]uintptr) uintptr { return 0 }),
		Attributes: abi.Fake(func(a []uintptr) uintptr {
			switch v := uefi.PCIAttributes(a[2]); a[1] {
			case 0:
				*abi.At[uefi.PCIAttributes](a[3]) = f.attributes
			case 1:
				f.attributes = v
			case 2:
				f.attributes |= v
			case 3:
				f.attributes &^= v
			case 4:
				*abi.At[uefi.PCIAttributes](a[3]) = 0x8700
			}
			return 0
		}),
	}
	fw.handles[f.handle] = map[uefi.GUID]uintptr{
		uefi.PCIIOGUID:      uintptr(unsafe.Pointer(&f.table)),
		uefi.DevicePathGUID: uintptr(unsafe.Pointer(&f.path[0])),
	}
	before := newHostController
	fw.t.Cleanup(func() { newHostController = before })
	newHostController = func(_ *pcihost.Function, m hcd.Memory) (usbhost.Controller, error) {
		if f.broken != nil {
			return nil, f.broken
		}
		_, err := m.Alloc(1, 1)
		return virtualHost{f.virtual, f}, err
	}
	return f
}

// ownedBy makes another driver manage the controller.
func (f *pciFunction) ownedBy(fw *firmware, agent uefi.Handle, how uefi.OpenAttributes) {
	fw.opened = append(fw.opened, opening{f.handle, uefi.PCIIOGUID, agent, f.handle, how})
}

// direct is a driver that takes host controllers.
func newDirect(t *testing.T) (*firmware, *Driver) {
	fw, d := newDriver(t)
	d.options.usb = usbDirect
	return fw, d
}
