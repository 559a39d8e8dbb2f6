//go:build !tamago

// Package kernel makes a kernel image, as virtual machine monitors load it, of a program that Go's
// linker made for a fixed address.
//
// The image is an ELF file whose note names a 32-bit entry point (PVH). The code there, and what it
// needs, lies in a segment of its own behind the program: it goes to 64-bit mode and to the
// program's own entry point, as package bootinfo says.
//
// Specifications: x86/HVM direct boot ABI of Xen (PVH); System V ABI, chapters 4 and 5 (ELF); Intel
// SDM volume 3 (SDM).
package kernel
