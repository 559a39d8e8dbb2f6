//go:build tamago

// SmartCardReader.efi is the UEFI driver for USB smart card readers: it stays
// resident and offers EFI_SMART_CARD_READER_PROTOCOL for each slot.
package main

import (
	"errors"
	"fmt"
	"runtime/goos"

	_ "tamaccid/board/uefi/x64"
	"tamaccid/uefi"
	"tamaccid/uefi/driver"
	"tamaccid/uefi/gate"
)

// memoryLimit is what the driver may take from firmware (policy).
const memoryLimit = 32 << 20

func main() {
	gate.ReportFatalErrors("smart card reader")
	goos.RamSize = memoryLimit
	err := driver.Run()
	fmt.Println("smart card reader:", err)
	st := uefi.DeviceError
	errors.As(err, &st)
	gate.Exit(uintptr(st))
}
