package q35

import (
	"encoding/binary"
	"strings"
	"testing"
)

// loader is the memory that a loader has filled, from address base on.
type loader []byte

const base = 0x8000

func (l loader) at(addr, n uint64) []byte {
	if addr < base || addr-base > uint64(len(l)) || n > uint64(len(l))-(addr-base) {
		return nil
	}
	return l[addr-base:][:n]
}

type region struct{ lo, size, kind uint64 }

// newLoader writes a start information at base, the memory map at base+0x100 and a command line
// after it.
func newLoader(regions []region, line string) loader {
	l := make(loader, 0x100+len(regions)*mapEntry+len(line)+1)
	binary.LittleEndian.PutUint32(l, startMagic)
	binary.LittleEndian.PutUint32(l[startVersion:], 1)
	binary.LittleEndian.PutUint64(l[startMap:], base+0x100)
	binary.LittleEndian.PutUint32(l[startMapCount:], uint32(len(regions)))
	at := 0x100
	for _, r := range regions {
		binary.LittleEndian.PutUint64(l[at:], r.lo)
		binary.LittleEndian.PutUint64(l[at+mapSize:], r.size)
		binary.LittleEndian.PutUint32(l[at+mapType:], uint32(r.kind))
		at += mapEntry
	}
	binary.LittleEndian.PutUint64(l[startCmdline:], uint64(base+at))
	copy(l[at:], line)
	return l
}

// pc is the memory map of a PC with 256 MiB.
var pc = []region{
	{0, 0x9fc00, 1}, {0x9fc00, 0x400, 2}, {0xf0000, 0x10000, 2},
	{0x100000, 0xfede000, 1}, {0xffde000, 0x22000, 2}, {0xb0000000, 0x10000000, 2},
}

func TestAPCsMemory(t *testing.T) {
	var m machine
	if problem := m.read(base, newLoader(pc, `one "two three"`).at); problem != "" {
		t.Fatal(problem)
	}
	if !same(spans(&m.memory), []span{{0x100000, 0xffde000}}) {
		t.Errorf("memory %x", spans(&m.memory))
	}
	if line := string(m.cmdline[:m.length]); line != `one "two three"` {
		t.Errorf("command line %q", line)
	}
}

func TestMemoryMaps(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct {
		name    string
		regions []region
		want    []span
		problem string
	}{
		{"entries in any order, and an empty one",
			[]region{{0x400000, 0x100000, 1}, {0, 0, 1}, {0x100000, 0x100000, 1}},
			[]span{{0x100000, 0x200000}, {0x400000, 0x500000}}, ""},
		{"parts of pages are left out", []region{{0x100001, 0x2fff, 1}},
			[]span{{0x101000, 0x103000}}, ""},
		{"what another entry claims is left out with its pages",
			[]region{{0x100000, 0x10000, 1}, {0x104800, 0x10, 2}},
			[]span{{0x100000, 0x104000}, {0x105000, 0x110000}}, ""},
		{"memory that the runtime cannot reach is left out",
			[]region{{0x100000, 0x1000, 1}, {63 * gib, 2 * gib, 1}, {100 * gib, gib, 1}},
			[]span{{0x100000, 0x101000}, {63 * gib, 64 * gib}}, ""},
		{"an empty map", nil, nil, "empty"},
		{"no memory in it", []region{{0x100000, 0x10000, 2}}, nil, "no memory"},
		{"only low memory", []region{{0, 0x9fc00, 1}}, nil, "no memory"},
		{"all of it claimed", []region{{0x100000, 0x10000, 1}, {0, 1 << 40, 2}}, nil, "no memory"},
		{"memory claimed twice", []region{{0x100000, 0x10000, 1}, {0x10f000, 0x10000, 1}}, nil,
			"two entries"},
		{"an entry that wraps around", []region{{0x100000, ^uint64(0), 1}}, nil, "beyond"},
		{"an entry beyond all addresses", []region{{1 << 60, 0x1000, 2}}, nil, "beyond"},
		{"more entries than any machine has", make([]region, maxRegions+1), nil, "more than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m machine
			problem := m.read(base, newLoader(c.regions, "").at)
			if c.problem != "" {
				if !strings.Contains(problem, c.problem) {
					t.Errorf("%q does not contain %q", problem, c.problem)
				}
				return
			}
			if problem != "" || !same(spans(&m.memory), c.want) {
				t.Errorf("%q, %x", problem, spans(&m.memory))
			}
		})
	}
}

func TestBadStartInformationIsRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(l loader) loader
		want   string
	}{
		{"not in memory", func(l loader) loader { return l[:startSize-1] }, "no start information"},
		{"another magic number", func(l loader) loader { l[0]++; return l }, "no hvm_start_info"},
		{"a version without memory map", func(l loader) loader { l[startVersion] = 0; return l },
			"no memory map"},
		{"a map that is not in memory", func(l loader) loader { l[startMap+7] = 1; return l },
			"map is not in memory"},
		{"a map that ends behind memory", func(l loader) loader { return l[:0x100+mapEntry] },
			"map is not in memory"},
		{"a command line that is not in memory",
			func(l loader) loader { l[startCmdline+7] = 1; return l }, "line is not in memory"},
		{"a command line without an end", func(l loader) loader { return l[:len(l)-1] },
			"line is not in memory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m machine
			if problem := m.read(base, c.change(newLoader(pc, "x")).at); !strings.Contains(problem,
				c.want) {
				t.Errorf("%q does not contain %q", problem, c.want)
			}
		})
	}
	var m machine
	if problem := m.read(base, newLoader(pc,
		strings.Repeat("x", maxCmdline)).at); !strings.Contains(problem, "longer") ||
		m.length != 0 {
		t.Errorf("a command line that is too long: %q", problem)
	}
}
