// Package sclib is PC/SC for Go: readers, cards, transactions and events, with the names and the meanings of PC/SC, on machines
// with or without an operating system.
//
//	sc := sclib.New(backend)
//	defer sc.Release()
//	readers, err := sc.ListReaders(ctx)
//	card, err := sc.Connect(ctx, readers[0], sclib.ShareShared, sclib.ProtocolAny)
//	defer card.Disconnect(sclib.LeaveCard)
//	answer, err := card.Transmit(ctx, []byte{0x00, 0xA4, 0x04, 0x00})
//
// A program is written once against a [Context]. What gives access to readers is a [Backend]: the EFI protocol of any driver
// (uefi/pcsc), the CCID class driver of this module (sclib/native), the daemon of pcsc-lite (sclib/pcsclite). A backend offers
// each reader to one user at a time, as the hardware does; sharing, transactions and the events that tell one handle what
// another did are made here, so they are the same everywhere.
//
// Waits end with the context that the caller passes. What a caller decides on is an [Error] and is found with [errors.Is];
// errors.Is also finds context.Canceled and context.DeadlineExceeded, and the backend's own error with its reason.
//
// Commands and answers are never kept: buffers of this package that held an answer are wiped before the call returns.
//
// Specifications: PC/SC part 3 (attributes, control codes), part 5 (resource manager), part 10 (features), as implemented by
// pcsc-lite, whose values are used where implementations differ. ISO/IEC 7816-4 helpers are in sclib/iso7816.
package sclib
