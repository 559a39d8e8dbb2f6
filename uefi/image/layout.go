package image

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Section flags ([PE], "Section Flags").
const (
	flagsCode    = pe.IMAGE_SCN_CNT_CODE | pe.IMAGE_SCN_MEM_EXECUTE | pe.IMAGE_SCN_MEM_READ
	flagsConst   = pe.IMAGE_SCN_CNT_INITIALIZED_DATA | pe.IMAGE_SCN_MEM_READ
	flagsData    = flagsConst | pe.IMAGE_SCN_MEM_WRITE
	flagsReloc   = flagsConst | pe.IMAGE_SCN_MEM_DISCARDABLE
	flagsSBAT    = flagsConst
	flagsContent = pe.IMAGE_SCN_CNT_CODE | pe.IMAGE_SCN_CNT_INITIALIZED_DATA |
		pe.IMAGE_SCN_CNT_UNINITIALIZED_DATA
)

const (
	// firstRVA is where sections start: one page is more than the headers need, and the least that
	// keeps them apart ([PE], "Section Table": sections are adjacent and multiples of
	// SectionAlignment).
	firstRVA = pageSize

	// imageBaseUnit is what the preferred address must be a multiple of ([PE], ImageBase).
	imageBaseUnit = 0x10000
)

// A section is one row of the section table, with its data.
type section struct {
	name  string
	flags uint32
	rva   uint32
	size  uint32 // in memory
	data  []byte // in the file; the rest of the memory is zero
}

func (s *section) end() uint32 { return s.rva + s.size }

// A file is a PE32+ image before it is written.
type file struct {
	subsystem   Subsystem
	machine     uint16 // [PE], "Machine Types"
	base        uint64 // preferred address
	fixed       bool   // and the only one
	entry       uint32
	sections    []section
	fixups      []uint32 // RVAs of 64-bit pointers, ascending
	relocations span     // RVAs of the base relocation table
}

// layout gives every segment its section, and every pointer the value it has at the preferred
// address.
func layout(p *program) (*file, error) {
	f := &file{machine: p.machine.pe, fixed: p.fixed}
	if p.fixed {
		if p.start < firstRVA || (p.start-firstRVA)%imageBaseUnit != 0 {
			return nil, fmt.Errorf("the first page is linked for %#x: "+
				"link with -T so that it is %#x above a multiple of %#x",
				p.start, firstRVA, imageBaseUnit)
		}
		f.base = p.start - firstRVA
	}
	for i := range p.segments {
		f.sections = append(f.sections, newSection(p, &p.segments[i]))
	}
	if err := f.setEntry(p); err != nil {
		return nil, err
	}
	for _, r := range p.relocations {
		if err := f.relocate(p, r); err != nil {
			return nil, fmt.Errorf("relocation of %#x: %w", r.where, err)
		}
	}
	for i := range f.sections {
		f.sections[i].cut(p)
		f.sections[i].trim()
	}
	return f, nil
}

// rva is the place of an ELF address in the image; the address must not lie before the program's
// start.
func (p *program) rva(addr uint64) uint32 { return uint32(addr - p.start + firstRVA) }

func newSection(p *program, s *segment) section {
	// Sections begin on a page, segments need not: what comes before in the page is zero.
	page := pageDown(s.addr)
	lead := s.addr - page
	out := section{rva: p.rva(page), size: uint32(lead + s.size), data: s.data}
	if lead > 0 {
		out.data = append(make([]byte, lead), s.data...)
	}
	switch {
	case s.executable:
		out.name, out.flags = ".text", flagsCode
	case s.writable:
		out.name, out.flags = ".data", flagsData
	case s.relocated:
		out.name, out.flags = ".relro", flagsConst
	default:
		out.name, out.flags = ".rodata", flagsConst
	}
	return out
}

// closeHoles makes sections adjacent, which strict loaders ask for ([PE], "Section Table"):
// read-only zeros, which take no room in the file, fill the memory that no segment has.
func (f *file) closeHoles() {
	var out []section
	next := uint32(firstRVA)
	for _, s := range f.sections {
		if s.rva > next {
			out = append(out, section{name: ".hole", flags: flagsConst, rva: next,
				size: s.rva - next})
		}
		out = append(out, s)
		next = uint32(pageUp(uint64(s.end())))
	}
	f.sections = out
}

// setEntry checks that the program starts with code that is in the file.
func (f *file) setEntry(p *program) error {
	for _, s := range p.segments {
		if s.executable && p.entry >= s.addr && p.entry < s.end() && !p.insideDiscarded(p.entry) {
			f.entry = p.rva(p.entry)
			return nil
		}
	}
	return fmt.Errorf("entry point %#x is not in code", p.entry)
}

// relocate stores a pointer as its value at the preferred address and notes its place.
func (f *file) relocate(p *program, r relocation) error {
	last := &p.segments[len(p.segments)-1]
	switch {
	case r.target < p.start || r.target > last.end():
		return fmt.Errorf("it points to %#x, outside of the program", r.target)
	case p.insideDiscarded(r.target):
		return fmt.Errorf("it points to %#x, which is left out of the image", r.target)
	case r.where < p.start || r.where >= last.end():
		return errors.New("it is outside of the program")
	}
	rva := p.rva(r.where)
	for i := range f.sections {
		s := &f.sections[i]
		if rva < s.rva || rva >= s.end() {
			continue
		}
		offset := rva - s.rva
		if uint64(offset)+pointerSize > uint64(len(s.data)) {
			return errors.New("its place is not in the file")
		}
		binary.LittleEndian.PutUint64(s.data[offset:], f.base+uint64(p.rva(r.target)))
		f.fixups = append(f.fixups, rva)
		return nil
	}
	return errors.New("it is between segments")
}

// trim leaves the zeros at the end of data out of the file. Code stays whole: firmware takes its
// size in the file for the memory to make executable.
func (s *section) trim() {
	if s.flags&pe.IMAGE_SCN_CNT_CODE != 0 {
		return
	}
	s.data = bytes.TrimRight(s.data, "\x00")
	if len(s.data) == 0 {
		s.flags = s.flags&^flagsContent | pe.IMAGE_SCN_CNT_UNINITIALIZED_DATA
	}
}

// cut takes whole pages at the end of a section that were discarded out of the image. The ELF
// file's relocations, a tenth of the program, are such an end.
func (s *section) cut(p *program) {
	for _, d := range p.discarded {
		from := uint32(pageUp(uint64(p.rva(d.start))))
		if d.start >= p.start && p.rva(d.end) >= s.end() && from > s.rva && from < s.end() {
			s.size = from - s.rva
			s.data = s.data[:min(uint32(len(s.data)), s.size)]
		}
	}
}

// addSection adds a section in the first hole that is large enough, or behind the last one, and
// returns its place.
func (f *file) addSection(name string, flags uint32, data []byte) span {
	s := section{name: name, flags: flags, size: uint32(len(data)), data: data}
	i := 0
	for s.rva = firstRVA; i < len(f.sections); i++ {
		if uint64(s.end()) <= uint64(f.sections[i].rva) {
			break
		}
		s.rva = uint32(pageUp(uint64(f.sections[i].end())))
	}
	f.sections = slices.Insert(f.sections, i, s)
	return span{uint64(s.rva), uint64(s.end())}
}
