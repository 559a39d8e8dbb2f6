// Package q35 is a board: an x86-64 machine without any firmware service, as QEMU's machine type q35 is one. A virtual machine
// monitor loads a kernel image (see mkkernel), and everything that the Go runtime needs comes from here.
//
// A program imports it for its effects. Standard output is the first serial port, os.Args is the kernel command line behind a
// name, os.Exit ends the machine with a status, and USB has the machine's USB devices.
//
//	the machine                                                  who
//	64-bit mode, first 4 GiB mapped                              the kernel image's own start, package kernel
//	stack, SSE                                                   cpuinit
//	console, memory map, page tables, exceptions, clock, timer   hwinit0, before the runtime's first instruction
//	wall clock, os.Args                                          init
//
// Interrupts are on only while the dispatcher has nothing to do and the processor is halted, on the dispatcher's stack. The
// one interrupt that is used is the local APIC's timer.
//
// Specifications: x86/HVM direct boot ABI of Xen (PVH); Intel SDM volume 3 (SDM: page tables 4.5, descriptors 3.4.5,
// exceptions and interrupts 6, local APIC 10); Intel I/O Controller Hub 9 data sheet (ICH9); PCI Local Bus Specification 3.0
// (PCI); PCI-to-PCI Bridge Architecture Specification 1.2 (PCI bridge); National Semiconductor PC16550D data sheet (16550);
// Advanced Configuration and Power Interface Specification 6.5 (ACPI).
package q35
