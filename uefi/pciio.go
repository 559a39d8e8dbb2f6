package uefi

import (
	"unsafe"

	"tamaccid/uefi/internal/abi"
)

// PCIIOGUID is EFI_PCI_IO_PROTOCOL_GUID (UEFI 2.11, 14.4). Each function of a PCI device is a
// handle with it.
var PCIIOGUID = MustGUID("4cf5b200-68b8-4ca5-9eec-b23e3f50029a")

// PCIIOAccess is EFI_PCI_IO_PROTOCOL_ACCESS and EFI_PCI_IO_PROTOCOL_CONFIG_ACCESS (UEFI 2.11,
// 14.4).
type PCIIOAccess struct {
	Read  uintptr
	Write uintptr
}

// PCIIOTable is EFI_PCI_IO_PROTOCOL (UEFI 2.11, 14.4).
type PCIIOTable struct {
	PollMem        uintptr
	PollIO         uintptr
	Mem            PCIIOAccess
	IO             PCIIOAccess
	Config         PCIIOAccess
	CopyMem        uintptr
	Map            uintptr
	Unmap          uintptr
	AllocateBuffer uintptr
	FreeBuffer     uintptr
	Flush          uintptr
	GetLocation    uintptr
	Attributes     uintptr
	GetBarAttrs    uintptr
	SetBarAttrs    uintptr
	ROMSize        uint64
	ROMImage       uintptr
}

// PCIWidth is EFI_PCI_IO_PROTOCOL_WIDTH, the width of an access (UEFI 2.11, 14.4).
type PCIWidth uintptr

// The widths.
const (
	PCIUint8  PCIWidth = 0
	PCIUint16 PCIWidth = 1
	PCIUint32 PCIWidth = 2
)

// pciCommonBuffer is EfiPciIoOperationBusMasterCommonBuffer: processor and device both read and
// write (UEFI 2.11, 14.4).
const pciCommonBuffer = 2

// PCIAttributes are the attributes of a PCI function (UEFI 2.11, 14.4).
type PCIAttributes uint64

// Attributes (UEFI 2.11, 14.4).
const (
	PCIMemory           PCIAttributes = 0x0200 // memory space is decoded
	PCIBusMaster        PCIAttributes = 0x0400
	PCIDualAddressCycle PCIAttributes = 0x8000 // addresses above 4 GiB
)

// pciAttributeOperation is EFI_PCI_IO_PROTOCOL_ATTRIBUTE_OPERATION (UEFI 2.11, 14.4).
type pciAttributeOperation uintptr

const (
	pciAttributesGet pciAttributeOperation = iota
	pciAttributesSet
	pciAttributesEnable
	pciAttributesDisable
	pciAttributesSupported
)

// PCIIO calls the PCI I/O protocol of one function. It has no state: calls are independent.
type PCIIO struct {
	addr  uintptr
	table *PCIIOTable
}

// PCIIOAt is the protocol at an address.
func PCIIOAt(addr uintptr) *PCIIO { return &PCIIO{addr, tableAt[PCIIOTable](addr)} }

// PCIWord holds the value of one access, which firmware reads or writes, and its arguments. It is
// reused so that an access allocates nothing, serves one access at a time and lies on the heap.
type PCIWord struct {
	value uint64
	args  [pciAccessArgs]uintptr
}

// pciAccessArgs is the largest number of arguments of an access, Mem.Read's.
const pciAccessArgs = 6

// mem performs one access to the memory space of a base address register.
func (p *PCIIO) mem(fn uintptr, w *PCIWord, width PCIWidth, bar uint8, offset uint64) Status {
	w.args = [...]uintptr{p.addr, uintptr(width), uintptr(bar), uintptr(offset), 1,
		uintptr(unsafe.Pointer(&w.value))}
	return Status(abi.Brief(fn, w.args[:]))
}

// MemRead reads from the memory space of a base address register (UEFI 2.11, 14.4).
func (p *PCIIO) MemRead(w *PCIWord, width PCIWidth, bar uint8, offset uint64) (uint32, Status) {
	w.value = 0
	status := p.mem(p.table.Mem.Read, w, width, bar, offset)
	return uint32(w.value), status
}

// MemWrite writes to the memory space of a base address register (UEFI 2.11, 14.4).
func (p *PCIIO) MemWrite(w *PCIWord, width PCIWidth, bar uint8, offset uint64, v uint32) Status {
	w.value = uint64(v)
	return p.mem(p.table.Mem.Write, w, width, bar, offset)
}

// config does one access to configuration space.
func (p *PCIIO) config(fn uintptr, w *PCIWord, width PCIWidth, offset uint32) Status {
	args := w.args[:pciAccessArgs-1] // there is no base address register
	args[0], args[1], args[2], args[3] = p.addr, uintptr(width), uintptr(offset), 1
	args[4] = uintptr(unsafe.Pointer(&w.value))
	return Status(abi.Call(fn, args...))
}

