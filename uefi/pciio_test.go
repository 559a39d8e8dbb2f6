//go:build !tamago

package uefi

import (
	"reflect"
	"testing"
	"unsafe"

	"tamaccid/uefi/internal/abi"
)

// A fakePCI is a PCI function behind EFI_PCI_IO_PROTOCOL that writes down what it is asked.
type fakePCI struct {
	table   PCIIOTable
	calls   [][]uintptr // without This, and without addresses
	value   uint64
	written uint64
	status  Status
}

func newFakePCI(t *testing.T) (*fakePCI, *PCIIO) {
	f := &fakePCI{}
	addr := uintptr(unsafe.Pointer(&f.table))
	note := func(a []uintptr) {
		if a[0] != addr {
			t.Errorf("This is %#x, want %#x", a[0], addr)
		}
		f.calls = append(f.calls, a[1:])
	}
	read := abi.Fake(func(a []uintptr) uintptr {
		note(a[:len(a)-1])
		switch *abi.At[uint64](a[len(a)-1]) = 0; a[1] { // the width
		case 0:
			*abi.At[uint8](a[len(a)-1]) = uint8(f.value)
		case 1:
			*abi.At[uint16](a[len(a)-1]) = uint16(f.value)
		case 2:
			*abi.At[uint32](a[len(a)-1]) = uint32(f.value)
		}
		return uintptr(f.status)
	})
	write := abi.Fake(func(a []uintptr) uintptr {
		note(a[:len(a)-1])
		f.written = *abi.At[uint64](a[len(a)-1])
		return uintptr(f.status)
	})
	f.table = PCIIOTable{
		Mem: PCIIOAccess{read, write}, Config: PCIIOAccess{read, write},
		Map: abi.Fake(func(a []uintptr) uintptr {
			note([]uintptr{a[0], a[1], a[2], *abi.At[uintptr](a[3])})
			*abi.At[uintptr](a[3]) = uintptr(f.value)
			*abi.At[uint64](a[4]), *abi.At[uintptr](a[5]) = 0x1_2345_0000, 0x77
			return uintptr(f.status)
		}),
		Unmap: abi.Fake(func(a []uintptr) uintptr { note(a); return uintptr(f.status) }),
		AllocateBuffer: abi.Fake(func(a []uintptr) uintptr {
			note(append(a[:4:4], a[5]))
			*abi.At[uintptr](a[4]) = uintptr(f.value)
			return uintptr(f.status)
		}),
		FreeBuffer: abi.Fake(func(a []uintptr) uintptr { note(a); return uintptr(f.status) }),
		GetLocation: abi.Fake(func(a []uintptr) uintptr {
			for i, p := range a[1:] {
				*abi.At[uintptr](p) = uintptr(i + 1)
			}
			return uintptr(f.status)
		}),
		Attributes: abi.Fake(func(a []uintptr) uintptr {
			note(a[:3])
			if a[3] != 0 {
				*abi.At[PCIAttributes](a[3]) = PCIAttributes(f.value)
			}
			return uintptr(f.status)
		}),
	}
	return f, PCIIOAt(addr)
}

