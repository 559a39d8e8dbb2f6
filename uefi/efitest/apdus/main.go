//go:build tamago

// Command apdus sends many short APDUs through the first reader and checks every response: apdus
// COUNT [PAUSE], with a pause in milliseconds after each. It prints the time of one APDU.
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"time"

	_ "tamaccid/board/uefi"
	"tamaccid/uefi/smartcard"
)

func main() {
	count, pause := 1000, 0
	for i, n := range []*int{&count, &pause} {
		if len(os.Args) > i+1 {
			var err error
			if *n, err = strconv.Atoi(os.Args[i+1]); err != nil || *n < 1 {
				fmt.Println("usage: apdus COUNT [PAUSE]")
				os.Exit(1)
			}
		}
	}
	if err := run(count, time.Duration(pause)*time.Millisecond); err != nil {
		fmt.Println("apdus:", err)
		os.Exit(1)
	}
}

func run(count int, pause time.Duration) error {
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
	if n, err := r.Transmit(selectHello, answer); err != nil ||
		!bytes.Equal(answer[:n], []byte{0x90, 0x00}) {
		return fmt.Errorf("select: % X, %v", answer[:n], err)
	}
	want := append([]byte("Hello world!"), 0x90, 0x00)
	fmt.Println("sending")
	before, measured := spent(r)
	start := time.Now()
	for i := range count {
		sent := time.Now()
		n, err := r.Transmit([]byte{0, 0, 0, 0}, answer)
		if err != nil || !bytes.Equal(answer[:n], want) {
			return fmt.Errorf("APDU %d, after %d ms: % X, %v", i, time.Since(sent).Milliseconds(),
				answer[:n], err)
		}
		if pause > 0 {
			time.Sleep(pause)
		}
	}
	total := time.Since(start)
	fmt.Printf("%d APDUs, %d ns each\n", count, total.Nanoseconds()/int64(count))
	if after, ok := spent(r); ok && measured {
		usb := time.Duration(after - before)
		fmt.Printf("%d ns each outside of USB transfers\n", (total-usb).Nanoseconds()/int64(count))
	}
	return nil
}

// usbTime is the control code of the driver's fault injection build that returns how many
// nanoseconds it has spent in USB transfers (package driver, ReportUSBTime).
const usbTime = 0x7f000100

func spent(r *smartcard.Reader) (ns uint64, ok bool) {
	b := make([]byte, 8)
	n, err := r.Control(usbTime, nil, b)
	return binary.LittleEndian.Uint64(b), err == nil && n == len(b)
}
