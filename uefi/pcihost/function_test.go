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
	"tamaccid/uefi/uefitest"
)

// HCCPARAMS1, and its bit for addresses of 64 bits (xHCI 1.2, 5.3.6).
const (
	hccParams1 = 0x10
	hccAC64    = 1 << 0
)

// plug is an xHCI controller in firmware.
func plug(t *testing.T) *uefitest.PCI { return uefitest.New(t).PlugPCI() }

// take opens a controller.
func take(t *testing.T, f *uefitest.PCI) *Function {
	t.Helper()
	fn, err := Open(f.IO(), Driver(f.IO()))
	if err != nil {
		t.Fatal(err)
	}
	f.Widths = nil // without the accesses of Open
	return fn
}

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
		f := plug(t)
		f.Class = c.class
		if d := Driver(f.IO()); (d != nil) != c.want {
			t.Errorf("%s: %+v", c.name, d)
		}
	}
	f := plug(t)
	f.Refuse["config"] = uefi.DeviceError
	if Driver(f.IO()) != nil {
		t.Error("a function that does not respond")
	}
}

func TestRegistersHaveThreeWidths(t *testing.T) {
	f := plug(t)
	r := take(t, f).Registers()
	r.Write8(0x20, 0x89)
	r.Write16(0x24, 0xabcd)
	r.Write32(0x28, 0x12345678)
	if r.Read8(0x20) != 0x89 || r.Read16(0x24) != 0xabcd || r.Read32(0x28) != 0x12345678 {
		t.Errorf("%#x", f.Registers)
	}
	if got := fmt.Sprint(f.Widths); got != "[0 1 2 0 1 2]" {
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
			f := plug(t)
			f.Registers[hccParams1], f.Has, f.Can = c.params, c.has, c.can
			fn := take(t, f)
			if f.Has != c.want {
				t.Errorf("attributes %#x, want %#x", f.Has, c.want)
			}
			if err := fn.Close(); err != nil || f.Has != c.has {
				t.Errorf("%v, attributes %#x, want %#x", err, f.Has, c.has)
			}
		})
	}
}

func TestOpenKeepsFirmwaresReason(t *testing.T) {
	for _, service := range []string{"attributes", "enable"} {
		f := plug(t)
		f.Refuse[service] = uefi.Unsupported
		if _, err := Open(f.IO(), Driver(f.IO())); !errors.Is(err, uefi.Unsupported) ||
			f.Has != 0x100 {
			t.Errorf("%s: %v, attributes %#x", service, err, f.Has)
		}
	}
}

func TestRegisters(t *testing.T) {
	f := plug(t)
	r := take(t, f).Registers()
	r.Write32(0x20, 0x89abcdef)
	if v := r.Read32(0x20); v != 0x89abcdef || f.Registers[0x20] != v {
		t.Errorf("%#x", v)
	}
	if n := testing.AllocsPerRun(100, func() { r.Write32(0x24, r.Read32(0x24)+1) }); n > 4 {
		// The functions of uefitest copy their arguments.
		t.Errorf("%v allocations", n)
	}
	f.Refuse["read"] = uefi.DeviceError
	if v := r.Read32(0x20); v != gone {
		t.Errorf("a controller that does not answer: %#x", v)
	}
}

func TestMemoryIsFirmwaresAndGoesBack(t *testing.T) {
	f := plug(t)
	fn := take(t, f)
	m := fn.Memory()
	var all []hcd.Buffer
	for _, size := range []int{1, 4096, 70000} {
		b, err := m.Alloc(size, 64)
		if err != nil {
			t.Fatal(err)
		}
		if len(b.Bytes) != size ||
			b.Bus != uint64(uintptr(unsafe.Pointer(&b.Bytes[0])))+uefitest.BusDistance ||
			b.Bytes[size-1] != 0 {
			t.Errorf("%d bytes at %p, bus address %#x", len(b.Bytes), b.Bytes, b.Bus)
		}
		all = append(all, b)
	}
	if err := fn.Close(); err == nil {
		t.Error("Close does not report pages in use")
	}
	m.Free(all[1])
	m.Free(all[1])
	m.Close()
	f.NothingLeft()
	uefitest.Check(t, fn.Close())
}

func TestMemoryThatFirmwareRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(f *uefitest.PCI)
	}{
		{"there are no pages",
			func(f *uefitest.PCI) { f.Refuse["allocate"] = uefi.OutOfResources }},
		{"pages cannot be mapped", func(f *uefitest.PCI) { f.Refuse["map"] = uefi.OutOfResources }},
		{"only a part of them is mapped", func(f *uefitest.PCI) { f.Short = true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := plug(t)
			m := take(t, f).Memory()
			c.change(f)
			if _, err := m.Alloc(4096, 64); !errors.Is(err, usbhost.ErrNoMemory) {
				t.Errorf("error %v", err)
			}
			f.NothingLeft()
		})
	}
}

func TestPagesWhoseMappingDoesNotEndAreNotGivenBack(t *testing.T) {
	f := plug(t)
	m := take(t, f).Memory()
	if _, err := m.Alloc(4096, 64); err != nil {
		t.Fatal(err)
	}
	f.Refuse["unmap"] = uefi.DeviceError
	m.Close()
	if len(f.Pages) != 1 {
		t.Error("pages that the controller may still write to went back")
	}
}

func TestSilenceHaltsFirstAndEndsBusMastery(t *testing.T) {
	f := plug(t)
	fn := take(t, f)
	f.Command = 0x0406
	fn.regs.mu.Lock() // by a goroutine that will never run again
	for range 2 {
		fn.Silence(func() {
			f.Log = append(f.Log, "halt")
			fn.regs.Write32(0x20, fn.regs.Read32(0x20)&^1)
		})
	}
	if got := fmt.Sprint(f.Log); got != "[halt command 0x402 halt command 0x402]" {
		t.Error(got)
	}
}

func TestSilenceOfAFunctionThatIsGone(t *testing.T) {
	f := plug(t)
	fn := take(t, f)
	f.Command = 0xffff
	fn.Silence(func() {})
	if len(f.Log) != 0 {
		t.Errorf("wrote to nothing: %v", f.Log)
	}
}

func TestTheNameIsThePlace(t *testing.T) {
	f := plug(t)
	fn := take(t, f)
	if s := fn.String(); s != "PCI 0000:1f:04.2" {
		t.Error(s)
	}
	f.Refuse["location"] = uefi.DeviceError
	if s := fn.String(); s != "PCI" {
		t.Error(s)
	}
}

func TestAnAccessThatFirmwareRefusesOnceIsRepeated(t *testing.T) {
	f := plug(t)
	fn := take(t, f)
	defer fn.Close()
	f.Once = true
	r := fn.Registers()
	f.Refuse["write"] = uefi.DeviceError
	r.Write32(0x40, 5)
	f.Refuse["read"] = uefi.DeviceError
	if v := r.Read32(0x40); v != 5 || len(f.Refuse) != 0 {
		t.Errorf("read %#x, not refused: %v", v, f.Refuse)
	}
	f.Once = false
	f.Refuse["read"] = uefi.DeviceError
	if v := r.Read32(0x40); v != gone {
		t.Errorf("read %#x of a function that answers no more", v)
	}
}
