package q35

import "encoding/binary"

// The loader passes struct hvm_start_info, which points to a memory map (PVH).
const (
	startMagic = 0x336ec578
	// startMapped is the first version with a memory map.
	startMapped = 1

	startVersion  = 4
	startCmdline  = 24
	startMap      = 40
	startMapCount = 48
	startSize     = 56

	mapSize  = 8
	mapType  = 16
	mapEntry = 24

	mapRAM = 1
)

// Bounds of memory.
const (
	lowMemory = 1 << 20 // below it are tables of the start-up code
	// runtimeReach is the end of the addresses that the overlay's runtime can use.
	runtimeReach = 1 << 36
	// maxAddress is the end of the physical addresses of the architecture (SDM volume 3, 4.1.4).
	maxAddress = 1 << 52

	maxCmdline = 4096 // policy
)

// physical returns n bytes of memory at an address, nil when it is not mapped.
type physical func(addr uint64, n uint64) []byte

// A machine is the loader's description of the machine.
type machine struct {
	memory  pages // RAM that the program may use
	ram     pages // all RAM above 1 MiB
	cmdline [maxCmdline]byte
	length  int // of cmdline
}

// read fills m from the hvm_start_info at addr. The problem is a text for the console, "" when
// there is none.
func (m *machine) read(addr uint64, at physical) (problem string) {
	info := at(addr, startSize)
	switch {
	case info == nil:
		return "the loader passed no start information"
	case binary.LittleEndian.Uint32(info) != startMagic:
		return "the loader passed no hvm_start_info"
	case binary.LittleEndian.Uint32(info[startVersion:]) < startMapped:
		return "the loader passes no memory map"
	}
	entries := binary.LittleEndian.Uint64(info[startMap:])
	count := binary.LittleEndian.Uint32(info[startMapCount:])
	if problem := m.readMap(entries, count, at); problem != "" {
		return problem
	}
	if line := binary.LittleEndian.Uint64(info[startCmdline:]); line != 0 {
		return m.readLine(line, at)
	}
	return ""
}

func (m *machine) readLine(addr uint64, at physical) (problem string) {
	for m.length = 0; m.length < maxCmdline; m.length++ {
		c := at(addr+uint64(m.length), 1)
		if c == nil {
			m.length = 0
			return "the command line is not in memory"
		}
		if c[0] == 0 {
			return ""
		}
		m.cmdline[m.length] = c[0]
	}
	m.length = 0
	return "the command line is longer than 4,096 bytes"
}

// readMap makes free pages of the memory map: RAM, except for what another entry claims.
func (m *machine) readMap(addr uint64, count uint32, at physical) (problem string) {
	if count == 0 {
		return "the memory map is empty"
	}
	if count > maxRegions {
		return "the memory map has more than 128 entries"
	}
	entries := at(addr, uint64(count)*mapEntry)
	if entries == nil {
		return "the memory map is not in memory"
	}
	for i := range int(count) {
		e := entries[i*mapEntry:]
		lo, size := binary.LittleEndian.Uint64(e), binary.LittleEndian.Uint64(e[mapSize:])
		if lo > maxAddress || size > maxAddress-lo {
			return "the memory map has an entry beyond all addresses"
		}
		if binary.LittleEndian.Uint32(e[mapType:]) != mapRAM {
			continue
		}
		hi := (lo + size) &^ (pageSize - 1)
		lo = max((lo+pageSize-1)&^(pageSize-1), lowMemory)
		if lo < hi && !m.ram.add(lo, hi) {
			return "the memory map has two entries for the same memory"
		}
	}
	for i := range int(count) {
		e := entries[i*mapEntry:]
		lo, size := binary.LittleEndian.Uint64(e), binary.LittleEndian.Uint64(e[mapSize:])
		if binary.LittleEndian.Uint32(e[mapType:]) != mapRAM && size != 0 {
			m.ram.take(lo&^(pageSize-1), (lo+size+pageSize-1)&^(pageSize-1))
		}
	}
	if m.ram.n == 0 {
		return "the memory map has no memory"
	}
	m.memory = m.ram
	m.memory.take(runtimeReach, maxAddress)
	return ""
}
