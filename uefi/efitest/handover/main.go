//go:build tamago

// handover ends boot services itself, as the loader of an operating system does, and then looks at each xHCI controller of the machine
// with its own eyes: what state it is in, and whether it still writes into memory.
//
//	handover [restart|look]
//
// It powers the card of the first reader before, so that a driver has work under way. Then, on the first serial port and without
// firmware:
//
//	handover: before: ...     each controller, while boot services are there
//	handover: after: ...      each controller when they have ended
//	handover: waiting         until a character comes: time for a card to be removed
//	handover: later: ...      each controller again, and whether the memory that it knows has changed
//	handover: end             and the machine switches itself off
//
// With "restart" it lets the controllers run again after the end of boot services: what a driver would do that left them running. The
// test makes sure by it that a controller that writes is seen.
//
// With "look" it ends nothing, asks no driver for anything and prints one line for each controller:
//
//	handover: now: ...
//
// Specifications: UEFI 2.11; xHCI 1.2; PCI Local Bus Specification 3.0.
package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"unsafe"

	_ "tamaccid/board/uefi"
	"tamaccid/uefi"
	"tamaccid/uefi/gate"
	"tamaccid/uefi/smartcard"
)

const (
	patience = 30_000 // ms that a character is waited for, policy
	tries    = 8      // of ExitBootServices, policy
)

func main() {
	mode := ""
	if len(os.Args) > 1 {
		mode = os.Args[1]
	}
	switch mode {
	case "", "restart":
	case "look":
		findControllers()
		report("now")
		return
	default:
		fmt.Println("usage: handover [restart|look]")
		os.Exit(1)
	}
	if err := prepare(); err != nil {
		fmt.Println("handover:", err)
		os.Exit(1)
	}
	findControllers()
	// From here on nothing may ask firmware for memory.
	debug.SetGCPercent(-1)
	report("before")
	remember()
	if st := exitBootServices(); st != uintptr(uefi.Success) {
		say("handover: ExitBootServices: ", st)
	} else {
		after(mode == "restart")
	}
	resetArgs[0] = uintptr(uefi.ResetShutdown)
	gate.Raw(uefi.Runtime().Table().ResetSystem, resetArgs[:])
	for {
	}
}

// prepare gives the driver something to do: a card that is powered. An interrupt transfer then waits for its removal.
func prepare() error {
	readers, err := smartcard.Readers()
	if err != nil {
		return err
	}
	if len(readers) == 0 {
		return fmt.Errorf("no reader")
	}
	_, err = readers[0].Connect(smartcard.AccessCard, smartcard.ColdReset, smartcard.T0|smartcard.T1)
	return err
}

func after(restart bool) {
	if restart {
		letRun()
	}
	report("after")
	sum := checksum()
	say("handover: waiting", none)
	waitForCharacter()
	report("later")
	word := "handover: memory: unchanged, bytes "
	if checksum() != sum {
		word = "handover: memory: changed, bytes "
	}
	say(word, watchedBytes())
	say("handover: end", none)
}

// What firmware is handed must not move, and must not be allocated.
var (
	memoryMap [64 << 10]byte // policy: ten times what OVMF has
	mapArgs   [5]uintptr
	mapOut    struct{ size, key, descriptorSize, version uintptr }
	exitArgs  [2]uintptr
	resetArgs [4]uintptr
)

// exitBootServices ends them (UEFI 2.11, 7.4.6): again with a new map when the one in hand was out of date.
func exitBootServices() (status uintptr) {
	table := uefi.Boot().Table()
	for range tries {
		mapOut.size = unsafe.Sizeof(memoryMap)
		mapArgs = [5]uintptr{address(&mapOut.size), address(&memoryMap), address(&mapOut.key), address(&mapOut.descriptorSize), address(&mapOut.version)}
		if status = gate.Raw(table.GetMemoryMap, mapArgs[:]); status != uintptr(uefi.Success) {
			return status
		}
		exitArgs = [2]uintptr{uintptr(uefi.ImageHandle()), mapOut.key}
		if status = gate.Raw(table.ExitBootServices, exitArgs[:]); status != uintptr(uefi.InvalidParameter) {
			return status
		}
	}
	return status
}

func address[T any](p *T) uintptr { return uintptr(unsafe.Pointer(p)) }
