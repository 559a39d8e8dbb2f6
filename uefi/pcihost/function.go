// Package pcihost provides a USB host controller driver with what it needs of a PCI function:
// access to its registers, and memory for DMA. All of it goes through EFI_PCI_IO_PROTOCOL, so that
// it respects firmware's IOMMU and memory encryption.
//
// Specifications: UEFI 2.11, 14.4 ("UEFI"); PCI Local Bus Specification 3.0 ("PCI").
package pcihost

import (
	"errors"
	"fmt"
	"sync/atomic"

	"tamaccid/baremetal/usbhost/controllers"
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

// Driver returns the driver for a PCI function, nil if there is none: the function is no USB host
// controller, or of an unsupported kind. It only reads the class code.
func Driver(io *uefi.PCIIO) *controllers.Driver {
	v, status := io.ConfigRead32(&uefi.PCIWord{}, configClass)
	if status.IsError() {
		return nil
	}
	return controllers.Lookup(v >> 8)
}

// A Function is a PCI function that is a USB host controller and is open: its memory space is
// decoded, and it may be bus master.
type Function struct {
	io     *uefi.PCIIO
	driver *controllers.Driver
	before uefi.PCIAttributes
	regs   Registers
	last   uefi.PCIWord // used by Silence
	pages  atomic.Int64
}

// Open opens a function for its driver, which is not nil. The caller has opened the protocol
// BY_DRIVER, and closes it after Close.
func Open(io *uefi.PCIIO, driver *controllers.Driver) (*Function, error) {
	before, err := io.Attributes()
	if err != nil {
		return nil, fmt.Errorf("pcihost: attributes: %w", err)
	}
	can, err := io.SupportedAttributes()
	if err != nil {
		return nil, fmt.Errorf("pcihost: possible attributes: %w", err)
	}
	f := &Function{io: io, driver: driver, before: before}
	f.regs.io, f.regs.bar = io, driver.BAR
	if err := io.EnableAttributes(can & (uefi.PCIMemory | uefi.PCIBusMaster)); err != nil {
		return nil, fmt.Errorf("pcihost: memory space and bus master: %w", err)
	}
	gate.Remap() // register accesses use the page tables of Go code
	if driver.Wide(&f.regs) {
		_ = io.EnableAttributes(uefi.PCIDualAddressCycle) // without it, buffers are below 4 GiB
	}
	return f, nil
}

// Driver is the driver of the controller.
func (f *Function) Driver() *controllers.Driver { return f.driver }

// Registers are the registers of the controller.
func (f *Function) Registers() *Registers { return &f.regs }

// String is the location of the function, in the format of lspci.
func (f *Function) String() string {
	l, err := f.io.Location()
	if err != nil {
		return "PCI"
	}
	return fmt.Sprintf("PCI %04x:%02x:%02x.%x", l.Segment, l.Bus, l.Device, l.Function)
}

// more allocates a chunk of memory for DMA.
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

// give frees a chunk. Pages that firmware does not unmap are not freed.
func (f *Function) give(c dmamem.Chunk) {
	if again(func() error { return f.io.Unmap(c.Handle) }) != nil {
		return
	}
	pages := uintptr(c.Size) / uefi.PageSize
	if again(func() error { return f.io.FreeBuffer(c.CPU, pages) }) == nil {
		f.pages.Add(-int64(pages))
	}
}

// again repeats a call that firmware rejects, as often as a register access.
func again(f func() error) (err error) {
	for range tries {
		if err = f(); err == nil {
			break
		}
	}
	return err
}

// Silence ends all DMA of the controller at once: it calls halt, and then disables bus mastering.
// It is meant for the end of boot services: it allocates nothing, takes no lock and waits for no
// goroutine, and halt must not do so either. Afterwards only Close may be called.
func (f *Function) Silence(halt func()) {
	f.regs.alone = true
	halt()
	if v, status := f.io.ConfigRead16(&f.last, configCommand); !status.IsError() &&
		uint32(v) != gone&0xffff {
		f.io.ConfigWrite16(&f.last, configCommand, v&^commandBusMaster)
	}
}

// Quiet disables bus mastering, before the controller's memory is freed: a controller that has not
// stopped must not write to it.
func (f *Function) Quiet() error {
	return again(func() error { return f.io.DisableAttributes(uefi.PCIBusMaster) })
}

// Close restores the function's attributes of before Open. The controller has stopped, and its
// memory is closed.
func (f *Function) Close() error {
	err := again(func() error { return f.io.SetAttributes(f.before) })
	if n := f.pages.Load(); n != 0 {
		err = errors.Join(err, fmt.Errorf("pcihost: firmware has not taken %d pages back", n))
	}
	return err
}
