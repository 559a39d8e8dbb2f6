//go:build tamago

package q35

import (
	_ "unsafe" // for go:linkname

	"github.com/usbarmory/tamago/soc/intel/pci"

	"tamaccid/baremetal/cpu/amd64"
)

// exitFatal is the status of a machine that cannot go on: that of a fatal error of the Go runtime.
const exitFatal = 2

// exitMost is the largest status that fits into QEMU's. A larger or negative one becomes it.
const exitMost = 127

// debugExit is the port of QEMU's isa-debug-exit device: QEMU ends with 2n+1 when n is written
// (QEMU, hw/misc/debugexit.c). board/qemu/harness puts the device there.
const debugExit = 0xf4

// The LPC bridge, which has the power management registers (ICH9, 13.1 and 13.8.3).
const (
	lpcSlot    = 31
	lpcID      = 0x29188086
	lpcPMBase  = 0x40
	lpcControl = 0x44
	pmEnabled  = 1 << 7
	pmAddress  = 0xff80

	pmControl = 0x04 // PM1_CNT
	pmTimer   = 0x08 // PM1_TMR

	sleepEnable = 1 << 13 // with sleep type 0, which is QEMU's for "soft off"
)

//go:linkname exitHook runtime/goos.Exit
var exitHook func(code int32) = exit

// powerManagement returns the port of the power management registers, 0 when there is no ICH9.
func powerManagement() uint16 {
	lpc := pci.Device{Slot: lpcSlot}
	if lpc.Read(0, pciID) != lpcID || lpc.Read(0, lpcControl)&pmEnabled == 0 {
		return 0
	}
	return uint16(lpc.Read(0, lpcPMBase)) & pmAddress
}

// exit ends the machine: with the status where there is an isa-debug-exit device, else by switching
// it off, else by halting.
func exit(code int32) {
	drain()
	amd64.Out8(debugExit, uint8(min(uint32(code), exitMost)))
	if port := powerManagement(); port != 0 {
		amd64.Out16(port+pmControl, sleepEnable)
	}
	puts("q35: the program has ended; the machine can be switched off\n")
	stop()
}
