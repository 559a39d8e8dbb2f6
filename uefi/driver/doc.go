// Package driver is the resident UEFI driver: it installs EFI_SMART_CARD_READER_PROTOCOL for each
// slot of a USB smart card reader. It reaches readers in two ways: through firmware's USB stack,
// which other drivers use too, or directly, with a USB host controller that it runs itself.
//
//	protocol.go, status.go, readers.go   the protocol's six functions, plain Go over package ccid
//	driver.go, options.go, names.go      the driver's own protocols, load options, names
//	binding.go, install.go               the driver model: controllers, and slots on handles
//	interface.go, postponed.go           readers of firmware's USB stack
//	host.go, attach.go                   host controllers that the driver runs, readers on them
//	unclaimed.go                         devices on them that are no readers
//	direct.go                            timer, and the end of boot services
//	memory.go                            memory that a call needs, before it begins
//	faultinjection.go                    failures on request, for tests (build tag faultinjection)
//
// Specifications: UEFI 2.11, 37.6 (the protocol), 11.1 (driver binding), 11.5
// (component name), 14.4 (PCI); CCID 1.1.
package driver
