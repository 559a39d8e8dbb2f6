//go:build !tamago

package pcihost

import (
	"fmt"
	"testing"
	"unsafe"

	"tamaccid/uefi"
	"tamaccid/uefi/internal/abi"
)

// A fake is a PCI function behind EFI_PCI_IO_PROTOCOL, with memory that it maps at another address
// than the processor's.
type fake struct {
	t     *testing.T
	table uefi.PCIIOTable

	class     uint32
	command   uint16
	registers map[uint32]uint32
	widths    []uintptr // of the register accesses since open
	has, can  uefi.PCIAttributes

	pages    map[uintptr]uintptr // by address: how many
	mapped   map[uintptr]uintptr // mapping: address
	keep     [][]byte
	requests int
	short    bool // mappings are too short
	refuse   map[string]uefi.Status
	once     bool // each refusal is one of a single call
	log      []string
}

// HCCPARAMS1, and its bit for addresses of 64 bits (xHCI 1.2, 5.3.6).
const (
	hccParams1 = 0x10
	hccAC64    = 1 << 0
)

// distance is what lies between the addresses of the processor and of the device.
const distance = 1 << 32

func newFake(t *testing.T) (*fake, *uefi.PCIIO) {
	f := &fake{t: t, class: 0x0c033001, registers: map[uint32]uint32{hccParams1: hccAC64},
		has: 0x100, can: 0x100 | uefi.PCIMemory | uefi.PCIBusMaster,
		pages: map[uintptr]uintptr{}, mapped: map[uintptr]uintptr{},
		refuse: map[string]uefi.Status{}}
	on := func(service string, do func(a []uintptr) uintptr) uintptr {
		return abi.Fake(func(a []uintptr) uintptr {
			if st := f.refuse[service]; st != uefi.Success {
				if f.once {
					delete(f.refuse, service)
				}
				return uintptr(st)
			}
			return do(a)
		})
	}
	f.table = uefi.PCIIOTable{
		Mem: uefi.PCIIOAccess{
			Read: on("read", func(a []uintptr) uintptr {
				f.widths = append(f.widths, a[1])
				*abi.At[uint32](a[5]) = f.registers[uint32(a[3])]
				return 0
			}),
			Write: on("write", func(a []uintptr) uintptr {
				f.widths = append(f.widths, a[1])
				f.registers[uint32(a[3])] = *abi.At[uint32](a[5])
				return 0
			}),
		},
		Config: uefi.PCIIOAccess{
			Read: on("config", func(a []uintptr) uintptr {
				switch a[2] {
				case configClass:
					*abi.At[uint32](a[4]) = f.class
				case configCommand:
					*abi.At[uint16](a[4]) = f.command
				}
				return 0
			}),
			Write: on("config", func(a []uintptr) uintptr {
				f.note("command %#x", *abi.At[uint16](a[4]))
				f.command = *abi.At[uint16](a[4])
				return 0
			}),
		},
		AllocateBuffer: on("allocate", f.allocate),
		FreeBuffer: on("free", func(a []uintptr) uintptr {
			if f.pages[a[2]] != a[1] {
				t.Errorf("FreeBuffer(%d pages at %#x) of what is not allocated", a[1], a[2])
			}
			delete(f.pages, a[2])
			return 0
		}),
		Map: on("map", func(a []uintptr) uintptr {
			if f.pages[a[2]]*uefi.PageSize < *abi.At[uintptr](a[3]) {
				t.Errorf("Map of what is not allocated")
			}
			if f.short {
				*abi.At[uintptr](a[3])--
			}
			f.requests++
			f.mapped[uintptr(f.requests)] = a[2]
			*abi.At[uint64](a[4]), *abi.At[uintptr](a[5]) = uint64(a[2])+distance, uintptr(f.requests)
			return 0
		}),
		Unmap: on("unmap", func(a []uintptr) uintptr {
			if f.mapped[a[1]] == 0 {
				t.Errorf("Unmap(%#x) of what is not mapped", a[1])
			}
			delete(f.mapped, a[1])
			return 0
		}),
		GetLocation: on("location", func(a []uintptr) uintptr {
			for i, v := range []uintptr{0, 0x1f, 4, 2} {
				*abi.At[uintptr](a[1+i]) = v
			}
			return 0
		}),
		Attributes: on("attributes", func(a []uintptr) uintptr {
			switch a[1] { // UEFI 2.11, 14.4: get, set, enable, disable, supported
			case 0:
				*abi.At[uefi.PCIAttributes](a[3]) = f.has
			case 1:
				f.has = uefi.PCIAttributes(a[2])
			case 2:
				if st := f.refuse["enable"]; st != uefi.Success {
					return uintptr(st)
				}
				f.has |= uefi.PCIAttributes(a[2])
			case 4:
				*abi.At[uefi.PCIAttributes](a[3]) = f.can
			}
			return 0
		}),
	}
	return f, uefi.PCIIOAt(uintptr(unsafe.Pointer(&f.table)))
}

func (f *fake) note(format string, args ...any) {
	f.log = append(f.log, fmt.Sprintf(format, args...))
}

func (f *fake) allocate(a []uintptr) uintptr {
	b := make([]byte, (a[3]+1)*uefi.PageSize)
	for i := range b {
		b[i] = 0xa5
	}
	f.keep = append(f.keep, b)
	at := (uintptr(unsafe.Pointer(&b[0])) + uefi.PageSize - 1) &^ (uefi.PageSize - 1)
	f.pages[at] = a[3]
	*abi.At[uintptr](a[4]) = at
	return 0
}

// nothingLeft fails the test when firmware's memory is still in use.
func (f *fake) nothingLeft() {
	f.t.Helper()
	if len(f.pages) != 0 || len(f.mapped) != 0 {
		f.t.Errorf("%d buffers and %d mappings are left", len(f.pages), len(f.mapped))
	}
}

func (f *fake) open(io *uefi.PCIIO) *Function {
	f.t.Helper()
	fn, err := Open(io, Driver(io))
	if err != nil {
		f.t.Fatal(err)
	}
	f.widths = nil // without the accesses of Open
	return fn
}
