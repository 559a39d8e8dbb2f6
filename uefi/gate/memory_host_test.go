//go:build !tamago

package gate

import (
	"testing"
	"unsafe"
)

// constant lies in memory that is read-only on a host.
const constant = "a text that the linker puts into a read-only section"

func TestReadOnlyMemoryIsFound(t *testing.T) {
	p := uintptr(unsafe.Pointer(unsafe.StringData(constant)))
	if !Readable(p, uintptr(len(constant))) {
		t.Error("a constant cannot be read")
	}
	if Writable(p, uintptr(len(constant))) {
		t.Error("a constant can be written")
	}
}
