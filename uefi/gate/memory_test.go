package gate

import (
	"testing"
	"unsafe"
)

func TestBadAddressesAreFound(t *testing.T) {
	mem := make([]byte, 3*firstPage)
	good := uintptr(unsafe.Pointer(&mem[0]))
	for _, c := range []struct {
		name           string
		p, n           uintptr
		read, writable bool
	}{
		{"nothing at a null pointer", 0, 0, true, true},
		{"a null pointer", 0, 1, false, false},
		{"a small number", 8, 4, false, false},
		{"the end of page 0", firstPage - 1, 1, false, false},
		{"memory", good, uintptr(len(mem)), true, true},
		{"a single byte", good + 5, 1, true, true},
		{"memory that is not aligned", good + 1, uintptr(len(mem)) - 3, true, true},
		{"an address that nothing is mapped at", 0x7000_0000_0000, 1, false, false},
		{"the same, not aligned", 0x7000_0000_0003, 6, false, false},
		{"a non-canonical address", 0x8000_0000_0000, 1, false, false},
		{"another non-canonical address", 0xdead_beef_dead_beef, 8, false, false},
		{"the upper half", 0xffff_8000_0000_0000, 1, false, false},
		{"the last byte", ^uintptr(0), 1, false, false},
		{"memory that wraps around", ^uintptr(0) - 3, 8, false, false},
		{"a length that wraps around", good, ^uintptr(0), false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Readable(c.p, c.n); got != c.read {
				t.Errorf("Readable: %v", got)
			}
			if got := Writable(c.p, c.n); got != c.writable {
				t.Errorf("Writable: %v", got)
			}
		})
	}
}

func TestWritableLeavesMemoryAsItIs(t *testing.T) {
	mem := make([]byte, 2*firstPage)
	for i := range mem {
		mem[i] = byte(i * 7)
	}
	if !Writable(uintptr(unsafe.Pointer(&mem[3])), uintptr(len(mem)-7)) {
		t.Fatal("memory of our own cannot be written")
	}
	for i := range mem {
		if mem[i] != byte(i*7) {
			t.Fatalf("byte %d was changed", i)
		}
	}
}
