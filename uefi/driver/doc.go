// Package driver is the resident UEFI driver: it offers each slot of a USB smart
// card reader as EFI_SMART_CARD_READER_PROTOCOL. It gets at readers in two ways:
// through firmware's USB stack, which it shares with others, or directly, with a
// USB host controller that it runs itself.
//
//	member.go, status.go, readers.go   the protocol's six members, plain Go over package ccid
//	driver.go, options.go, names.go    what is installed, load options, names
//	binding.go, offer.go               the driver model: controllers, and slots on handles
//	interface.go, postponed.go         readers of firmware's USB stack
//	host.go, attach.go, bystander.go   host controllers of our own, what is plugged in there
//	direct.go                          what runs between firmware's calls, and at the end of boot services
//
// Specifications: UEFI 2.11, 37.6 (the protocol), 11.1 (driver binding), 11.5
// (component name), 14.4 (PCI); CCID 1.1.
package driver
