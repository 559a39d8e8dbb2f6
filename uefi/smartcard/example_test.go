//go:build !tamago

package smartcard_test

import (
	"errors"
	"fmt"

	"tamaccid/uefi"
	"tamaccid/uefi/smartcard"
)

// An application connects to the first card that answers, selects an applet and prints the status
// word. On a host there is no firmware, so that there are no readers.
func Example() {
	readers, err := smartcard.Readers()
	if errors.Is(err, uefi.Unsupported) {
		fmt.Println("no firmware")
		return
	}
	command := []byte{0x00, 0xA4, 0x04, 0x00, 0x0A, 0xA0, 0x00, 0x00, 0x00, 0x62, 0x03, 0x01, 0x0C,
		0x06, 0x01}
	for _, r := range readers {
		// T=0 or T=1, as the card prefers.
		_, err := r.Connect(smartcard.AccessCard, smartcard.ColdReset, smartcard.T0|smartcard.T1)
		switch {
		case errors.Is(err, uefi.NoMedia):
			continue // an empty reader
		case err != nil:
			fmt.Println(err)
			continue
		}
		response := make([]byte, 258) // the longest short response (ISO/IEC 7816-3:2006, 12.1.3)
		n, err := r.Transmit(command, response)
		if err == nil {
			fmt.Printf("% X\n", response[n-2:n])
		}
		// The protocol keeps the connection of a program that ends without this.
		if err := r.Disconnect(smartcard.Unpower); err != nil {
			fmt.Println(err)
		}
		return
	}
	// Output: no firmware
}
