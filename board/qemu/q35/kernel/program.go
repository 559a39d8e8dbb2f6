//go:build !tamago

package kernel

import (
	"bytes"
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"slices"

	"tamaccid/board/qemu/q35/internal/bootinfo"
)

const (
	pageSize = 4096
	// lowest is the first address above the memory that firmware and loaders use.
	lowest = 1 << 20
	// highest bounds a program (policy): no device is below it.
	highest = 1 << 30
)

// A program is what must be in memory when it starts.
type program struct {
	entry    uint64
	segments []segment // ascending, no two on one page
}

// A segment is a run of memory with one protection; what lies behind data is zero.
type segment struct {
	addr, size uint64
	data       []byte
	flags      elf.ProgFlag
}

func (s *segment) end() uint64 { return s.addr + s.size }

func pageDown(n uint64) uint64 { return n &^ (pageSize - 1) }
func pageUp(n uint64) uint64   { return pageDown(n + pageSize - 1) }

// readProgram reads and checks an ELF file.
func readProgram(b []byte) (*program, error) {
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	if f.Class != elf.ELFCLASS64 || f.Data != elf.ELFDATA2LSB || f.Machine != elf.EM_X86_64 {
		return nil, fmt.Errorf("%v %v %v is not an x86-64 program", f.Class, f.Data, f.Machine)
	}
	if f.Type != elf.ET_EXEC {
		return nil, fmt.Errorf("%v is not linked for a fixed address (-buildmode=exe)", f.Type)
	}
	p := &program{entry: f.Entry}
	for _, ph := range f.Progs {
		switch ph.Type {
		case elf.PT_INTERP, elf.PT_DYNAMIC:
			return nil, errors.New("the program needs a dynamic linker")
		case elf.PT_LOAD:
			if ph.Memsz == 0 {
				continue
			}
			s, err := readSegment(ph, uint64(len(b)))
			if err != nil {
				return nil, err
			}
			p.segments = append(p.segments, s)
		}
	}
	return p, p.check()
}

func readSegment(ph *elf.Prog, file uint64) (s segment, err error) {
	if ph.Vaddr < lowest || ph.Vaddr > highest || ph.Memsz > highest-ph.Vaddr {
		return s, fmt.Errorf("a segment of %#x bytes at %#x is not between %#x and %#x", ph.Memsz,
			ph.Vaddr, lowest, highest)
	}
	if ph.Filesz > ph.Memsz || ph.Off > file || ph.Filesz > file-ph.Off {
		return s, fmt.Errorf("the segment at %#x is not in the file", ph.Vaddr)
	}
	if ph.Flags&elf.PF_W != 0 && ph.Flags&elf.PF_X != 0 {
		return s, fmt.Errorf("the segment at %#x is writable and executable", ph.Vaddr)
	}
	s = segment{addr: ph.Vaddr, size: ph.Memsz, data: make([]byte, ph.Filesz), flags: ph.Flags}
	_, err = io.ReadFull(ph.Open(), s.data)
	return s, err
}

// check sorts the segments and checks that they fit together.
func (p *program) check() error {
	if len(p.segments) == 0 {
		return errors.New("the program has no segments")
	}
	if len(p.segments) > bootinfo.MaxSegments {
		return fmt.Errorf("%d segments are more than %d", len(p.segments), bootinfo.MaxSegments)
	}
	slices.SortFunc(p.segments, func(a, b segment) int { return cmp.Compare(a.addr, b.addr) })
	executable := false
	for i := range p.segments {
		s := &p.segments[i]
		if i > 0 && pageUp(p.segments[i-1].end()) > pageDown(s.addr) {
			return fmt.Errorf("the segments at %#x and %#x share a page", p.segments[i-1].addr,
				s.addr)
		}
		if s.flags&elf.PF_X != 0 && p.entry >= s.addr && p.entry-s.addr < uint64(len(s.data)) {
			executable = true
		}
	}
	if !executable {
		return fmt.Errorf("the entry point %#x is not in the program's text", p.entry)
	}
	return nil
}
