// Package uefitest is firmware for tests on a host: boot services with a handle database, events,
// images and pool memory, and devices behind EFI_USB_IO_PROTOCOL, EFI_PCI_IO_PROTOCOL and
// EFI_SMART_CARD_READER_PROTOCOL.
//
//	fw := uefitest.New(t)     // behind uefi.Boot() until the test ends
//	u := fw.PlugUSB(device)   // a handle with EFI_USB_IO_PROTOCOL and a device path
//
// A call that UEFI forbids fails the test: closing a protocol that is not open, freeing memory that
// is not allocated, a transfer without a time limit. At the end of the test, memory that firmware
// allocated for its caller must be freed, and each image that was loaded must have been started or
// unloaded. Firmware.Refuse makes a service fail. A test that needs a service with another
// behaviour replaces its entry in the table.
//
// Tests that use it are for a host (build constraint !tamago) and do not run in parallel: there is
// one table of boot services.
//
// Specification: UEFI 2.11.
package uefitest
