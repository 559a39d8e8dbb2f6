package amd64

import "testing"

// memory is physical memory that holds page tables.
type memory map[uintptr]*PageTable

func (m memory) read(a uintptr) *PageTable { return m[a] }

// walk translates an address with the tables of root. An entry may lead into the copy, dst.
func walk(
	m memory, dst *[maxLevels]PageTable, root *PageTable, levels int, addr uint64,
) (uint64, bool) {
	t := root
	for i := range levels {
		shift := uint(12 + 9*(levels-1-i))
		e := t[addr>>shift&511]
		if e&PagePresent == 0 {
			return 0, false
		}
		if i == levels-1 || e&PageLarge != 0 && i > 0 {
			size := uint64(1) << shift
			return e&pageAddress&^(size-1) | addr&(size-1), true
		}
		next := m[uintptr(e&pageAddress)]
		for k := range dst {
			if e&pageAddress == uint64(address(&dst[k])) {
				next = &dst[k]
			}
		}
		t = next
	}
	return 0, false
}

// firmware builds tables that map memory one to one, with large pages at depth big. big == levels
// is for pages of 4 KiB.
func firmware(levels, big int) (m memory, root uintptr) {
	m = memory{}
	for i := range levels {
		t := new(PageTable)
		shift := uint(12 + 9*(levels-1-i))
		for k := range t {
			t[k] = uint64(k)<<shift | PagePresent | PageWritable
			if i == big {
				t[k] |= PageLarge
			}
		}
		if i < big && i < levels-1 {
			for k := 1; k < len(t); k++ {
				t[k] = 0
			}
			t[0] = uint64(0x1000*(i+2)) | PagePresent | PageWritable
		}
		m[uintptr(0x1000*(i+1))] = t
		if i == big {
			break
		}
	}
	return m, 0x1000
}

func TestPageZeroIsHiddenAndNothingElse(t *testing.T) {
	cases := []struct {
		name        string
		levels, big int
	}{
		{"four levels, 4 KiB pages", 4, 4},
		{"four levels, 2 MiB pages", 4, 2},
		{"four levels, 1 GiB pages", 4, 1},
		{"five levels, 4 KiB pages", 5, 5},
		{"five levels, 2 MiB pages", 5, 3},
		{"five levels, 1 GiB pages", 5, 2},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m, root := firmware(c.levels, c.big)
			before := map[uintptr]PageTable{}
			for a, x := range m {
				before[a] = *x
			}
			g := new(NullGuard)
			dst := g.tables()
			if !g.Copy(root, c.levels, m.read) {
				t.Fatal("refused")
			}
			for _, addr := range []uint64{0, 8, PageSize - 1} {
				if to, ok := walk(m, dst, &dst[0], c.levels, addr); ok {
					t.Errorf("%#x is mapped to %#x", addr, to)
				}
			}
			for _, addr := range []uint64{PageSize, 0x1ff000, 0x200000, 0x3ffff123} {
				want, mapped := walk(m, dst, m[root], c.levels, addr)
				to, ok := walk(m, dst, &dst[0], c.levels, addr)
				if ok != mapped || to != want {
					t.Errorf("%#x is mapped to %#x %v, by firmware's tables to %#x %v",
						addr, to, ok, want, mapped)
				}
			}
			for a, x := range m {
				if *x != before[a] {
					t.Errorf("firmware's table at %#x was written", a)
				}
			}
			if g.Outdated(root, c.levels, m.read) {
				t.Error("the copy differs before anything has changed")
			}
			m[root][0] |= pageAccessed
			last := m[uintptr(0x1000*min(c.big+1, c.levels))]
			last[7] |= pageDirty
			if g.Outdated(root, c.levels, m.read) {
				t.Error("the processor's own bits count as a change")
			}
			last[7] ^= PageWritable
			if !g.Outdated(root, c.levels, m.read) {
				t.Error("a change in firmware's tables is not found")
			}
		})
	}
}

func TestTablesWhereMemoryCannotBeAreLeftAlone(t *testing.T) {
	m, root := firmware(4, 4)
	m[root][0] |= 1 << 47 // memory encryption's flag, in the entry
	if new(NullGuard).Copy(root, 4, m.read) {
		t.Error("an entry with an encryption flag was followed")
	}
	if new(NullGuard).Copy(1<<51|root, 4, m.read) {
		t.Error("a root with an encryption flag was followed")
	}
}

func TestAnAddressZeroThatIsNotMappedNeedsNothing(t *testing.T) {
	m, root := firmware(4, 4)
	m[0x2000][0] = 0
	g := new(NullGuard)
	dst := g.tables()
	if !g.Copy(root, 4, m.read) {
		t.Fatal("refused")
	}
	if _, ok := walk(m, dst, &dst[0], 4, 0); ok {
		t.Error("address 0 is mapped")
	}
}
