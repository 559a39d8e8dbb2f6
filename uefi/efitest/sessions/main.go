//go:build tamago

// Command sessions connects to the card in the first reader many times: sessions SESSIONS APDUS.
// Each session sends that many APDUs, and more until no notification of the card's insertion can
// still arrive. Then it prints "ready", and goes on at a slower pace until the card is removed.
// Then the program waits for a card. A session that ends before it is ready is an error.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	_ "tamaccid/board/uefi"
	"tamaccid/uefi"
	"tamaccid/uefi/smartcard"
)

// settled is longer than the notification of a card's insertion takes: 255 ms of bInterval, and 100
// ms of firmware (policy).
const settled = 500 * time.Millisecond

// Limits (policy): how long the program waits for a card, and for its removal after "ready". During
// that wait there is a pause between two APDUs: QEMU 7.2 loses the answer to an APDU during which
// the card is removed, and the driver waits for it.
const (
	insertion = time.Minute
	removal   = time.Minute
	pause     = 20 * time.Millisecond
)

func main() {
	if len(os.Args) != 3 {
		usage()
	}
	sessions, err := strconv.Atoi(os.Args[1])
	if err != nil || sessions < 1 {
		usage()
	}
	apdus, err := strconv.Atoi(os.Args[2])
	if err != nil || apdus < 1 {
		usage()
	}
	if err := run(sessions, apdus); err != nil {
		fmt.Println("sessions:", err)
		os.Exit(1)
	}
}

func usage() {
	fmt.Println("usage: sessions SESSIONS APDUS")
	os.Exit(1)
}

func run(sessions, apdus int) error {
	readers, err := smartcard.Readers()
	if err != nil {
		return err
	}
	if len(readers) == 0 {
		return fmt.Errorf("no reader")
	}
	r := readers[0]
	for i := range sessions {
		if err := connect(r); err != nil {
			return fmt.Errorf("session %d: %w", i+1, err)
		}
		n, ready, err := exchange(r, i+1, apdus)
		if !ready || err == nil {
			return fmt.Errorf("session %d is lost after %d APDUs: %v", i+1, n, err)
		}
		fmt.Printf("session %d ended after %d APDUs: %v\n", i+1, n, err)
		if err := r.Disconnect(smartcard.NoReset); err != nil {
			return err
		}
	}
	return nil
}

// connect tries to connect until there is a card.
func connect(r *smartcard.Reader) error {
	for began := time.Now(); ; {
		_, err := r.Connect(smartcard.AccessCard, smartcard.ColdReset, smartcard.T0|smartcard.T1)
		if !errors.Is(err, uefi.NoMedia) || time.Since(began) > insertion {
			return err
		}
	}
}

// exchange sends APDUs until one fails. It returns how many succeeded, and whether the session was
// ready.
func exchange(r *smartcard.Reader, session, apdus int) (n int, ready bool, err error) {
	answer := make([]byte, 258)
	selectHello := []byte{0x00, 0xA4, 0x04, 0x00, 0x0A, 0xA0, 0x00, 0x00, 0x00, 0x62, 0x03, 0x01,
		0x0C, 0x06, 0x01}
	began := time.Now()
	var end time.Time
	for command, want := selectHello, []byte{0x90, 0x00}; ; n++ {
		got, err := r.Transmit(command, answer)
		switch {
		case err != nil:
			return n, ready, err
		case !bytes.Equal(answer[:got], want):
			return n, ready, fmt.Errorf("the card answers % X", answer[:got])
		}
		command, want = []byte{0, 0, 0, 0}, append([]byte("Hello world!"), 0x90, 0x00)
		switch {
		case ready && time.Now().After(end):
			return n, ready, nil
		case ready:
			time.Sleep(pause)
		case n+1 >= apdus && time.Since(began) > settled:
			fmt.Printf("session %d is ready\n", session)
			ready, end = true, time.Now().Add(removal)
		}
	}
}
