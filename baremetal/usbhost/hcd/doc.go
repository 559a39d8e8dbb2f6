// Package hcd has what every host controller driver needs from its board: access to registers,
// memory for DMA, and options. A driver package below baremetal/usbhost has a constructor with
// these three and returns a usbhost.Controller:
//
//	func New(regs hcd.Registers, mem hcd.Memory, o hcd.Options) (*Controller, error)
//
// Package controllers has the table from PCI class codes to these constructors.
package hcd

// Options describe a controller to its driver.
type Options struct {
	// Name is the place of the controller, for messages: "PCI 0000:00:04.0".
	Name string
	// Size is the length of the register space in bytes, 0 if it is unknown. The driver accesses
	// nothing beyond it.
	Size uint32
	// Interrupt receives a value whenever the controller has raised its interrupt. If it is nil,
	// the controller raises no interrupt and is polled.
	Interrupt <-chan struct{}
	// Clock returns nanoseconds. Halt bounds its wait by it, or by a count of register reads if it
	// is nil.
	Clock func() int64
	// Report, if set, is called with a line for a log when the controller does not work as
	// specified. It is called from the goroutines of the driver and must not call the controller.
	Report func(message string)
}
