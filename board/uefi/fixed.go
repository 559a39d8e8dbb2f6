//go:build tamago && !linux

package uefi

import _ "unsafe" // for go:linkname

// An image of the TamaGo compiler lies at a fixed address, and so does its memory. The Makefile
// links it at ramStart.

//go:linkname ramStart runtime/goos.RamStart
var ramStart uint = 0x0400_0000

//go:linkname ramSize runtime/goos.RamSize
var ramSize uint = 64 << 20

//go:linkname ramStackOffset runtime/goos.RamStackOffset
var ramStackOffset uint = 0x100

// setWall moves the clock: this runtime has one clock for both time and date.
func setWall(offset int64) { clock.Shift(offset) }

func noEntropy(none bool) {
	if none {
		panic("no source of random numbers")
	}
}

// endsOutput reports whether buffered output is printed after a character: after a line.
func endsOutput(c byte) bool { return c == '\n' }
