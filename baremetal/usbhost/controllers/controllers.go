// Package controllers is the table of host controller drivers by PCI class code. UEFI direct mode
// and boards with PCI look up their controllers here. A new driver is a package and a row in the
// table.
package controllers

import (
	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/hcd"
	"tamaccid/baremetal/usbhost/xhci"
)

// A Driver is a host controller driver.
type Driver struct {
	// Class is the PCI class code, 24 bits: base class, sub-class, programming interface.
	Class uint32
	// BAR is the number of the base address register of the controller's registers.
	BAR uint8
	// Wide reports whether the controller addresses memory with 64 bits. It reads registers only.
	Wide func(regs hcd.Registers) bool
	// New takes control of a controller, resets and starts it.
	New Constructor
}

// A Constructor makes a running controller of its registers. It allocates from mem.
type Constructor func(regs hcd.Registers, mem hcd.Memory, o hcd.Options) (usbhost.Controller, error)

// constructor converts the constructor of a driver package, which returns a type of its own.
func constructor[C usbhost.Controller](
	f func(hcd.Registers, hcd.Memory, hcd.Options) (C, error),
) Constructor {
	return func(regs hcd.Registers, mem hcd.Memory, o hcd.Options) (usbhost.Controller, error) {
		c, err := f(regs, mem, o)
		if err != nil {
			return nil, err // not a nil pointer in an interface
		}
		return c, nil
	}
}

var table = []Driver{
	{
		Class: 0x0C0330, // xHCI 1.2, 5.2.1
		BAR:   0,        // xHCI 1.2, 5.2.2
		Wide:  xhci.Wide,
		New:   constructor(xhci.New),
	},
}

// Lookup returns the driver for a PCI class code, nil if there is none.
func Lookup(class uint32) *Driver {
	for i := range table {
		if table[i].Class == class {
			return &table[i]
		}
	}
	return nil
}
