package uefi

import (
	"context"
	"sync"
	"time"
	"unsafe"

	"tamaccid/uefi/internal/abi"
)

// Protocols of keyboards (UEFI 2.11, 12.2.1, 12.3.1).
var (
	TextInputGUID   = MustGUID("387477c1-69c7-11d2-8e39-00a0c969723b")
	TextInputExGUID = MustGUID("dd9e7534-7762-4698-8c14-f58517a625aa")
)

// TextInputTable is EFI_SIMPLE_TEXT_INPUT_PROTOCOL (UEFI 2.11, 12.3.1).
type TextInputTable struct {
	Reset         uintptr
	ReadKeyStroke uintptr
	WaitForKey    Event
}

// TextInputExTable is EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL (UEFI 2.11, 12.2.1).
type TextInputExTable struct {
	Reset               uintptr
	ReadKeyStrokeEx     uintptr
	WaitForKeyEx        Event
	SetState            uintptr
	RegisterKeyNotify   uintptr
	UnregisterKeyNotify uintptr
}

// Key is EFI_INPUT_KEY (UEFI 2.11, 12.3.3). One of the two members is not zero.
type Key struct {
	Scan uint16
	Char uint16 // CHAR16
}

// KeyState is EFI_KEY_STATE (UEFI 2.11, 12.2.3).
type KeyState struct {
	Shift  uint32
	Toggle uint8
}

// KeyData is EFI_KEY_DATA (UEFI 2.11, 12.2.3).
type KeyData struct {
	Key   Key
	State KeyState
}

// Scan codes (UEFI 2.11, 12.1.2).
const (
	ScanUp       = 0x01
	ScanDown     = 0x02
	ScanRight    = 0x03
	ScanLeft     = 0x04
	ScanHome     = 0x05
	ScanEnd      = 0x06
	ScanInsert   = 0x07
	ScanDelete   = 0x08
	ScanPageUp   = 0x09
	ScanPageDown = 0x0a
	ScanF1       = 0x0b
	ScanF10      = 0x14
	ScanEscape   = 0x17
)

// TextInput reads keys from a console.
type TextInput struct {
	mu    sync.Mutex
	addr  uintptr
	table *TextInputTable
	key   Key
}

// TextInputAt is the console at a protocol's address. With address 0 reading is Unsupported.
func TextInputAt(addr uintptr) *TextInput {
	return &TextInput{addr: addr, table: tableAt[TextInputTable](addr)}
}

var conIn = TextInputAt(system.ConIn)

// ConIn is the console for input.
func ConIn() *TextInput { return conIn }

// Reset empties the queue of keys (UEFI 2.11, 12.3.2).
func (t *TextInput) Reset(extended bool) error {
	return check(abi.Call(t.table.Reset, t.addr, boolean(extended)))
}

// Poll takes a key from the queue; ok is false when there is none (UEFI 2.11, 12.3.3).
func (t *TextInput) Poll() (key Key, ok bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.key = Key{}
	switch status := Status(abi.Call(t.table.ReadKeyStroke, t.addr,
		uintptr(unsafe.Pointer(&t.key)))); status {
	case Success:
		return t.key, true, nil
	case NotReady:
		return Key{}, false, nil
	default:
		return Key{}, false, status.Err()
	}
}

// keyInterval is how often ReadKey looks for a key (policy: 20 ms are not noticeable).
const keyInterval = 20 * time.Millisecond

// ReadKey waits for a key until ctx ends. Other goroutines run during the wait.
func (t *TextInput) ReadKey(ctx context.Context) (Key, error) {
	for {
		key, ok, err := t.Poll()
		if ok || err != nil {
			return key, err
		}
		select {
		case <-ctx.Done():
			return Key{}, ctx.Err()
		case <-time.After(keyInterval):
		}
	}
}
