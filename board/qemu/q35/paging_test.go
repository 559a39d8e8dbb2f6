package q35

import "testing"

// physicalMemory has tables at pages from 0x1000 on.
type physicalMemory map[uint64]*table

func (m physicalMemory) tables(limit int) *tables {
	return &tables{
		alloc: func() uint64 {
			if len(m) == limit {
				return 0
			}
			at := uint64(len(m)+1) * pageSize
			m[at] = &table{0: 0xdead} // what was there before
			return at
		},
		at: func(addr uint64) *table { return m[addr] },
	}
}

// walk translates an address as the processor does, and gives the entry's flags.
func (m physicalMemory) walk(root, addr uint64) (to, flags uint64, ok bool) {
	at := root
	for shift := uint(shiftRoot); ; shift -= 9 {
		e := m[at][addr>>shift%entries]
		switch {
		case e&ptePresent == 0:
			return 0, 0, false
		case shift == shiftSmall, shift == shiftLarge && e&pteLarge != 0:
			size := uint64(1) << shift
			return e&pteAddress&^(size-1) | addr&(size-1), e &^ pteAddress &^ pteLarge, true
		}
		at = e & pteAddress
	}
}

func TestAddressesAreMappedToThemselvesWithTheLastProtection(t *testing.T) {
	m := physicalMemory{}
	p := m.tables(100)
	for _, r := range []struct{ lo, hi, protection uint64 }{
		{0x100000, 0xffde000, protData},
		{0x400000, 0x4c7000, protText},
		{0x4c7000, 0x600000, protConst},
		{0xfee00000, 0xfee01000, protDevice},
		{0x380000000000, 0x380000004000, protDevice},
	} {
		if !p.identity(r.lo, r.hi, r.protection) {
			t.Fatalf("%#x to %#x is refused", r.lo, r.hi)
		}
	}
	for _, c := range []struct {
		name  string
		addr  uint64
		flags uint64
	}{
		{"the first byte of memory", 0x100000, protData},
		{"before the text", 0x3fffff, protData},
		{"the text's first byte", 0x400000, protText},
		{"the text's last byte", 0x4c6fff, protText},
		{"constants on their first page", 0x4c7000, protConst},
		{"constants on their last page", 0x5fffff, protConst},
		{"behind the constants", 0x600000, protData},
		{"memory in a large page", 0x8123456, protData},
		{"the last byte of memory", 0xffddfff, protData},
		{"a device", 0xfee00fff, protDevice},
		{"a device far up", 0x380000003fff, protDevice},
	} {
		if to, flags, ok := m.walk(p.root, c.addr); !ok || to != c.addr || flags != c.flags {
			t.Errorf("%s: %#x leads to %#x, flags %#x, %v", c.name, c.addr, to, flags, ok)
		}
	}
	for _, c := range []struct {
		name string
		addr uint64
	}{
		{"address 0", 0}, {"below memory", 0xfffff}, {"behind memory", 0xffde000}, {"before a device", 0xfedfffff},
		{"behind a device", 0xfee01000}, {"far up", 0x380000004000},
	} {
		if to, _, ok := m.walk(p.root, c.addr); ok {
			t.Errorf("%s: %#x leads to %#x", c.name, c.addr, to)
		}
	}
}

func TestNothingIsWritableAndExecutable(t *testing.T) {
	for name, p := range map[string]uint64{"text": protText, "constants": protConst, "data": protData, "devices": protDevice} {
		if p&pteWrite != 0 && p&pteNoExec == 0 {
			t.Errorf("%s", name)
		}
	}
}

func TestMappingEndsWithTheMemoryForTables(t *testing.T) {
	for limit := range 4 { // it takes four
		m := physicalMemory{}
		if m.tables(limit).identity(0x400000, 0x401000, protText) {
			t.Errorf("%d tables are enough", limit)
		}
	}
	if p := (physicalMemory{}).tables(4); !p.identity(0x400000, 0x401000, protText) {
		t.Error("four tables are not enough")
	}
}

func TestAddressesThatAreNoneAreNotMapped(t *testing.T) {
	m := physicalMemory{}
	p := m.tables(100)
	for _, c := range [][2]uint64{{canonical - 0x1000, canonical + 0x1000}, {0x2000, 0x1000}, {0, ^uint64(0)}} {
		if p.identity(c[0], c[1], protData) {
			t.Errorf("%#x to %#x", c[0], c[1])
		}
	}
}
