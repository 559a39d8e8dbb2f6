package xhci

import (
	"errors"
	"testing"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/hcd"
	"tamaccid/ccid/usb"
)

// space is a register space for 32-bit reads only. Other accesses panic.
type space struct {
	hcd.Registers
	words map[uint32]uint32 // others are 0
	ext   uint32            // of all words from 0x8000, unless 0
}

func (s space) Read32(at uint32) uint32 {
	if s.ext != 0 && at >= 0x8000 {
		return s.ext
	}
	return s.words[at]
}

// usual is a complete set of capability registers: 4 ports, two of each protocol.
func usual() map[uint32]uint32 {
	return map[uint32]uint32{
		0x00: 0x01100040, 0x04: 0x04000120, 0x08: 0x0820_0000 | 1<<26, 0x10: 0x2000_0005,
		0x14: 0x3000, 0x18: 0x2000,
		0x8000: 0x02000402, 0x8004: 0x20425355, 0x8008: 0x00000201,
		0x8010: 0x03000002, 0x8014: 0x20425355, 0x8018: 0x00000203,
	}
}

func TestCapabilities(t *testing.T) {
	c, err := readCapabilities(space{words: usual()}, 0x10000)
	if err != nil {
		t.Fatal(err)
	}
	if c.version != 0x110 || c.op != 0x40 || c.slots != 32 || c.ports != 4 || c.scratchpads != 33 ||
		!c.ac64 || c.context != 64 || c.ppc ||
		c.doorbells != 0x3000 || c.runtime != 0x2000 || c.legacy != 0 {
		t.Errorf("%+v", c)
	}
	if c.root[0].major != 2 || c.root[1].major != 2 || c.root[2].major != 3 ||
		c.root[3].major != 3 || c.root[0].speeds[3] != usb.SpeedHigh ||
		c.root[3].speeds[4] != usb.SpeedSuper {
		t.Errorf("%+v", c.root)
	}
}

// TestWide: uefi/pcihost enables 64-bit bus addresses by it.
func TestWide(t *testing.T) {
	for params, want := range map[uint32]bool{0x2000_0005: true, 0x2000_0004: false,
		0xFFFFFFFF: false} {
		if got := Wide(space{words: map[uint32]uint32{0x10: params}}); got != want {
			t.Errorf("HCCPARAMS1 %#x: %v", params, got)
		}
	}
}

