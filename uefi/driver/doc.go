// Package driver is the resident UEFI driver: it binds to USB smart card
// readers and offers each slot as EFI_SMART_CARD_READER_PROTOCOL.
//
// member.go and the files it names are the protocol's six members, plain Go
// over package ccid; binding.go is the driver model around them.
//
// Specifications: UEFI 2.11, 37.6 (the protocol), 11.1 (driver binding), 11.5
// (component name); CCID 1.1.
package driver
