//go:build tamago

package q35

import (
	"io"
	"time"
	_ "unsafe" // for go:linkname

	"github.com/usbarmory/tamago/soc/intel/uart"

	"tamaccid/baremetal/cpu/amd64"
)

// The first serial port (16550, 8.0).
const (
	com1 = 0x3f8

	uartDivisorLow  = 0 // with the divisor latch open
	uartDivisorHigh = 1
	uartInterrupts  = 1
	uartFIFO        = 2
	uartLine        = 3
	uartStatus      = 5

	lineLatch  = 0x80
	line8N1    = 0x03
	fifoOn     = 0x07 // on, both cleared
	statusIdle = 1 << 6

	divisor = 1 // 115,200 baud

	// drainReads bounds the wait for the last characters: at 115,200 baud 16 of them take 1.4 ms,
	// one read of a port about a microsecond (policy).
	drainReads = 100_000

	// inputPause is the time between two polls without input. What a typist enters in that time
	// fits into the FIFO of 16 bytes; a faster sender has to wait for an answer (policy).
	inputPause = 10 * time.Millisecond
)

// Input is the input of the first serial port. Read waits until there is some.
var Input io.Reader = input{}

type input struct{}

func (input) Read(b []byte) (n int, err error) {
	for len(b) > 0 {
		c, ok := console.Rx()
		switch {
		case ok:
			b[n] = c
			if n++; n == len(b) {
				return n, nil
			}
		case n > 0:
			return n, nil
		default:
			time.Sleep(inputPause)
		}
	}
	return 0, nil
}

var console = uart.UART{Base: com1, DTR: true, RTS: true}

func initConsole() {
	amd64.Out8(com1+uartInterrupts, 0)
	amd64.Out8(com1+uartLine, lineLatch)
	amd64.Out8(com1+uartDivisorLow, divisor)
	amd64.Out8(com1+uartDivisorHigh, 0)
	amd64.Out8(com1+uartLine, line8N1)
	amd64.Out8(com1+uartFIFO, fifoOn)
	console.Init()
}

//go:linkname printk runtime/goos.Printk
func printk(c byte) {
	if c == '\n' {
		console.Tx('\r')
	}
	console.Tx(c)
}

func puts(s string) {
	for i := range len(s) {
		printk(s[i])
	}
}

// drain waits until the last character has been sent.
func drain() {
	for range drainReads {
		if amd64.In8(com1+uartStatus)&statusIdle != 0 {
			return
		}
	}
}
