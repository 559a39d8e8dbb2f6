package hcd

import "testing"

// TestMappedRegisters checks the byte that each width of access changes, and the ends of the space.
func TestMappedRegisters(t *testing.T) {
	m := make(Mapped, 12)
	m.Write32(0, 0x04030201)
	m.Write16(4, 0x0605)
	m.Write8(6, 0x07)
	for i := range uint32(7) {
		if got := m.Read8(i); got != uint8(i+1) {
			t.Errorf("byte %d is %#x", i, got)
		}
	}
	if got := m.Read16(2); got != 0x0403 {
		t.Errorf("16 bits at 2: %#x", got)
	}
	if got := m.Read32(4); got != 0x00070605 {
		t.Errorf("32 bits at 4: %#x", got)
	}
	for _, offset := range []uint32{9, 10, 12, 0xFFFFFFFC} {
		m.Write32(offset, 0)
		if got := m.Read32(offset); got != 0xFFFFFFFF {
			t.Errorf("32 bits at %#x: %#x", offset, got)
		}
	}
	m.Write16(12, 0)
	m.Write16(11, 0)
	m.Write8(12, 0)
	if m.Read16(12) != 0xFFFF || m.Read16(11) != 0xFFFF || m.Read8(12) != 0xFF {
		t.Error("a read outside of the space is not all ones")
	}
}
