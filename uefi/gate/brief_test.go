//go:build tamago

package gate

import (
	"testing"
	"unsafe"
)

// Members of EFI_BOOT_SERVICES (UEFI 2.11, 4.4).
const (
	bootServices = 96
	raiseTPL     = 24
	restoreTPL   = 32
	setMem       = 360

	tplNotify = 16
)

// TestBrief runs inside firmware.
func TestBrief(t *testing.T) {
	table := Word(SystemTable(), bootServices)
	filled := func(v byte) bool {
		b := make([]byte, 256)
		args := []uintptr{uintptr(unsafe.Pointer(&b[1])), uintptr(len(b) - 2), uintptr(v)}
		Brief(Word(table, setMem), args)
		for i, got := range b {
			if inside := i > 0 && i < len(b)-1; inside && got != v || !inside && got != 0 {
				return false
			}
		}
		return true
	}
	t.Cleanup(func() { enablesInterrupts = 0 })
	if enablesInterrupts = 0; !filled(1) {
		t.Error("the function was not called as it should be")
	}
	if enablesInterrupts != 0 {
		t.Error("a function that leaves interrupts off counts as one that enables them")
	}
	now := Call(Word(table, raiseTPL), tplNotify)
	Brief(Word(table, restoreTPL), []uintptr{now})
	if enablesInterrupts == 0 {
		t.Error("a function that enabled interrupts was not noticed")
	}
	if !filled(2) {
		t.Error("the function was not called as it should be, after that")
	}
}
