// Package sclib is PC/SC for Go: readers, cards, transactions and events, with the names and the
// semantics of PC/SC, on machines with and without an operating system.
//
//	sc := sclib.New(backend)
//	defer sc.Release()
//	readers, err := sc.ListReaders(ctx)
//	card, err := sc.Connect(ctx, readers[0], sclib.ShareShared, sclib.ProtocolAny)
//	defer card.Disconnect(sclib.LeaveCard)
//	answer, err := card.Transmit(ctx, []byte{0x00, 0xA4, 0x04, 0x00})
//
// A program uses a [Context] and runs on each platform without changes. A [Backend] gives access to
// the readers: package uefi/pcsc through the EFI protocol of any driver, package sclib/native
// through the CCID class driver of this module, package sclib/pcsclite through the daemon of
// pcsc-lite. A backend gives each reader to one user at a time, as the hardware does. Package sclib
// implements sharing, transactions and events, which are therefore the same on each backend.
//
// Each wait ends with the context that the caller passes. Errors wrap an [Error], to be tested with
// [errors.Is]. They also wrap context.Canceled or context.DeadlineExceeded, and the backend's own
// error.
//
// The package keeps no commands and no answers: it wipes its buffers before a call returns.
//
// Specifications: PC/SC part 3 (attributes, control codes), part 5 (resource manager), part 10
// (features), as implemented by pcsc-lite. Where implementations differ, the values are those of
// pcsc-lite. Package sclib/iso7816 has the commands and status words of ISO/IEC 7816-4.
package sclib