func TestHostileCapabilities(t *testing.T) {
	for _, k := range []struct {
		name   string
		change map[uint32]uint32
		want   error // nil: accepted
	}{
		{name: "removed", change: map[uint32]uint32{0: 0xFFFFFFFF}, want: usbhost.ErrDead},
		{name: "CAPLENGTH 0", change: map[uint32]uint32{0: 0x01100000}, want: ErrRegisters},
		{name: "CAPLENGTH within the capability registers",
			change: map[uint32]uint32{0: 0x0110001C}, want: ErrRegisters},
		{name: "CAPLENGTH not aligned", change: map[uint32]uint32{0: 0x01100041},
			want: ErrRegisters},
		{name: "no slots", change: map[uint32]uint32{4: 0x04000100}, want: ErrRegisters},
		{name: "no ports", change: map[uint32]uint32{4: 0x00000120}, want: ErrRegisters},
		{name: "doorbells over the operational registers", change: map[uint32]uint32{0x14: 0x40},
			want: ErrRegisters},
		{name: "doorbells beyond the end", change: map[uint32]uint32{0x14: 0xFFF0},
			want: ErrRegisters},
		{name: "doorbells that wrap", change: map[uint32]uint32{0x14: 0xFFFFFFFC},
			want: ErrRegisters},
		{name: "runtime registers at 0", change: map[uint32]uint32{0x18: 0}, want: ErrRegisters},
		{name: "runtime registers beyond the end", change: map[uint32]uint32{0x18: 0xFFE0},
			want: ErrRegisters},
		{name: "runtime registers that wrap", change: map[uint32]uint32{0x18: 0xFFFFFFE0},
			want: ErrRegisters},
		{name: "no extended capabilities", change: map[uint32]uint32{0x10: 5}, want: ErrRegisters},
		{name: "extended capabilities beyond the end", change: map[uint32]uint32{0x10: 0xFFFF0005},
			want: ErrRegisters},
		{name: "extended capabilities within the fixed ones",
			change: map[uint32]uint32{0x10: 0x00010005}, want: ErrRegisters},
		{name: "protocol 1 only", change: map[uint32]uint32{0x8000: 0x01000402, 0x8010: 0x01000002},
			want: ErrRegisters},
		{name: "ports that start with 0", change: map[uint32]uint32{0x8008: 0x0200, 0x8018: 0xFF00},
			want: ErrRegisters},
		{name: "more ports than exist", change: map[uint32]uint32{0x8008: 0x0000FF01}},
		{name: "a list whose next entry lies beyond the end",
			change: map[uint32]uint32{0x8000: 0x0200FF02, 0x83FC: 0xFFFF}},
		{name: "a table of speeds beyond the end",
			change: map[uint32]uint32{0x10: 0x3FFB_0005, 0xFFEC: 0x03000002, 0xFFF4: 0xF0000401,
				0xFFFC: 0x00050134}, want: ErrRegisters},
	} {
		t.Run(k.name, func(t *testing.T) {
			w := usual()
			for at, v := range k.change {
				w[at] = v
			}
			c, err := readCapabilities(space{words: w}, 0x10000)
			if k.want != nil && !errors.Is(err, k.want) || k.want == nil &&
				(err != nil || len(c.root) != 4) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestEndlessExtendedCapabilities: each entry of the list is followed by one in the next word.
func TestEndlessExtendedCapabilities(t *testing.T) {
	w := space{words: usual(), ext: 0x00000101}
	if _, err := readCapabilities(w, 0); !errors.Is(err, ErrRegisters) {
		t.Error(err)
	}
}

func TestSpeedTables(t *testing.T) {
	for _, k := range []struct {
		major uint8
		psi   uint32
		want  usb.Speed
	}{
		{major: 2, psi: 12<<16 | 2<<4 | 1, want: usb.SpeedFull},
		{major: 2, psi: 1500<<16 | 1<<4 | 2, want: usb.SpeedLow},
		{major: 2, psi: 480<<16 | 2<<4 | 3, want: usb.SpeedHigh},
		{major: 2, psi: 12000<<16 | 1<<4 | 1, want: usb.SpeedFull},
		{major: 3, psi: 5<<16 | 3<<4 | 4, want: usb.SpeedSuper},
		{major: 3, psi: 10<<16 | 3<<4 | 5, want: usb.SpeedSuper},
		{major: 3, psi: 0xFFFF<<16 | 3<<4 | 15, want: usb.SpeedSuper},
		{major: 2, psi: 480<<16 | 2<<4, want: usb.SpeedUnknown},
	} {
		if got := psiSpeed(k.major, k.psi); got != k.want {
			t.Errorf("USB %d, %#x: %v, want %v", k.major, k.psi, got, k.want)
		}
	}
}

func FuzzCapabilities(f *testing.F) {
	f.Add(uint32(0x01100040), uint32(0x04000120), uint32(0x2000_0005), uint32(0x3000),
		uint32(0x2000), uint32(0x02000402), uint32(0x10000))
	f.Fuzz(func(t *testing.T, head, s1, h1, db, rt, ext, size uint32) {
		w := space{words: map[uint32]uint32{0: head, 4: s1, 0x10: h1, 0x14: db, 0x18: rt}, ext: ext}
		c, err := readCapabilities(w, size)
		if err != nil {
			return
		}
		if size == 0 || size > maxSpace {
			size = maxSpace
		}
		if c.op+opPortSC+uint32(c.ports)*portStride > size ||
			c.doorbells+uint32(c.slots)*4+4 > size || c.runtime+rtERDP+8 > size {
			t.Errorf("%+v", c)
		}
	})
}
