package image

import (
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"slices"
)

// discardedSection reports whether a section is only for the ELF loader and the dynamic linker, and
// has no use in a linked and relocated program.
func discardedSection(s *elf.Section) bool {
	switch s.Type {
	case elf.SHT_RELA, elf.SHT_REL, elf.SHT_DYNAMIC, elf.SHT_DYNSYM, elf.SHT_HASH, elf.SHT_GNU_HASH,
		elf.SHT_STRTAB,
		elf.SHT_NOTE, elf.SHT_GNU_VERNEED, elf.SHT_GNU_VERSYM, elf.SHT_GNU_VERDEF:
		return true
	}
	// Go's linker gives these the type of ordinary data.
	switch s.Name {
	case ".interp", ".gnu.version", ".gnu.version_r":
		return true
	}
	return false
}

// discard zeroes what the image does not need, so that it takes no room in the file where it ends a
// segment, and drops the pages before the first section that is needed: the ELF header's page, as a
// rule.
func (p *program) discard(f *elf.File) error {
	start := uint64(maxAddress)
	var kept []uint64
	for _, s := range f.Sections {
		// .tbss has an address but no memory there (SHF_TLS, [ELF] chapter 4).
		if s.Flags&elf.SHF_ALLOC == 0 || s.Flags&elf.SHF_TLS != 0 || s.Size == 0 {
			continue
		}
		if s.Addr > maxAddress || s.Size > maxSpan {
			return fmt.Errorf("section %q at %#x of %#x bytes does not fit an image", s.Name,
				s.Addr, s.Size)
		}
		if discardedSection(s) {
			p.discarded = append(p.discarded, span{s.Addr, s.Addr + s.Size})
		} else {
			start = min(start, s.Addr)
			kept = append(kept, s.Addr)
		}
	}
	if start == maxAddress {
		return errors.New("no section headers, which list what the program needs at run time")
	}
	p.mergeDiscarded(kept)
	p.dropBefore(pageDown(start))
	if len(p.segments) == 0 || pageDown(p.segments[0].addr) != p.start {
		return fmt.Errorf("no segment holds the section at %#x", start)
	}
	for _, d := range p.discarded {
		p.zero(d)
	}
	return nil
}

// mergeDiscarded sorts the discarded spans and joins neighbours: those without a section between
// them that is kept.
func (p *program) mergeDiscarded(kept []uint64) {
	slices.SortFunc(p.discarded, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	slices.Sort(kept)
	merged := p.discarded[:0]
	for _, d := range p.discarded {
		if n := len(merged); n > 0 {
			if i, _ := slices.BinarySearch(kept, merged[n-1].end); d.start <= merged[n-1].end ||
				i == len(kept) || d.start <= kept[i] {
				merged[n-1].end = max(merged[n-1].end, d.end)
				continue
			}
		}
		merged = append(merged, d)
	}
	p.discarded = merged
}

// dropBefore removes all memory below a page from the program.
func (p *program) dropBefore(page uint64) {
	p.segments = slices.DeleteFunc(p.segments, func(s segment) bool { return s.end() <= page })
	for i := range p.segments {
		s := &p.segments[i]
		if s.addr >= page {
			continue
		}
		n := page - s.addr
		s.data = s.data[min(n, uint64(len(s.data))):]
		s.addr, s.size = page, s.size-n
	}
	p.start = page
}

func (p *program) zero(d span) {
	for i := range p.segments {
		s := &p.segments[i]
		from, to := max(d.start, s.addr), min(d.end, s.addr+uint64(len(s.data)))
		if from < to {
			clear(s.data[from-s.addr : to-s.addr])
		}
	}
}

// insideDiscarded reports whether an address points into something that is not in the image. The
// end of what precedes it and the start of what follows are valid labels, and not inside.
func (p *program) insideDiscarded(addr uint64) bool {
	i, found := slices.BinarySearchFunc(p.discarded, addr,
		func(d span, a uint64) int { return cmp.Compare(d.start, a) })
	return !found && i > 0 && addr < p.discarded[i-1].end
}
