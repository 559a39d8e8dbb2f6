//go:build !tamago

// Package kernel makes a kernel image, which virtual machine monitors load, of a program that Go's
// linker made for a fixed address.
//
// The image is an ELF file with a note that names a 32-bit entry point (PVH). The code there is in
// a segment of its own behind the program. It enters 64-bit mode and jumps to the program's own
// entry point, as package bootinfo describes.
//
// Specifications: x86/HVM direct boot ABI of Xen (PVH); System V ABI, chapters 4 and 5 (ELF); Intel
// SDM volume 3 (SDM).
package kernel
