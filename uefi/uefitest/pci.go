//go:build !tamago

package uefitest

import (
	"fmt"
	"unsafe"

	"tamaccid/uefi"
	"tamaccid/uefi/internal/abi"
)

// PCI is a function of a PCI device: a handle with EFI_PCI_IO_PROTOCOL (UEFI 2.11, 14.4) and a
// device path. It has one memory space, whose registers have 32 bits, and reaches memory at other
// addresses than the processor.
type PCI struct {
	Handle uefi.Handle
	Table  *uefi.PCIIOTable
	Path   uefi.DevicePath

	Class     uint32 // class code and revision
	Command   uint16
	BAR       uintptr           // of the registers
	Registers map[uint32]uint32 // by offset
	Widths    []uefi.PCIWidth   // of accesses to registers

	Has, Can uefi.PCIAttributes // attributes that are enabled, and that can be

	Pages  map[uintptr]uintptr // of AllocateBuffer: number by address
	Mapped map[uintptr]uintptr // of Map: address by mapping
	Short  bool                // mappings are one byte too short

	// Refuse has the results of functions that fail: read, write, config, allocate, free, map,
	// unmap, location, attributes, enable. With Once each fails a single time.
	Refuse map[string]uefi.Status
	Once   bool
	Log    []string // writes to the command register

	fw     *Firmware
	memory [][]byte
}

// BusDistance lies between the addresses of memory for the processor and for a PCI function.
const BusDistance = 1 << 32

// Offsets in configuration space (PCI Local Bus Specification 3.0, 6.1).
const (
	configCommand = 0x04
	configClass   = 0x08
)

// PCIPlace is where each function is.
var PCIPlace = uefi.PCILocation{Segment: 0, Bus: 0x1f, Device: 4, Function: 2}

// PlugPCI makes the handle of an xHCI controller that reaches 64 bits of address.
func (fw *Firmware) PlugPCI() *PCI {
	f := &PCI{
		fw:        fw,
		Class:     0x0c033001,
		Command:   0x0406,
		Registers: map[uint32]uint32{0x10: 1}, // HCCPARAMS1: AC64 (xHCI 1.2, 5.3.6)
		Has:       0x100,
		Can:       0x100 | uefi.PCIMemory | uefi.PCIBusMaster,
		Pages:     map[uintptr]uintptr{},
		Mapped:    map[uintptr]uintptr{},
		Refuse:    map[string]uefi.Status{},
	}
	f.Table = &uefi.PCIIOTable{
		Mem: uefi.PCIIOAccess{
			Read:  f.function("read", f.read),
			Write: f.function("write", f.write),
		},
		Config: uefi.PCIIOAccess{
			Read: f.function("config", func(a []uintptr) {
				switch f.config(a) {
				case configClass:
					store(a[4], f.Class)
				case configCommand:
					store(a[4], f.Command)
				}
			}),
			Write: f.function("config", func(a []uintptr) {
				if f.config(a) == configCommand {
					f.Command = *abi.At[uint16](a[4])
					f.Log = append(f.Log, fmt.Sprintf("command %#x", f.Command))
				}
			}),
		},
		AllocateBuffer: f.function("allocate", f.allocate),
		FreeBuffer: f.function("free", func(a []uintptr) {
			if f.Pages[a[2]] != a[1] || a[1] == 0 {
				fw.t.Errorf("FreeBuffer(%d pages at %#x) of what is not allocated", a[1], a[2])
			}
			for _, at := range f.Mapped {
				if at == a[2] {
					fw.t.Errorf("FreeBuffer(%#x) of what is mapped", at)
				}
			}
			delete(f.Pages, a[2])
		}),
		Map: f.function("map", f.mapBuffer),
		Unmap: f.function("unmap", func(a []uintptr) {
			if f.Mapped[a[1]] == 0 {
				fw.t.Errorf("Unmap(%#x) of what is not mapped", a[1])
			}
			delete(f.Mapped, a[1])
		}),
		GetLocation: f.function("location", func(a []uintptr) {
			store(a[1], PCIPlace.Segment)
			store(a[2], PCIPlace.Bus)
			store(a[3], PCIPlace.Device)
			store(a[4], PCIPlace.Function)
		}),
		Attributes: f.function("attributes", f.attributes),
	}
	f.Handle = fw.NewHandle(map[uefi.GUID]uintptr{
		uefi.PCIIOGUID: uintptr(unsafe.Pointer(f.Table)),
	})
	f.Path = newPath(fw,
		uefi.Node{Type: uefi.ACPINode, SubType: 1, Data: []byte{0xd0, 0x41, 3, 10, 0, 0, 0, 0}},
		uefi.Node{Type: uefi.HardwareNode, SubType: 1, Data: []byte{0, byte(f.Handle)}})
	fw.SetPath(f.Handle, f.Path)
	return f
}

// IO is the protocol as programs call it.
func (f *PCI) IO() *uefi.PCIIO { return uefi.PCIIOAt(uintptr(unsafe.Pointer(f.Table))) }

