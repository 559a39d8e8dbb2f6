// Package q35 is a board: an x86-64 machine without firmware services, such as QEMU's machine type
// q35. A virtual machine monitor loads a kernel image (see cmd/mkkernel), and the Go runtime gets
// everything that it needs from this package.
//
// A program imports it for its effects. Standard output is the first serial port, os.Args is the
// kernel command line after a name, os.Exit ends the machine with a status, and USB returns the
// machine's USB devices.
//
//	what is set up                                  where
//	64-bit mode, first 4 GiB mapped                 the kernel image's start, package kernel
//	stack, SSE                                      cpuinit
//	console, memory map, page tables, exceptions,   hwinit0, before the runtime's first instruction
//	clock, timer
//	wall clock, os.Args                             init
//
// Interrupts are on only while the dispatcher is idle and the processor halted, on the dispatcher's
// stack. The only interrupt in use is that of the local APIC's timer.
//
// The files have the build tag tamago, because the package needs the overlay of baremetal/overlay;
// with it GOOS is linux. Files without it are also tested on a host. The exported identifiers need
// the tag, so that go doc on a host does not list them:
//
//	func USB(o usbhost.Options) (*usbhost.Bus, error)   a bus with all host controllers; called once
//	var ErrNoController error                           USB has found none that can be used
//	var Input io.Reader                                 input of the first serial port
//	func FreeDMA() uint64                               free bytes of the memory for controllers
//	func Slept() (d time.Duration, times uint64)        how long the processor has been halted
//
// Specifications: x86/HVM direct boot ABI of Xen (PVH); Intel SDM volume 3 (SDM: page tables 4.5,
// descriptors 3.4.5, exceptions and interrupts 6, local APIC 10); Intel I/O Controller Hub 9 data
// sheet (ICH9); PCI Local Bus Specification 3.0 (PCI); PCI-to-PCI Bridge Architecture Specification
// 1.2 (PCI bridge); National Semiconductor PC16550D data sheet (16550); Advanced Configuration and
// Power Interface Specification 6.5 (ACPI).
package q35
