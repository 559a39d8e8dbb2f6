//go:build !tamago

package pcihost

import (
	"errors"
	"fmt"
	"testing"
	"unsafe"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/hcd"
	"tamaccid/uefi"
)

func TestDriverIsFoundByClassCode(t *testing.T) {
	for _, c := range []struct {
		name  string
		class uint32
		want  bool
	}{
		{name: "an xHCI controller", class: 0x0c033001, want: true},
		{name: "a USB device controller", class: 0x0c03fe00},
		{name: "a network card", class: 0x02000000},
		{name: "no function", class: 0xffffffff},
	} {
		f, io := newFake(t)
		f.class = c.class
		if d := Driver(io); (d != nil) != c.want {
			t.Errorf("%s: %+v", c.name, d)
		}
	}
	f, io := newFake(t)
	f.refuse["config"] = uefi.DeviceError
	if Driver(io) != nil {
		t.Error("a function that does not respond")
	}
}

func TestRegistersHaveThreeWidths(t *testing.T) {
	f, io := newFake(t)
	r := f.open(io).Registers()
	r.Write8(0x20, 0x89)
	r.Write16(0x24, 0xabcd)
	r.Write32(0x28, 0x12345678)
	if r.Read8(0x20) != 0x89 || r.Read16(0x24) != 0xabcd || r.Read32(0x28) != 0x12345678 {
		t.Errorf("%#x", f.registers)
	}
	if got := fmt.Sprint(f.widths); got != "[0 1 2 0 1 2]" {
		t.Errorf("EFI_PCI_IO_PROTOCOL_WIDTH %s", got)
	}
}

func TestAttributesAreThoseOfBeforeAfterClose(t *testing.T) {
	for _, c := range []struct {
		name     string
		params   uint32
		has, can uefi.PCIAttributes
		want     uefi.PCIAttributes // while it is ours
	}{
		{"addresses of 64 bits", hccAC64, 0x100, 0x700, 0x8700},
		{"addresses of 32 bits", 0, 0x100, 0x700, 0x700},
		{"a controller that does not answer", gone, 0, 0x700, 0x600},
		{"a function that is always bus master", hccAC64, 0x400, 0x200, 0x8600},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, io := newFake(t)
			f.registers[hccParams1], f.has, f.can = c.params, c.has, c.can
			fn := f.open(io)
			if f.has != c.want {
				t.Errorf("attributes %#x, want %#x", f.has, c.want)
			}
			if err := fn.Close(); err != nil || f.has != c.has {
				t.Errorf("%v, attributes %#x, want %#x", err, f.has, c.has)
			}
		})
	}
}

func TestOpenKeepsFirmwaresReason(t *testing.T) {
	for _, service := range []string{"attributes", "enable"} {
		f, io := newFake(t)
		f.refuse[service] = uefi.Unsupported
		if _, err := Open(io, Driver(io)); !errors.Is(err, uefi.Unsupported) || f.has != 0x100 {
			t.Errorf("%s: %v, attributes %#x", service, err, f.has)
		}
	}
}

func TestRegisters(t *testing.T) {
	f, io := newFake(t)
	r := f.open(io).Registers()
	r.Write32(0x20, 0x89abcdef)
	if v := r.Read32(0x20); v != 0x89abcdef || f.registers[0x20] != v {
		t.Errorf("%#x", v)
	}
	if n := testing.AllocsPerRun(100, func() { r.Write32(0x24, r.Read32(0x24)+1) }); n > 4 {
		// Each call of the fake copies its arguments, and reports them.
		t.Errorf("%v allocations", n)
	}
	f.refuse["read"] = uefi.DeviceError
	if v := r.Read32(0x20); v != gone {
		t.Errorf("a controller that does not answer: %#x", v)
	}
}