// function is a function of the protocol. Its first argument is This. "enable" in Refuse is one
// operation of Attributes.
func (f *PCI) function(name string, do func(a []uintptr)) uintptr {
	return function(func(a []uintptr) uefi.Status {
		if a[0] != uintptr(unsafe.Pointer(f.Table)) {
			f.fw.t.Errorf("This is %#x", a[0])
		}
		refused := name
		if name == "attributes" && a[1] == attributesEnable && f.Refuse["enable"] != uefi.Success {
			refused = "enable"
		}
		if st := f.Refuse[refused]; st != uefi.Success {
			if f.Once {
				delete(f.Refuse, refused)
			}
			return st
		}
		do(a)
		return uefi.Success
	})
}

// register is the width and the offset of an access to a register; BAR, alignment and count are
// checked.
func (f *PCI) register(a []uintptr) (uefi.PCIWidth, uint32) {
	width := uefi.PCIWidth(a[1])
	if width > uefi.PCIUint32 || a[2] != f.BAR || a[3]%(1<<width) != 0 || a[4] != 1 {
		f.fw.t.Errorf("access of width %d to BAR %d, offset %#x, count %d", a[1], a[2], a[3], a[4])
	}
	f.Widths = append(f.Widths, width)
	return width, uint32(a[3])
}

func (f *PCI) read(a []uintptr) {
	width, offset := f.register(a)
	switch v := f.Registers[offset]; width {
	case uefi.PCIUint8:
		store(a[5], uint8(v))
	case uefi.PCIUint16:
		store(a[5], uint16(v))
	case uefi.PCIUint32:
		store(a[5], v)
	}
}

func (f *PCI) write(a []uintptr) {
	switch width, offset := f.register(a); width {
	case uefi.PCIUint8:
		f.Registers[offset] = uint32(*abi.At[uint8](a[5]))
	case uefi.PCIUint16:
		f.Registers[offset] = uint32(*abi.At[uint16](a[5]))
	case uefi.PCIUint32:
		f.Registers[offset] = *abi.At[uint32](a[5])
	}
}

// config is the offset of an access to configuration space, which has the register's width.
func (f *PCI) config(a []uintptr) uintptr {
	width := map[uintptr]uefi.PCIWidth{
		configClass:   uefi.PCIUint32,
		configCommand: uefi.PCIUint16,
	}[a[2]]
	if width == 0 || uefi.PCIWidth(a[1]) != width || a[3] != 1 {
		f.fw.t.Errorf("access of width %d to configuration space, offset %#x, count %d", a[1], a[2],
			a[3])
	}
	return a[2]
}

// allocate is AllocateBuffer. The memory is not zeroed.
func (f *PCI) allocate(a []uintptr) {
	if uefi.AllocateType(a[1]) != uefi.AllocateAnyPages ||
		uefi.MemoryType(a[2]) != uefi.BootServicesData || a[5] != 0 {
		f.fw.t.Errorf("AllocateBuffer(%x)", a[1:])
	}
	b := make([]byte, (a[3]+1)*uefi.PageSize)
	for i := range b {
		b[i] = 0xa5
	}
	f.memory = append(f.memory, b)
	at := (uintptr(unsafe.Pointer(&b[0])) + uefi.PageSize - 1) &^ (uefi.PageSize - 1)
	f.Pages[at] = a[3]
	store(a[4], at)
}

// mapBuffer is Map, for a common buffer.
func (f *PCI) mapBuffer(a []uintptr) {
	const commonBuffer = 2
	size := abi.At[uintptr](a[3])
	if a[1] != commonBuffer || f.Pages[a[2]]*uefi.PageSize < *size {
		f.fw.t.Errorf("Map(%d, %#x, %d) of what is not allocated", a[1], a[2], *size)
	}
	if f.Short {
		*size--
	}
	f.fw.next++
	f.Mapped[f.fw.next] = a[2]
	store(a[4], uint64(a[2])+BusDistance)
	store(a[5], f.fw.next)
}

// Operations of Attributes (UEFI 2.11, 14.4).
const (
	attributesGet = iota
	attributesSet
	attributesEnable
	attributesDisable
	attributesSupported
)

func (f *PCI) attributes(a []uintptr) {
	v := uefi.PCIAttributes(a[2])
	switch a[1] {
	case attributesGet:
		store(a[3], f.Has)
	case attributesSet:
		f.Has = v
	case attributesEnable:
		f.Has |= v
	case attributesDisable:
		f.Has &^= v
	case attributesSupported:
		store(a[3], f.Can)
	default:
		f.fw.t.Errorf("Attributes: operation %d", a[1])
	}
}

// NothingLeft fails the test when memory of AllocateBuffer or Map is still in use.
func (f *PCI) NothingLeft() {
	f.fw.t.Helper()
	if len(f.Pages) != 0 || len(f.Mapped) != 0 {
		f.fw.t.Errorf("%d buffers and %d mappings are left", len(f.Pages), len(f.Mapped))
	}
}
