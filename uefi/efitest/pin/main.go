//go:build tamago && faultinjection

// Command pin sends secrets to a reader and prints where its own copies are, so that a search of
// the machine's memory can look for others:
//
//	pin READER verify MASKED...    VERIFY with each PIN, then reads each back from the card
//	pin READER FAILURE MASKED      VERIFY, during which the driver fails: panic or fatal; or unplug,
//	                               which the caller does
//	pin READER secure              PIN entry at the keypad, to which the answer is a secret
//
// READER is a part of the reader's name. A PIN is in hexadecimal digits, each byte XORed with A5,
// since firmware keeps command lines.
package main

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"

	_ "tamaccid/board/uefi"
	"tamaccid/uefi"
	"tamaccid/uefi/driver"
	"tamaccid/uefi/smartcard"
)

// mask is what PINs are XORed with on the command line.
const mask = 0xA5

// maxAnswer is the longest short response (ISO/IEC 7816-3:2006, 12.1.3).
const maxAnswer = 258

// failures are the control codes that make the driver fail when it waits for the answer to the
// command that follows.
var failures = map[string]uint32{
	"panic": driver.FaultLater + driver.FaultPanic,
	"fatal": driver.FaultLater + driver.FaultFatal,
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Println("pin:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return errors.New("usage: pin READER verify|panic|fatal|unplug|secure MASKED...")
	}
	r, err := find(args[0])
	if err != nil {
		return err
	}
	if _, err := r.Connect(smartcard.AccessCard, smartcard.ColdReset,
		smartcard.T0|smartcard.T1); err != nil {
		return err
	}
	defer r.Disconnect(smartcard.NoReset)
	way, pins := args[1], args[2:]
	if way == "secure" {
		return secure(r)
	}
	for _, masked := range pins {
		command, err := verifyCommand(masked)
		if err != nil {
			return err
		}
		if code, ok := failures[way]; ok {
			if _, err := r.Control(code, nil, nil); err != nil {
				return fmt.Errorf("fault injection: %w", err)
			}
		}
		answer := make([]byte, maxAnswer)
		n, err := r.Transmit(command, answer)
		fmt.Printf("verify: % X, %v\n", answer[:n], err)
		if err := search(command, answer); err != nil {
			return err
		}
		if way == "verify" {
			readBack := []byte{0x00, 0x40, 0x00, 0x00, 0x00}
			n, err = r.Transmit(readBack, answer)
			fmt.Printf("read back: %d bytes, %v\n", n, err)
			if err := search(command, answer); err != nil {
				return err
			}
		}
		clear(command)
		clear(answer)
	}
	return nil
}

func find(part string) (*smartcard.Reader, error) {
	readers, err := smartcard.Readers()
	if err != nil {
		return nil, err
	}
	for _, r := range readers {
		if name, err := r.Name(); err == nil && strings.Contains(name, part) {
			return r, nil
		}
	}
	return nil, fmt.Errorf("no reader %q", part)
}

// verifyCommand is VERIFY (ISO/IEC 7816-4:2013, 11.6.6) with the PIN, the only copy of it.
func verifyCommand(masked string) ([]byte, error) {
	pin, err := hex.DecodeString(masked)
	if err != nil || len(pin) > 255 {
		return nil, fmt.Errorf("%q is no PIN", masked)
	}
	command := make([]byte, 5+len(pin))
	copy(command, []byte{0x00, 0x20, 0x00, 0x80, byte(len(pin))})
	for i, b := range pin {
		command[5+i] = b ^ mask
	}
	return command, nil
}

// secure requests PIN entry at the keypad, with a structure of PC/SC part 10, 2.5.1.
func secure(r *smartcard.Reader) error {
	command := []byte{0x00, 0x20, 0x00, 0x80, 0x08, 0, 0, 0, 0, 0, 0, 0, 0}
	in := []byte{30, 30, 0x82, 0x08, 0x00, 8, 4, 0x02, 1, 0x09, 0x04, 0, 0, 0, 0}
	in = append(binary.LittleEndian.AppendUint32(in, uint32(len(command))), command...)
	answer := make([]byte, maxAnswer)
	n, err := r.Control(0x42330006, in, answer)
	fmt.Printf("secure: %d bytes, %v\n", n, err)
	return search(in, answer)
}

// search waits while the caller searches memory for copies of what is in the buffers.
func search(buffers ...[]byte) error {
	for _, b := range buffers {
		fmt.Printf("buffer %#x %d\n", uintptr(unsafe.Pointer(unsafe.SliceData(b))), len(b))
	}
	fmt.Println("ready")
	_, err := uefi.ConIn().ReadKey(context.Background())
	return err
}
