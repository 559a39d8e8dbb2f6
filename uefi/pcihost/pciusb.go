// Package pcihost gives a USB host controller driver access to a PCI function of the firmware: its
// registers, memory that it reaches, and bus mastering. All of it goes through EFI_PCI_IO_PROTOCOL,
// so that an IOMMU and memory encryption are set up by the firmware.
//
// Specifications: UEFI 2.11, 14.4 ("UEFI"); PCI Local Bus Specification 3.0 ("PCI"); xHCI 1.2.
package pcihost

import (
	"errors"
	"fmt"
	"sync/atomic"

	"tamaccid/baremetal/usbhost/dmamem"
	"tamaccid/uefi"
	"tamaccid/uefi/gate"
)

// Registers of configuration space (PCI, 6.1).
const (
	configCommand = 0x04
	configClass   = 0x08 // class code, 24 bits, above the revision

	commandBusMaster = 1 << 2 // PCI, 6.2.2
)

// classXHCI is the class code of an extensible host controller (xHCI 1.2, 5.2.1).
const classXHCI = 0x0c0330

// HCCPARAMS1, and its bit for addresses of 64 bits (xHCI 1.2, 5.3.6).
const (
	hccParams1 = 0x10
	hccAC64    = 1 << 0
)

// IsXHCI reports whether a PCI function is an extensible host controller. It only reads.
func IsXHCI(io *uefi.PCIIO) bool {
	v, status := io.ConfigRead32(&uefi.PCIWord{}, configClass)
	return !status.IsError() && v>>8 == classXHCI
}

// A Function is an extensible host controller that this driver uses: its memory space is decoded,
// and it may be bus master.
type Function struct {
	io     *uefi.PCIIO
	before uefi.PCIAttributes
	regs   Registers
	last   uefi.PCIWord // Silence's
	pages  atomic.Int64
}

// Open enables a function. The caller has the protocol open by driver, and closes it after Close.
func Open(io *uefi.PCIIO) (*Function, error) {
	before, err := io.Attributes()
	if err != nil {
		return nil, fmt.Errorf("pciusb: attributes: %w", err)
	}
	can, err := io.SupportedAttributes()
	if err != nil {
		return nil, fmt.Errorf("pciusb: possible attributes: %w", err)
	}
	f := &Function{io: io, before: before}
	f.regs.io = io
	if err := io.EnableAttributes(can & (uefi.PCIMemory | uefi.PCIBusMaster)); err != nil {
		return nil, fmt.Errorf("pciusb: memory space and bus master: %w", err)
	}
	gate.Remap() // register accesses are made in Go's page tables
	if params := f.regs.Read32(hccParams1); params != gone && params&hccAC64 != 0 {
		_ = io.EnableAttributes(uefi.PCIDualAddressCycle) // without it buffers lie below 4 GiB
	}
	return f, nil
}

// Registers are the controller's.
func (f *Function) Registers() *Registers { return &f.regs }

// String is the location of the function, as lspci prints it.
func (f *Function) String() string {
	l, err := f.io.Location()
	if err != nil {
		return "PCI"
	}
	return fmt.Sprintf("PCI %04x:%02x:%02x.%x", l.Segment, l.Bus, l.Device, l.Function)
}

// more allocates a chunk of memory that processor and controller reach.
func (f *Function) more(size int) (dmamem.Chunk, error) {
	pages := (uintptr(size) + uefi.PageSize - 1) / uefi.PageSize
	cpu, err := f.io.AllocateBuffer(pages)
	if err != nil {
		return dmamem.Chunk{}, err
	}
	bus, mapping, err := f.io.MapCommonBuffer(cpu, pages*uefi.PageSize)
	if err != nil {
		f.io.FreeBuffer(cpu, pages)
		return dmamem.Chunk{}, err
	}
	f.pages.Add(int64(pages))
	return dmamem.Chunk{CPU: cpu, Bus: bus, Size: int(pages * uefi.PageSize), Handle: mapping}, nil
}

// give frees such a chunk. Pages whose mapping cannot be ended are not freed: the controller may
// still access them.
func (f *Function) give(c dmamem.Chunk) {
	if again(func() error { return f.io.Unmap(c.Handle) }) != nil {
		return
	}
	pages := uintptr(c.Size) / uefi.PageSize
	if again(func() error { return f.io.FreeBuffer(c.CPU, pages) }) == nil {
		f.pages.Add(-int64(pages))
	}
}

// again repeats a call that firmware refuses, as often as an access to a register.
func again(f func() error) (err error) {
	for range tries {
		if err = f(); err == nil {
			break
		}
	}
	return err
}

// Silence ends all accesses of the controller to memory at once: it calls halt, which stops the
// controller, and ends bus mastering. It is for the end of boot services. It does not allocate,
// lock or wait for another goroutine, and halt must not either. Afterwards only Close may be
// called.
func (f *Function) Silence(halt func()) {
	f.regs.alone = true
	halt()
	if v, status := f.io.ConfigRead16(&f.last, configCommand); !status.IsError() &&
		uint32(v) != gone&0xffff {
		f.io.ConfigWrite16(&f.last, configCommand, v&^commandBusMaster)
	}
}

// Quiet ends bus mastering before the memory is freed: a controller that has not stopped must not
// write to memory that is then used otherwise.
func (f *Function) Quiet() error {
	return again(func() error { return f.io.DisableAttributes(uefi.PCIBusMaster) })
}

// Close restores the attributes that the function had before Open. The controller has stopped, and
// its memory is closed.
func (f *Function) Close() error {
	err := again(func() error { return f.io.SetAttributes(f.before) })
	if n := f.pages.Load(); n != 0 {
		err = errors.Join(err, fmt.Errorf("pciusb: firmware has not taken %d pages back", n))
	}
	return err
}