func TestPCIFunctionsPassWhatTheSpecificationSays(t *testing.T) {
	var w PCIWord
	for _, c := range []struct {
		name   string
		value  uint64
		do     func(p *PCIIO) any
		call   []uintptr
		result any
	}{
		{"a word of memory space is read", 0x89abcdef, func(p *PCIIO) any { v, _ := p.MemRead(&w, PCIUint32, 0, 0x1234); return v },
			[]uintptr{2, 0, 0x1234, 1}, uint32(0x89abcdef)},
		{"a word of memory space is written", 0, func(p *PCIIO) any { return p.MemWrite(&w, PCIUint32, 5, 0x10, 7) },
			[]uintptr{2, 5, 0x10, 1}, Success},
		{"a byte of memory space is read", 0x89,
			func(p *PCIIO) any { v, _ := p.MemRead(&w, PCIUint8, 0, 3); return v },
			[]uintptr{0, 0, 3, 1}, uint32(0x89)},
		{"half a word of memory space is written", 0,
			func(p *PCIIO) any { return p.MemWrite(&w, PCIUint16, 1, 6, 7) },
			[]uintptr{1, 1, 6, 1}, Success},
		{"a word of configuration space is read", 0x0c033000, func(p *PCIIO) any { v, _ := p.ConfigRead32(&w, 8); return v },
			[]uintptr{2, 8, 1}, uint32(0x0c033000)},
		{"half a word of configuration space is read", 0x10407, func(p *PCIIO) any { v, _ := p.ConfigRead16(&w, 4); return v },
			[]uintptr{1, 4, 1}, uint16(0x407)},
		{"half a word of configuration space is written", 0, func(p *PCIIO) any { return p.ConfigWrite16(&w, 4, 3) },
			[]uintptr{1, 4, 1}, Success},
		{"pages are taken, as boot services data, anywhere", 0x5000, func(p *PCIIO) any { a, _ := p.AllocateBuffer(3); return a },
			[]uintptr{0, 4, 3, 0}, uintptr(0x5000)},
		{"pages are given back", 0, func(p *PCIIO) any { return p.FreeBuffer(0x5000, 3) }, []uintptr{3, 0x5000}, nil},
		{"pages are mapped as a common buffer", 0x3000, func(p *PCIIO) any {
			device, mapping, err := p.MapCommonBuffer(0x5000, 0x3000)
			return []any{device, mapping, err}
		}, []uintptr{2, 0x5000, 0x3000}, []any{uint64(0x1_2345_0000), uintptr(0x77), error(nil)}},
		{"a mapping that is too short is undone", 0x1000, func(p *PCIIO) any {
			device, mapping, err := p.MapCommonBuffer(0x5000, 0x3000)
			return []any{device, mapping, err}
		}, []uintptr{0x77}, []any{uint64(0), uintptr(0), error(OutOfResources)}},
		{"a mapping is ended", 0, func(p *PCIIO) any { return p.Unmap(0x77) }, []uintptr{0x77}, nil},
		{"the attributes are asked for", 0x8700, func(p *PCIIO) any { a, _ := p.Attributes(); return a },
			[]uintptr{0, 0}, PCIAttributes(0x8700)},
		{"the possible attributes are asked for", 0x8700, func(p *PCIIO) any { a, _ := p.SupportedAttributes(); return a },
			[]uintptr{4, 0}, PCIAttributes(0x8700)},
		{"attributes are replaced", 0, func(p *PCIIO) any { return p.SetAttributes(0x200) }, []uintptr{1, 0x200}, nil},
		{"attributes are added", 0, func(p *PCIIO) any { return p.EnableAttributes(PCIMemory | PCIBusMaster | PCIDualAddressCycle) },
			[]uintptr{2, 0x8600}, nil},
		{"the location is asked for", 0, func(p *PCIIO) any { l, _ := p.Location(); return l }, nil, PCILocation{1, 2, 3, 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, p := newFakePCI(t)
			f.value = c.value
			if got := c.do(p); !reflect.DeepEqual(got, c.result) {
				t.Errorf("result %#v, want %#v", got, c.result)
			}
			if len(f.calls) > 0 && !reflect.DeepEqual(f.calls[len(f.calls)-1], c.call) || len(f.calls) == 0 && c.call != nil {
				t.Errorf("calls %#x, want %#x", f.calls, c.call)
			}
		})
	}
}

func TestPCIFunctionsKeepFirmwaresStatus(t *testing.T) {
	f, p := newFakePCI(t)
	f.status, f.value = OutOfResources, 0x1000
	var w PCIWord
	_, read := p.MemRead(&w, PCIUint32, 0, 0)
	_, allocated := p.AllocateBuffer(1)
	_, _, mapped := p.MapCommonBuffer(0x1000, 0x1000)
	_, location := p.Location()
	for i, err := range []error{read, p.MemWrite(&w, PCIUint32, 0, 0, 0), p.ConfigWrite16(&w, 4, 0), allocated, mapped, location,
		p.Unmap(1), p.FreeBuffer(0x1000, 1), p.EnableAttributes(PCIMemory)} {
		if err != error(OutOfResources) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	f.status, f.value = Success, 0
	if a, err := p.AllocateBuffer(1); err != error(OutOfResources) || a != 0 {
		t.Errorf("a buffer at address 0: %#x, %v", a, err)
	}
}

func TestPCIAccessAllocatesNothing(t *testing.T) {
	p := &PCIIO{0x1000, &PCIIOTable{}} // functions that are not there answer too
	w := &PCIWord{}
	if n := testing.AllocsPerRun(100, func() {
		p.MemRead(w, PCIUint32, 0, 0x20)
		p.MemWrite(w, PCIUint32, 0, 0x20, 1)
		p.ConfigRead16(w, 4)
		p.ConfigWrite16(w, 4, 0)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
