//go:build tamago

package uefi

import (
	_ "unsafe" // for go:linkname

	"tamaccid/uefi/gate"
)

// The console takes UCS-2 with CR LF and a final NUL (UEFI 2.11, 12.4.3).
var (
	line    [128]uint16
	lineLen int
	rune32  uint32 // UTF-8 decoder: the bits so far
	more    int    // and the number of bytes to come

	consoleMember uintptr = stConOut

	inLine  bool // a line has begun
	lineEnd = [3]uint16{'\r', '\n', 0}
)

// initConsole directs the output of a driver to the error device. The console is for the programs
// that the user starts.
func initConsole() {
	guid := [2]uint64{0x11d295625b1b31a1, 0x3b7269c9a0003f8e} // EFI_LOADED_IMAGE_PROTOCOL_GUID
	image := out
	image = guid
	out = image
	if call(boot(bsHandleProtocol), gate.ImageHandle(), address(&out), address(&out[1]), 0) != 0 {
		return
	}
	if uint32(gate.Word(uintptr(out[1]), loadedImageCodeType)) == bootServicesCode {
		consoleMember = stStdErr
	}
}

// beginLine starts a new line for a driver's message, since a command line may be typed on the
// console. It ends the line through ConOut, whose mode then has the cursor in column 0 until
// something else is printed there. Where StdErr is the same device, output through it need not
// change that mode (edk2-stable202605, ConSplitterDxe).
func beginLine() {
	con := gate.Word(gate.SystemTable(), stConOut)
	if consoleMember != stStdErr || con == 0 {
		return
	}
	mode := gate.Word(con, textOutputMode)
	if mode != 0 && uint32(gate.Word(mode, modeCursorColumn)) != 0 {
		call(gate.Word(con, textOutputString), con, address(&lineEnd), 0, 0)
	}
}

//go:linkname printk runtime/goos.Printk
func printk(c byte) {
	if !inLine {
		inLine = true
		beginLine()
	}
	switch {
	case c < 0x80:
		more = 0
		if c == '\n' {
			inLine = false
			put('\r')
		}
		put(uint16(c))
		if endsOutput(c) {
			flushConsole()
		}
	case c < 0xc0: // continuation
		if more == 0 {
			return
		}
		rune32 = rune32<<6 | uint32(c&0x3f)
		if more--; more == 0 {
			if rune32 > 0xffff {
				rune32 = 0xfffd
			}
			put(uint16(rune32))
		}
	case c < 0xe0:
		rune32, more = uint32(c&0x1f), 1
	case c < 0xf0:
		rune32, more = uint32(c&0x0f), 2
	default:
		rune32, more = uint32(c&0x07), 3
	}
}

func put(c uint16) {
	line[lineLen] = c
	if lineLen++; lineLen == len(line)-1 {
		flushConsole()
	}
}

func flushConsole() {
	con := gate.Word(gate.SystemTable(), consoleMember)
	if lineLen == 0 {
		return
	}
	line[lineLen] = 0
	lineLen = 0
	if con != 0 {
		call(gate.Word(con, textOutputString), con, address(&line), 0, 0)
	}
	line = [len(line)]uint16{} // the text may have been private
}
