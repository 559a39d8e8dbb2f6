//go:build tamago

package main

import (
	"sync/atomic"

	"github.com/usbarmory/tamago/soc/intel/pci"

	"tamaccid/uefi"
)

// Of PCI's configuration space (PCI 3.0, 6.1).
const (
	pciCommand   = 0x04
	pciClass     = 0x08 // class, subclass, interface, revision
	xhciClass    = 0x0C0330
	busMaster    = 1 << 2
	firstAddress = 0 // base address register
)

// Registers (xHCI 1.2, 5.3 to 5.5).
const (
	capLength  = 0x00
	hcsParams1 = 0x04
	hccParams1 = 0x10
	rtsOffset  = 0x18
	longBit    = 1 << 2 // HCCPARAMS1.CSZ: contexts of 64 bytes

	usbCommand = 0x00 // from here on in the operational registers
	usbStatus  = 0x04
	dcbaaPtr   = 0x30
	runStop    = 1 << 0
	halted     = 1 << 0

	segmentSize   = 0x28 // of interrupter 0, from here on in the runtime registers
	segmentTable  = 0x30
	maxController = 8 // policy
)

type controller struct {
	device               *pci.Device
	base, operational    uintptr
	runtime, contextSize uintptr
	slots                uintptr
}

var (
	controllers [maxController]controller
	count       int
)

func read(addr uintptr) uintptr { return uintptr(atomic.LoadUint32(uefi.At[uint32](addr))) }

func read64(addr uintptr) uintptr { return read(addr+4)<<32 | read(addr) }

func findControllers() {
	for _, d := range pci.Devices(0) {
		if d.Read(0, pciClass)>>8 != xhciClass || count == maxController {
			continue
		}
		base := uintptr(d.BaseAddress(firstAddress)) &^ 0xF
		c := controller{device: d, base: base, operational: base + read(base+capLength)&0xFF,
			runtime:     base + read(base+rtsOffset)&^0x1F,
			contextSize: 32, slots: read(base+hcsParams1) & 0xFF}
		if read(base+hccParams1)&longBit != 0 {
			c.contextSize = 64
		}
		controllers[count] = c
		count++
	}
}

// report prints the state of each controller.
func report(when string) {
	for i := range count {
		c := &controllers[i]
		print1("handover: ")
		print1(when)
		print1(": slot ")
		hex(uintptr(c.device.Slot))
		print1(" run ")
		hex(read(c.operational+usbCommand) & runStop)
		print1(" halted ")
		hex(read(c.operational+usbStatus) & halted)
		printLine(" master ", uintptr(c.device.Read(0, pciCommand)&busMaster)/busMaster)
	}
}

// letRun undoes what stopped the controllers.
func letRun() {
	for i := range count {
		c := &controllers[i]
		c.device.Write(0, pciCommand, c.device.Read(0, pciCommand)&0xFFFF|busMaster)
		command := uefi.At[uint32](c.operational + usbCommand)
		atomic.StoreUint32(command, atomic.LoadUint32(command)|runStop)
	}
}
