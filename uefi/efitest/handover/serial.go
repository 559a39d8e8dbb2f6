//go:build tamago

package main

import (
	"github.com/usbarmory/tamago/soc/intel/uart"

	"tamaccid/uefi/gate"
)

// port is the first serial port, as firmware has set it up.
var port = uart.UART{Index: 1, Base: 0x3F8}

// none stands for no number.
const none = ^uintptr(0)

// printLine prints a line without firmware: a text, and a number in hexadecimal.
func printLine(text string, number uintptr) {
	print1(text)
	if number != none {
		hex(number)
	}
	print1("\r\n")
}

func print1(text string) {
	for i := range len(text) {
		port.Tx(text[i])
	}
}

func hex(v uintptr) {
	const digits = "0123456789abcdef"
	shift := 0
	for v>>shift > 0xF && shift < 60 {
		shift += 4
	}
	for ; shift >= 0; shift -= 4 {
		port.Tx(digits[v>>shift&0xF])
	}
}

// waitForCharacter waits for a character, at most waitLimit.
func waitForCharacter() {
	for end := gate.Counter() + waitLimit*gate.TicksPerMs; gate.Counter() < end; {
		if _, ok := port.Rx(); ok {
			return
		}
	}
}
