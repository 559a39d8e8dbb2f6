//go:build tamago

// Command handover ends boot services, as the loader of an operating system does, and then reads
// the registers of each xHCI controller of the machine: what state it is in, and whether it still
// writes to memory.
//
//	handover [restart|look]
//
// Before that it powers the card of the first reader, so that the driver has transfers in progress.
// It prints on the first serial port, without firmware:
//
//	handover: before: ...     each controller, while boot services are there
//	handover: after: ...      each controller when they have ended
//	handover: waiting         until a character comes: time for a card to be removed
//	handover: later: ...      each controller again, and whether its memory has changed
//	handover: end             and the machine switches itself off
//
// With "restart" it starts the controllers again after the end of boot services, as if the driver
// had not stopped them. The test checks with it that a controller that writes is noticed.
//
// With "look" it does not end boot services, calls no driver and prints one line for each
// controller:
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
	waitLimit = 30_000 // ms that a character is waited for, policy
	tries     = 8      // of ExitBootServices, policy
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
	// From here on nothing may allocate memory from firmware.
	debug.SetGCPercent(-1)
	report("before")
	note()
	if st := exitBootServices(); st != uintptr(uefi.Success) {
		printLine("handover: ExitBootServices: ", st)
	} else {
		after(mode == "restart")
	}
	resetArgs[0] = uintptr(uefi.ResetShutdown)
	gate.Raw(uefi.Runtime().Table().ResetSystem, resetArgs[:])
	for {
	}
}

// prepare powers a card. The driver then has an interrupt transfer in progress.
func prepare() error {
	readers, err := smartcard.Readers()
	if err != nil {
		return err
	}
	if len(readers) == 0 {
		return fmt.Errorf("no reader")
	}
	_, err = readers[0].Connect(smartcard.AccessCard, smartcard.ColdReset,
		smartcard.T0|smartcard.T1)
	return err
}

func after(restart bool) {
	if restart {
		letRun()
	}
	report("after")
	sum := checksum()
	printLine("handover: waiting", none)
	waitForCharacter()
	report("later")
	word := "handover: memory: unchanged, bytes "
	if checksum() != sum {
		word = "handover: memory: changed, bytes "
	}
	printLine(word, watchedBytes())
	printLine("handover: end", none)
}

// Arguments of firmware calls, which must not move and must not be allocated.
var (
	memoryMap [64 << 10]byte // policy: ten times what OVMF has
	mapArgs   [5]uintptr
	mapOut    struct{ size, key, descriptorSize, version uintptr }
	exitArgs  [2]uintptr
	resetArgs [4]uintptr
)

// exitBootServices ends boot services (UEFI 2.11, 7.4.6). It reads the memory map again when the
// key is stale.
func exitBootServices() (status uintptr) {
	table := uefi.Boot().Table()
	for range tries {
		mapOut.size = unsafe.Sizeof(memoryMap)
		mapArgs = [5]uintptr{address(&mapOut.size), address(&memoryMap), address(&mapOut.key),
			address(&mapOut.descriptorSize), address(&mapOut.version)}
		if status = gate.Raw(table.GetMemoryMap, mapArgs[:]); status != uintptr(uefi.Success) {
			return status
		}
		exitArgs = [2]uintptr{uintptr(uefi.ImageHandle()), mapOut.key}
		if status = gate.Raw(table.ExitBootServices,
			exitArgs[:]); status != uintptr(uefi.InvalidParameter) {
			return status
		}
	}
	return status
}

func address[T any](p *T) uintptr { return uintptr(unsafe.Pointer(p)) }