// ConfigRead32 reads 32 bits of configuration space (UEFI 2.11, 14.4).
func (p *PCIIO) ConfigRead32(w *PCIWord, offset uint32) (uint32, Status) {
	w.value = 0
	status := p.config(p.table.Config.Read, w, PCIUint32, offset)
	return uint32(w.value), status
}

// ConfigRead16 reads 16 bits of configuration space (UEFI 2.11, 14.4).
func (p *PCIIO) ConfigRead16(w *PCIWord, offset uint32) (uint16, Status) {
	w.value = 0
	status := p.config(p.table.Config.Read, w, PCIUint16, offset)
	return uint16(w.value), status
}

// ConfigWrite16 writes 16 bits of configuration space (UEFI 2.11, 14.4).
func (p *PCIIO) ConfigWrite16(w *PCIWord, offset uint32, v uint16) Status {
	w.value = uint64(v)
	return p.config(p.table.Config.Write, w, PCIUint16, offset)
}

// AllocateBuffer allocates pages for a common buffer, not zeroed (UEFI 2.11, 14.4). The enabled
// attributes determine the range of addresses. FreeBuffer frees them.
func (p *PCIIO) AllocateBuffer(pages uintptr) (addr uintptr, err error) {
	err = check(abi.Call(p.table.AllocateBuffer, p.addr, uintptr(AllocateAnyPages),
		uintptr(BootServicesData), pages,
		uintptr(unsafe.Pointer(&addr)), 0))
	switch {
	case err != nil:
		return 0, err
	case addr == 0:
		return 0, OutOfResources
	}
	return addr, nil
}

// FreeBuffer frees pages of AllocateBuffer (UEFI 2.11, 14.4).
func (p *PCIIO) FreeBuffer(addr, pages uintptr) error {
	return check(abi.Call(p.table.FreeBuffer, p.addr, pages, addr))
}

// MapCommonBuffer maps pages of AllocateBuffer for the device and returns their address for it
// (UEFI 2.11, 14.4). A mapping that is shorter than size is ended, and the error is OutOfResources.
// Unmap ends the mapping.
func (p *PCIIO) MapCommonBuffer(addr, size uintptr) (device uint64, mapping uintptr, err error) {
	var out struct {
		size    uintptr
		device  uint64
		mapping uintptr
	}
	out.size = size
	err = check(abi.Call(p.table.Map, p.addr, pciCommonBuffer, addr,
		uintptr(unsafe.Pointer(&out.size)),
		uintptr(unsafe.Pointer(&out.device)), uintptr(unsafe.Pointer(&out.mapping))))
	if err != nil {
		return 0, 0, err
	}
	if out.size < size {
		p.Unmap(out.mapping)
		return 0, 0, OutOfResources
	}
	return out.device, out.mapping, nil
}

// Unmap ends a mapping: the device must not access the memory after it (UEFI 2.11, 14.4).
func (p *PCIIO) Unmap(mapping uintptr) error {
	return check(abi.Call(p.table.Unmap, p.addr, mapping))
}

// PCILocation is the location of a function.
type PCILocation struct{ Segment, Bus, Device, Function uintptr }

// Location is the location of the function (UEFI 2.11, 14.4).
func (p *PCIIO) Location() (l PCILocation, err error) {
	err = check(abi.Call(p.table.GetLocation, p.addr, uintptr(unsafe.Pointer(&l.Segment)),
		uintptr(unsafe.Pointer(&l.Bus)),
		uintptr(unsafe.Pointer(&l.Device)), uintptr(unsafe.Pointer(&l.Function))))
	return l, err
}

func (p *PCIIO) attributes(op pciAttributeOperation, a PCIAttributes, result *PCIAttributes) error {
	return check(abi.Call(p.table.Attributes, p.addr, uintptr(op), uintptr(a),
		uintptr(unsafe.Pointer(result))))
}

// Attributes are the enabled attributes (UEFI 2.11, 14.4).
func (p *PCIIO) Attributes() (a PCIAttributes, err error) {
	err = p.attributes(pciAttributesGet, 0, &a)
	return a, err
}

// SupportedAttributes are the attributes that can be enabled (UEFI 2.11, 14.4).
func (p *PCIIO) SupportedAttributes() (a PCIAttributes, err error) {
	err = p.attributes(pciAttributesSupported, 0, &a)
	return a, err
}

// SetAttributes replaces the enabled attributes, for example to restore them (UEFI 2.11, 14.4).
func (p *PCIIO) SetAttributes(a PCIAttributes) error {
	return p.attributes(pciAttributesSet, a, nil)
}

// EnableAttributes enables attributes (UEFI 2.11, 14.4).
func (p *PCIIO) EnableAttributes(a PCIAttributes) error {
	return p.attributes(pciAttributesEnable, a, nil)
}

// DisableAttributes disables attributes (UEFI 2.11, 14.4).
func (p *PCIIO) DisableAttributes(a PCIAttributes) error {
	return p.attributes(pciAttributesDisable, a, nil)
}
