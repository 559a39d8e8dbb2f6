// Package efitest tests the driver in UEFI firmware, on machines in QEMU. The tests are in this
// folder; the programs that run in firmware are in the folders below, those in C in cabi.
//
// The tests need the images of "make machines" and start QEMU; without QEMU or firmware they are
// skipped, unless the environment variable QEMU_REQUIRED is set.
package efitest
