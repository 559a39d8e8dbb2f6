//go:build tamago

// SmartCardReader.efi is the UEFI driver for USB smart card readers: it stays resident and installs
// EFI_SMART_CARD_READER_PROTOCOL for each slot.
package main

import (
	"errors"
	"fmt"
	"runtime/debug"
	"runtime/goos"

	_ "tamaccid/board/uefi"
	"tamaccid/uefi"
	"tamaccid/uefi/driver"
	"tamaccid/uefi/gate"
)

const (
	// memoryLimit is how much memory the driver may allocate from firmware. heapLimit is the size
	// of the heap above which the collector runs all the time. The reserve of the runtime and its
	// fragments lie between them (policy).
	memoryLimit = 32 << 20
	heapLimit   = 28 << 20

	// collectAt makes the collector run whenever the heap has grown by that many per cent, and not
	// before it has 1 MiB, which is 4 MiB for 100 (Go's runtime, heapMinimum): with one reader the
	// heap stays within one arena.
	collectAt = 25
)

func main() {
	gate.ReportFatalErrors("smart card reader")
	goos.RamSize = memoryLimit
	debug.SetMemoryLimit(heapLimit)
	debug.SetGCPercent(collectAt)
	err := driver.Run()
	fmt.Println("smart card reader:", err)
	st := uefi.DeviceError
	errors.As(err, &st)
	gate.Exit(uintptr(st))
}
