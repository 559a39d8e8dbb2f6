package amd64

import "testing"

// physicalMemory has tables at pages from 0x1000 on.
type physicalMemory map[uint64]*PageTable

func (m physicalMemory) tables(limit int) *IdentityMap {
	return &IdentityMap{
		Alloc: func() uint64 {
			if len(m) == limit {
				return 0
			}
			at := uint64(len(m)+1) * PageSize
			m[at] = &PageTable{0: 0xdead} // what was there before
			return at
		},
		At: func(addr uint64) *PageTable { return m[addr] },
	}
}

// walk translates an address as the processor does, and returns the entry's flags.
func (m physicalMemory) walk(root, addr uint64) (to, flags uint64, ok bool) {
	at := root
	for shift := uint(shiftRoot); ; shift -= 9 {
		e := m[at][addr>>shift%entries]
		switch {
		case e&PagePresent == 0:
			return 0, 0, false
		case shift == shiftSmall, shift == shiftLarge && e&PageLarge != 0:
			size := uint64(1) << shift
			return e&pageAddress&^(size-1) | addr&(size-1), e &^ pageAddress &^ PageLarge, true
		}
		at = e & pageAddress
	}
}

func TestAddressesAreMappedToThemselvesWithTheLastProtection(t *testing.T) {
	m := physicalMemory{}
	p := m.tables(100)
	for _, r := range []struct{ lo, hi, protection uint64 }{
		{0x100000, 0xffde000, ProtectData},
		{0x400000, 0x4c7000, ProtectText},
		{0x4c7000, 0x600000, ProtectConst},
		{0xfee00000, 0xfee01000, ProtectDevice},
		{0x380000000000, 0x380000004000, ProtectDevice},
	} {
		if !p.Map(r.lo, r.hi, r.protection) {
			t.Fatalf("%#x to %#x is refused", r.lo, r.hi)
		}
	}
	for _, c := range []struct {
		name  string
		addr  uint64
		flags uint64
	}{
		{"the first byte of memory", 0x100000, ProtectData},
		{"before the text", 0x3fffff, ProtectData},
		{"the text's first byte", 0x400000, ProtectText},
		{"the text's last byte", 0x4c6fff, ProtectText},
		{"constants on their first page", 0x4c7000, ProtectConst},
		{"constants on their last page", 0x5fffff, ProtectConst},
		{"behind the constants", 0x600000, ProtectData},
		{"memory in a large page", 0x8123456, ProtectData},
		{"the last byte of memory", 0xffddfff, ProtectData},
		{"a device", 0xfee00fff, ProtectDevice},
		{"a device far up", 0x380000003fff, ProtectDevice},
	} {
		if to, flags, ok := m.walk(p.Root, c.addr); !ok || to != c.addr || flags != c.flags {
			t.Errorf("%s: %#x leads to %#x, flags %#x, %v", c.name, c.addr, to, flags, ok)
		}
	}
	for _, c := range []struct {
		name string
		addr uint64
	}{
		{"address 0", 0},
		{"below memory", 0xfffff},
		{"behind memory", 0xffde000},
		{"before a device", 0xfedfffff},
		{"behind a device", 0xfee01000},
		{"far up", 0x380000004000},
	} {
		if to, _, ok := m.walk(p.Root, c.addr); ok {
			t.Errorf("%s: %#x leads to %#x", c.name, c.addr, to)
		}
	}
}

func TestNothingIsWritableAndExecutable(t *testing.T) {
	for name, p := range map[string]uint64{
		"text": ProtectText, "constants": ProtectConst, "data": ProtectData,
		"devices": ProtectDevice,
	} {
		if p&PageWritable != 0 && p&pageNoExec == 0 {
			t.Errorf("%s", name)
		}
	}
}

func TestMappingEndsWithTheMemoryForTables(t *testing.T) {
	for limit := range 4 { // a page takes four tables
		m := physicalMemory{}
		if m.tables(limit).Map(0x400000, 0x401000, ProtectText) {
			t.Errorf("%d tables are enough", limit)
		}
	}
	if p := (physicalMemory{}).tables(4); !p.Map(0x400000, 0x401000, ProtectText) {
		t.Error("four tables are not enough")
	}
}

func TestRangesOutsideOfTheLowerHalfAreRefused(t *testing.T) {
	m := physicalMemory{}
	p := m.tables(100)
	for _, c := range [][2]uint64{
		{EndOfLowerHalf - 0x1000, EndOfLowerHalf + 0x1000}, {0x2000, 0x1000}, {0, ^uint64(0)},
	} {
		if p.Map(c[0], c[1], ProtectData) {
			t.Errorf("%#x to %#x", c[0], c[1])
		}
	}
}
