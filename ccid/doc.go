// Package ccid is a class driver for USB smart card readers: chip card interface devices (bulk),
// and integrated circuit card devices, versions A and B (control pipe). It needs one thing of the
// machine, a usb.Transport, and knows nothing of operating systems, of UEFI or of host controllers.
//
// A Reader has Slots; a Slot is what a program uses: State, Connect, Transmit, Disconnect, Control,
// GetAttrib. All methods may be called concurrently. Every call takes a context, ends with it
// (Timing.Cancel later at most), and is bounded without one too (see Timing); a cancelled call
// leaves the reader usable. Slices passed in belong to the caller and are not kept; slices returned
// are the caller's to keep.
//
// Layers, from the wire up:
//
//	message.go          the ten-byte headers
//	buffer.go           what a reader takes of memory
//	bulk.go, resync.go  one command and its answer over the bulk pipes; what follows when they fall out of step
//	iccd.go             the same for devices on the control pipe
//	exec.go             time extensions, slot busy, the state of the card in every answer
//	power.go, negotiate.go, params.go   power and voltage, protocol choice, PPS, parameters
//	transmit.go, extended.go, tpdu.go, character.go   one file for each exchange level
//	t0/, t1/            the machines of the two protocols
//	notify.go, pin.go, escape.go, control.go, attributes.go   services
//	quirks.go           what single readers need
//
// Specifications: Universal Serial Bus Device Class: Smart Card, Integrated Circuit(s) Cards
// Interface Devices 1.1 (CCID 1.1); USB Device Class: Smart Card ICCD, USB Integrated Circuit(s)
// Card Devices 1.0 (ICCD 1.0); ISO/IEC 7816-3:2006; PC/SC Specification 2.01, parts 3 and 10 (PC/SC
// part 3, part 10).
package ccid
