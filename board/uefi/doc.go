// Package uefi is the board of a UEFI image: it gives the Go runtime memory, clock, console,
// entropy and an exit, all from firmware.
//
// A program imports it for its effects. Standard output is the console. The end of the program is
// the end of the image: os.Exit(0) or a return from main is EFI_SUCCESS, any other code
// EFI_ABORTED; gate.Exit takes a status. A program for which there is no memory ends with
// EFI_OUT_OF_RESOURCES.
//
// Package gate defines the entry point and the calls of firmware. What depends on the processor is
// in cpu_GOARCH.go: its counter and its random numbers. The board supports two compilers:
// overlay.go is for the stock one with the overlay of baremetal/overlay, for which GOOS is linux
// (build tags tamago && linux); fixed.go is for the TamaGo compiler (tamago && !linux).
//
// Specifications: UEFI 2.11 (tables: 4.3, memory: 7.2, Stall: 7.5, GetTime: 8.3, console: 12.4,
// EFI_RNG_PROTOCOL: 37.5).
package uefi