func TestMemoryIsFirmwaresAndGoesBack(t *testing.T) {
	f, io := newFake(t)
	fn := f.open(io)
	m := fn.Memory()
	var all []hcd.Buffer
	for _, size := range []int{1, 4096, 70000} {
		b, err := m.Alloc(size, 64)
		if err != nil {
			t.Fatal(err)
		}
		if len(b.Bytes) != size || b.Bus != uint64(uintptr(unsafe.Pointer(&b.Bytes[0])))+distance ||
			b.Bytes[size-1] != 0 {
			t.Errorf("%d bytes at %p, bus address %#x", len(b.Bytes), b.Bytes, b.Bus)
		}
		all = append(all, b)
	}
	if err := fn.Close(); err == nil {
		t.Error("Close does not tell of pages in use")
	}
	m.Free(all[1])
	m.Free(all[1])
	m.Close()
	f.nothingLeft()
	if err := fn.Close(); err != nil {
		t.Error(err)
	}
}

func TestMemoryThatFirmwareRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(f *fake)
	}{
		{"there are no pages", func(f *fake) { f.refuse["allocate"] = uefi.OutOfResources }},
		{"pages cannot be mapped", func(f *fake) { f.refuse["map"] = uefi.OutOfResources }},
		{"only a part of them is mapped", func(f *fake) { f.short = true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, io := newFake(t)
			m := f.open(io).Memory()
			c.change(f)
			if _, err := m.Alloc(4096, 64); !errors.Is(err, usbhost.ErrNoMemory) {
				t.Errorf("error %v", err)
			}
			f.nothingLeft()
		})
	}
}

func TestPagesWhoseMappingDoesNotEndAreNotGivenBack(t *testing.T) {
	f, io := newFake(t)
	m := f.open(io).Memory()
	if _, err := m.Alloc(4096, 64); err != nil {
		t.Fatal(err)
	}
	f.refuse["unmap"] = uefi.DeviceError
	m.Close()
	if len(f.pages) != 1 {
		t.Error("pages that the controller may still write to went back")
	}
}

func TestSilenceHaltsFirstAndEndsBusMastery(t *testing.T) {
	f, io := newFake(t)
	fn := f.open(io)
	f.command = 0x0406
	fn.regs.mu.Lock() // by a goroutine that will never run again
	for range 2 {
		fn.Silence(func() {
			f.note("halt")
			fn.regs.Write32(0x20, fn.regs.Read32(0x20)&^1)
		})
	}
	if got := fmt.Sprint(f.log); got != "[halt command 0x402 halt command 0x402]" {
		t.Error(got)
	}
}

func TestSilenceOfAFunctionThatIsGone(t *testing.T) {
	f, io := newFake(t)
	fn := f.open(io)
	f.command = 0xffff
	fn.Silence(func() {})
	if len(f.log) != 0 {
		t.Errorf("wrote to nothing: %v", f.log)
	}
}

func TestTheNameIsThePlace(t *testing.T) {
	f, io := newFake(t)
	fn := f.open(io)
	if s := fn.String(); s != "PCI 0000:1f:04.2" {
		t.Error(s)
	}
	f.refuse["location"] = uefi.DeviceError
	if s := fn.String(); s != "PCI" {
		t.Error(s)
	}
}

func TestAnAccessThatFirmwareRefusesOnceIsRepeated(t *testing.T) {
	f, io := newFake(t)
	fn := f.open(io)
	defer fn.Close()
	f.once = true
	r := fn.Registers()
	f.refuse["write"] = uefi.DeviceError
	r.Write32(0x40, 5)
	f.refuse["read"] = uefi.DeviceError
	if v := r.Read32(0x40); v != 5 || len(f.refuse) != 0 {
		t.Errorf("read %#x, not refused: %v", v, f.refuse)
	}
	f.once = false
	f.refuse["read"] = uefi.DeviceError
	if v := r.Read32(0x40); v != gone {
		t.Errorf("read %#x of a function that answers no more", v)
	}
}
