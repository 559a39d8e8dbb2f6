// Package ccid is a class driver for USB smart card readers: chip card interface devices (bulk
// endpoints), and integrated circuit card devices of versions A and B (control endpoint). It needs
// a usb.Transport of its host and nothing else; it is independent of operating systems, UEFI and
// host controllers.
//
// A Reader has Slots; a Slot is what a program uses: State, Connect, Transmit, Disconnect, Control,
// GetAttrib. All methods may be called concurrently. Every call takes a context, ends with it
// (Timing.Cancel later at most), and is bounded without one too (see Timing); a cancelled call
// leaves the reader usable. Slices passed in belong to the caller and are not kept; slices returned
// belong to the caller.
//
// Files, from the wire up:
//
//	internal/pipe       messages: bulk and control endpoints, sequence numbers, resynchronisation
//	command.go          one command: repetition, slot busy; each answer updates the card's state
//	state.go            what is known of the card: the matrix of layers and events
//	query.go            what a caller asks of that state; WaitChange
//	power.go            power and voltage, answer to reset
//	negotiate.go        the protocol of a card; speed.go and params.go: PPS, rates, parameters
//	transmit.go         APDUs
//	extended.go         exchange level APDU, with chaining
//	tpdu.go             exchange level TPDU; t0/ and t1/ are the machines of the protocols
//	character.go        exchange level character
//	notify.go           notifications of the interrupt endpoint
//	control.go          control codes and part 10 features; pin.go, tlvproperties.go, escape.go
//	attributes.go       attributes of PC/SC part 3
//	gemalto.go          the feature block of Gemalto readers
//	probe.go            descriptors; classdesc.go, corrections.go, quirk/
//	reader.go, open.go  the life of a Reader
//
// Specifications: Universal Serial Bus Device Class: Smart Card, Integrated Circuit(s) Cards
// Interface Devices 1.1 (CCID 1.1); USB Device Class: Smart Card ICCD, USB Integrated Circuit(s)
// Card Devices 1.0 (ICCD 1.0); ISO/IEC 7816-3:2006; PC/SC Specification 2.01, parts 3 and 10 (PC/SC
// part 3, part 10).
package ccid
