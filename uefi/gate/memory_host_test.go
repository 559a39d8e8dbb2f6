//go:build linux && !tamago

package gate

import (
	"syscall"
	"testing"
	"unsafe"
)

// constant is in read-only memory on a host.
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

func TestEachPageOfABufferIsAccessed(t *testing.T) {
	const pages = 4
	const readWrite = syscall.PROT_READ | syscall.PROT_WRITE
	const private = syscall.MAP_ANON | syscall.MAP_PRIVATE
	mem, err := syscall.Mmap(-1, 0, pages*firstPage, readWrite, private)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Munmap(mem) })
	start := uintptr(unsafe.Pointer(&mem[0]))
	end := start + pages*firstPage
	for page := range pages {
		hole := mem[page*firstPage : (page+1)*firstPage]
		at := start + uintptr(page)*firstPage
		for _, protection := range []int{syscall.PROT_NONE, syscall.PROT_READ} {
			if err := syscall.Mprotect(hole, protection); err != nil {
				t.Fatal(err)
			}
			readable := protection != syscall.PROT_NONE
			for _, c := range []struct {
				name string
				p, n uintptr
				hits bool
			}{
				{"all", start, pages * firstPage, true},
				{"all but a byte at each end", start + 1, pages*firstPage - 2, true},
				{"its first byte", at, 1, true},
				{"its last byte", at + firstPage - 1, 1, true},
				{"all up to it", start, at - start, false},
				{"all up to its first byte", start, at - start + 1, true},
				{"all behind it", at + firstPage, end - at - firstPage, false},
				{"all from its last byte", at + firstPage - 1, end - at - firstPage + 1, true},
			} {
				if got, want := Readable(c.p, c.n), !c.hits || readable; got != want {
					t.Errorf("page %d, protection %d: %s is readable: %v",
						page, protection, c.name, got)
				}
				if got, want := Writable(c.p, c.n), !c.hits; got != want {
					t.Errorf("page %d, protection %d: %s is writable: %v",
						page, protection, c.name, got)
				}
			}
		}
		if err := syscall.Mprotect(hole, readWrite); err != nil {
			t.Fatal(err)
		}
	}
}
