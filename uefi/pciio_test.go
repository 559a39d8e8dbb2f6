//go:build !tamago

package uefi_test

import (
	"errors"
	"fmt"
	"testing"
	"unsafe"

	"tamaccid/uefi"
	"tamaccid/uefi/uefitest"
)

// The functions of uefitest.PCI fail the test unless the arguments are those of the specification.

func TestPCIFunctionsPassTheArgumentsOfTheSpecification(t *testing.T) {
	f := uefitest.New(t).PlugPCI()
	p, w := f.IO(), &uefi.PCIWord{}
	f.Registers[0x1234] = 0x89abcdef
	if v, st := p.MemRead(w, uefi.PCIUint32, 0, 0x1234); v != 0x89abcdef || st != uefi.Success {
		t.Errorf("read %#x, %v", v, st)
	}
	f.BAR = 5
	if st := p.MemWrite(w, uefi.PCIUint32, 5, 0x10, 7); st != uefi.Success ||
		f.Registers[0x10] != 7 {
		t.Errorf("wrote %#x, %v", f.Registers[0x10], st)
	}
	f.Registers[3], f.BAR = 0x12345689, 0
	if v, st := p.MemRead(w, uefi.PCIUint8, 0, 3); v != 0x89 || st != uefi.Success {
		t.Errorf("read %#x, %v", v, st)
	}
	f.BAR = 1
	if st := p.MemWrite(w, uefi.PCIUint16, 1, 6, 0x10007); st != uefi.Success ||
		f.Registers[6] != 7 {
		t.Errorf("wrote %#x, %v", f.Registers[6], st)
	}
	if got := fmt.Sprint(f.Widths); got != "[2 2 0 1]" {
		t.Errorf("widths %s", got)
	}
	f.Class, f.Command = 0x0c033000, 0x407
	if v, st := p.ConfigRead32(w, 8); v != f.Class || st != uefi.Success {
		t.Errorf("class %#x, %v", v, st)
	}
	if v, st := p.ConfigRead16(w, 4); v != 0x407 || st != uefi.Success {
		t.Errorf("command %#x, %v", v, st)
	}
	if st := p.ConfigWrite16(w, 4, 3); f.Command != 3 || st != uefi.Success {
		t.Errorf("command %#x, %v", f.Command, st)
	}
	if l, err := p.Location(); l != uefitest.PCIPlace || err != nil {
		t.Errorf("at %+v, %v", l, err)
	}
}

func TestPCIMemory(t *testing.T) {
	f := uefitest.New(t).PlugPCI()
	p := f.IO()
	const pages, size = 3, 3 * uefi.PageSize
	addr, err := p.AllocateBuffer(pages)
	if err != nil || f.Pages[addr] != pages {
		t.Fatalf("%#x, %v", addr, err)
	}
	device, mapping, err := p.MapCommonBuffer(addr, size)
	if err != nil || device != uint64(addr)+uefitest.BusDistance || f.Mapped[mapping] != addr {
		t.Errorf("at %#x for the device, mapping %#x, %v", device, mapping, err)
	}
	uefitest.Check(t, p.Unmap(mapping))
	f.Short = true
	if device, mapping, err = p.MapCommonBuffer(addr, size); !errors.Is(err, uefi.OutOfResources) ||
		device != 0 || mapping != 0 || len(f.Mapped) != 0 {
		t.Errorf("a mapping that is too short: %#x, %#x, %v, %d are left", device, mapping, err,
			len(f.Mapped))
	}
	uefitest.Check(t, p.FreeBuffer(addr, pages))
	f.NothingLeft()
}

func TestPCIAttributes(t *testing.T) {
	f := uefitest.New(t).PlugPCI()
	p := f.IO()
	f.Has, f.Can = 0x8700, 0x8f00
	if a, err := p.Attributes(); a != f.Has || err != nil {
		t.Errorf("%#x, %v", a, err)
	}
	if a, err := p.SupportedAttributes(); a != f.Can || err != nil {
		t.Errorf("%#x, %v", a, err)
	}
	for _, c := range []struct {
		name string
		do   func(uefi.PCIAttributes) error
		with uefi.PCIAttributes
		want uefi.PCIAttributes
	}{
		{"attributes are replaced", p.SetAttributes, 0x200, 0x200},
		{"attributes are added", p.EnableAttributes, uefi.PCIBusMaster | uefi.PCIDualAddressCycle,
			0x8600},
		{"attributes are removed", p.DisableAttributes, uefi.PCIBusMaster, 0x8200},
	} {
		if err := c.do(c.with); err != nil || f.Has != c.want {
			t.Errorf("%s: %v, %#x, want %#x", c.name, err, f.Has, c.want)
		}
	}
}

func TestPCIFunctionsKeepFirmwaresStatus(t *testing.T) {
	f := uefitest.New(t).PlugPCI()
	p, w := f.IO(), &uefi.PCIWord{}
	for _, name := range []string{"read", "write", "config", "allocate", "map", "location", "unmap",
		"free", "attributes"} {
		f.Refuse[name] = uefi.OutOfResources
	}
	_, read := p.MemRead(w, uefi.PCIUint32, 0, 0)
	_, allocated := p.AllocateBuffer(1)
	_, _, mapped := p.MapCommonBuffer(0x1000, 0x1000)
	_, location := p.Location()
	for i, err := range []error{read, p.MemWrite(w, uefi.PCIUint32, 0, 0, 0),
		p.ConfigWrite16(w, 4, 0), allocated, mapped, location, p.Unmap(1),
		p.FreeBuffer(0x1000, 1), p.EnableAttributes(uefi.PCIMemory)} {
		if !errors.Is(err, uefi.OutOfResources) {
			t.Errorf("call %d: %v", i, err)
		}
	}
}

func TestPCIBufferAtAddress0(t *testing.T) {
	f := uefitest.New(t).PlugPCI()
	f.Table.AllocateBuffer = f.Table.GetLocation // success, and no address
	f.Refuse["location"] = uefi.WarnStaleData
	if a, err := f.IO().AllocateBuffer(1); !errors.Is(err, uefi.OutOfResources) || a != 0 {
		t.Errorf("%#x, %v", a, err)
	}
}

func TestPCIAccessAllocatesNothing(t *testing.T) {
	// Functions that are not there answer too.
	p, w := uefi.PCIIOAt(uintptr(unsafe.Pointer(&uefi.PCIIOTable{}))), &uefi.PCIWord{}
	if n := testing.AllocsPerRun(100, func() {
		p.MemRead(w, uefi.PCIUint32, 0, 0x20)
		p.MemWrite(w, uefi.PCIUint32, 0, 0x20, 1)
		p.ConfigRead16(w, 4)
		p.ConfigWrite16(w, 4, 0)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
