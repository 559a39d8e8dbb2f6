package image

import (
	"bytes"
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"slices"
)

const (
	// pageSize is the unit of memory protection ([UEFI], 2.3.4: 4 KiB pages).
	pageSize = 0x1000

	// maxSpan bounds the memory of a program. It is policy, half of what the small code model
	// reaches ([ELF] AMD64 supplement, 3.5.1), so that with its relocations the image stays below 4
	// GiB, where RVAs end.
	maxSpan = 1 << 30

	// maxAddress keeps sums of addresses and sizes far from overflow; it is the upper end of the
	// canonical lower half.
	maxAddress = 1 << 47

	// maxSegments is policy: Go makes four.
	maxSegments = 16
)

// A program is the part of an ELF file that is used at run time.
type program struct {
	machine     *machine
	fixed       bool      // linked for one address, not relocatable
	entry       uint64    // address of the first instruction
	start       uint64    // first page that is needed at run time
	segments    []segment // ascending, no two on the same page, none before start
	discarded   []span    // ascending; zeroed in segments
	relocations []relocation
}

// A segment is a run of memory with one protection. Memory after data, up to size, is zero.
type segment struct {
	addr       uint64
	size       uint64
	data       []byte // owned by the program, len(data) <= size
	writable   bool
	executable bool
	relocated  bool // PT_GNU_RELRO: constant once relocated
}

func (s *segment) end() uint64 { return s.addr + s.size }

func (s *segment) String() string { return fmt.Sprintf("segment %#x-%#x", s.addr, s.end()) }

// A span is the addresses start <= a < end.
type span struct{ start, end uint64 }

func pageDown(n uint64) uint64 { return n &^ (pageSize - 1) }
func pageUp(n uint64) uint64   { return pageDown(n + pageSize - 1) }

// readProgram reads and checks an ELF file.
func readProgram(b []byte) (*program, error) {
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	m, err := machineOf(f)
	if err != nil {
		return nil, err
	}
	p := &program{machine: m, entry: f.Entry}
	switch f.Type {
	case elf.ET_DYN:
	case elf.ET_EXEC:
		p.fixed = true
	default:
		return nil, fmt.Errorf("%v is not an executable", f.Type)
	}
	if err := p.readSegments(f, b); err != nil {
		return nil, err
	}
	if err := p.readDynamic(f, b); err != nil {
		return nil, err
	}
	if err := p.discard(f); err != nil {
		return nil, err
	}
	return p, nil
}

// readSegments fills segments from the program headers ([ELF], chapter 5 "Program Header").
func (p *program) readSegments(f *elf.File, file []byte) error {
	for _, ph := range f.Progs {
		switch {
		case ph.Type == elf.PT_TLS && ph.Filesz != 0:
			return errors.New("initialised thread-local data (PT_TLS): no code sets it up")
		case ph.Type != elf.PT_LOAD || ph.Memsz == 0:
			continue
		case len(p.segments) == maxSegments:
			return fmt.Errorf("more than %d loadable segments", maxSegments)
		}
		s, err := readSegment(ph, file)
		if err != nil {
			return err
		}
		p.segments = append(p.segments, s)
	}
	if len(p.segments) == 0 {
		return errors.New("no loadable segment")
	}
	slices.SortFunc(p.segments, func(a, b segment) int { return cmp.Compare(a.addr, b.addr) })
	for i := 1; i < len(p.segments); i++ {
		a, b := &p.segments[i-1], &p.segments[i]
		if pageUp(a.end()) > pageDown(b.addr) {
			return fmt.Errorf("%v and %v overlap or share a page: each needs its own protection", a,
				b)
		}
	}
	if last := &p.segments[len(p.segments)-1]; last.end()-p.segments[0].addr > maxSpan {
		return fmt.Errorf("%v and %v are more than %#x bytes apart", &p.segments[0], last, maxSpan)
	}
	return p.markRelocated(f)
}

func readSegment(ph *elf.Prog, file []byte) (s segment, err error) {
	s = segment{addr: ph.Vaddr, size: ph.Memsz, writable: ph.Flags&elf.PF_W != 0,
		executable: ph.Flags&elf.PF_X != 0}
	if s.addr > maxAddress || s.size > maxSpan {
		return s, fmt.Errorf("segment at %#x of %#x bytes does not fit an image", s.addr, s.size)
	}
	stored, err := fileRange(file, ph.Off, ph.Filesz)
	switch {
	case err != nil:
		return s, fmt.Errorf("%v: %w", &s, err)
	case ph.Filesz > ph.Memsz:
		return s, fmt.Errorf("%v: %#x bytes in the file exceed its memory", &s, ph.Filesz)
	case s.writable && s.executable:
		return s, fmt.Errorf("%v is both writable and executable", &s)
	case ph.Flags&elf.PF_R == 0:
		return s, fmt.Errorf("%v is not readable", &s)
	case s.executable && ph.Filesz != ph.Memsz:
		return s, fmt.Errorf("%v is executable, but not all of it is in the file", &s)
	}
	s.data = bytes.Clone(stored)
	return s, nil
}

// fileRange returns size bytes of the file from offset.
func fileRange(file []byte, offset, size uint64) ([]byte, error) {
	if n := uint64(len(file)); offset > n || size > n-offset {
		return nil, fmt.Errorf("file ends at %#x, within the data at %#x of %#x bytes", n, offset,
			size)
	}
	return file[offset : offset+size], nil
}

// markRelocated takes write permission from the segments that PT_GNU_RELRO covers: firmware
// relocates an image before it sets protections, as the dynamic linker does.
func (p *program) markRelocated(f *elf.File) error {
	for _, ph := range f.Progs {
		if ph.Type != elf.PT_GNU_RELRO || ph.Memsz == 0 {
			continue
		}
		i := slices.IndexFunc(p.segments, func(s segment) bool {
			return s.writable && s.addr == ph.Vaddr && s.size == ph.Memsz
		})
		if i < 0 {
			return fmt.Errorf("PT_GNU_RELRO %#x of %#x bytes is not one whole writable segment",
				ph.Vaddr, ph.Memsz)
		}
		p.segments[i].writable = false
		p.segments[i].relocated = true
	}
	return nil
}

// bytesAt returns the stored bytes of a run of memory, which must lie within one segment.
func (p *program) bytesAt(addr, size uint64) ([]byte, error) {
	for i := range p.segments {
		s := &p.segments[i]
		if addr < s.addr || addr >= s.end() {
			continue
		}
		return fileRange(s.data, addr-s.addr, size)
	}
	return nil, fmt.Errorf("address %#x is in no segment", addr)
}
