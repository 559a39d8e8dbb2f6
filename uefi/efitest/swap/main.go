//go:build tamago

// Command swap sends a command to the card in the first reader, waits for a key while the card is
// changed, and sends another one. It prints the driver's status for that: the command must not
// reach a card without a connection.
package main

import (
	"context"
	"fmt"
	"os"

	_ "tamaccid/board/uefi"
	"tamaccid/uefi"
	"tamaccid/uefi/smartcard"
)

func main() {
	if err := run(); err != nil {
		fmt.Println("swap:", err)
		os.Exit(1)
	}
}

func run() error {
	readers, err := smartcard.Readers()
	if err != nil {
		return err
	}
	if len(readers) == 0 {
		return fmt.Errorf("no reader")
	}
	r := readers[0]
	if _, err := r.Connect(smartcard.AccessCard, smartcard.ColdReset,
		smartcard.T0|smartcard.T1); err != nil {
		return err
	}
	defer r.Disconnect(smartcard.NoReset)
	answer := make([]byte, 258)
	selectHello := []byte{0x00, 0xA4, 0x04, 0x00, 0x0A, 0xA0, 0x00, 0x00, 0x00, 0x62, 0x03, 0x01,
		0x0C, 0x06, 0x01}
	n, err := r.Transmit(selectHello, answer)
	if err != nil {
		return err
	}
	fmt.Printf("before: % X\n", answer[:n])
	if _, err := uefi.ConIn().ReadKey(context.Background()); err != nil {
		return err
	}
	n, err = r.Transmit(selectHello, answer)
	fmt.Printf("after: % X, %v\n", answer[:n], err)
	return nil
}
