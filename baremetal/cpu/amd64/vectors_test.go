package amd64

import (
	"testing"
	"unsafe"
)

func TestInterruptGate(t *testing.T) {
	var table IDT
	table.Set(3, 0x1122334455667788, 0x08, 1)
	// SDM volume 3, figure 6-8: offset 15:0, selector, IST and type, offset 31:16, offset 63:32.
	if want := [2]uint64{0x55668e0100087788, 0x11223344}; table[3] != want {
		t.Errorf("%#x, want %#x", table[3], want)
	}
}

func TestTableRegisterHoldsLimitAndBase(t *testing.T) {
	var table IDT
	var r TableRegister
	r.SetTable(unsafe.Pointer(&table), unsafe.Sizeof(table))
	if r[0] != 0xff || r[1] != 0x0f {
		t.Errorf("limit %#x %#x", r[0], r[1])
	}
	if base, size := r.Table(); base != uintptr(unsafe.Pointer(&table)) || size != 4096 {
		t.Errorf("base %#x, %d bytes", base, size)
	}
}
