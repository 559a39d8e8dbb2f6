package image

import (
	"cmp"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

const (
	dynSize  = 16 // Elf64_Dyn: d_tag, d_un ([ELF], chapter 5 "Dynamic Section")
	relaSize = 24 // Elf64_Rela: r_offset, r_info, r_addend ([ELF], chapter 4 "Relocation")

	// pointerSize is the size of a relocated pointer ([ELF] AMD64 supplement, 4.4.1: word64).
	pointerSize = 8
)

// Tags that debug/elf does not name ([ELF] gABI 4.3, "Dynamic Section").
const dtRelrSize elf.DynTag = 35

// A relocation is a pointer at address where that holds the address target.
type relocation struct{ where, target uint64 }

// unwanted are dynamic entries whose non-zero value requires a dynamic linker, which firmware does
// not have.
var unwanted = map[elf.DynTag]string{
	elf.DT_NEEDED:          "a shared library",
	elf.DT_RELSZ:           "relocations without addends",
	elf.DT_PLTRELSZ:        "functions of a shared library",
	dtRelrSize:             "packed relocations",
	elf.DT_INIT:            "an initialisation function",
	elf.DT_FINI:            "a termination function",
	elf.DT_INIT_ARRAYSZ:    "initialisation functions",
	elf.DT_FINI_ARRAYSZ:    "termination functions",
	elf.DT_PREINIT_ARRAYSZ: "initialisation functions",
}

// readDynamic reads the relocations that PT_DYNAMIC leads to.
func (p *program) readDynamic(f *elf.File, file []byte) error {
	table, err := dynamicTable(f, file)
	if err != nil {
		return fmt.Errorf("PT_DYNAMIC: %w", err)
	}
	addr, size, err := relocationTable(table)
	if err != nil || size == 0 {
		return err
	}
	if p.fixed {
		return errors.New("a program for a fixed address has relocations")
	}
	entries, err := p.bytesAt(addr, size)
	if err != nil {
		return fmt.Errorf("relocations: %w", err)
	}
	return p.readRelocations(entries)
}

// dynamicTable returns the dynamic section, empty when there is none.
func dynamicTable(f *elf.File, file []byte) (table []byte, err error) {
	found := false
	for _, ph := range f.Progs {
		if ph.Type != elf.PT_DYNAMIC {
			continue
		}
		if found {
			return nil, errors.New("there is more than one")
		}
		found = true
		if table, err = fileRange(file, ph.Off, ph.Filesz); err != nil {
			return nil, err
		}
	}
	return table, nil
}

// relocationTable returns where the relocations are. Any other requirement of a dynamic section is
// an error.
func relocationTable(table []byte) (addr, size uint64, err error) {
	for i := 0; i+dynSize <= len(table); i += dynSize {
		tag := elf.DynTag(binary.LittleEndian.Uint64(table[i:]))
		value := binary.LittleEndian.Uint64(table[i+8:])
		if what, bad := unwanted[tag]; bad && value != 0 {
			return 0, 0, fmt.Errorf("the program needs %s (%v)", what, tag)
		}
		switch tag {
		case elf.DT_NULL:
			return addr, size, nil
		case elf.DT_RELA:
			addr = value
		case elf.DT_RELASZ:
			size = value
		case elf.DT_RELAENT:
			if value != relaSize {
				return 0, 0, fmt.Errorf("relocation entries are %d bytes, want %d", value, relaSize)
			}
		}
	}
	return addr, size, nil
}

// readRelocations fills relocations, ascending.
func (p *program) readRelocations(entries []byte) error {
	if len(entries)%relaSize != 0 {
		return fmt.Errorf("%d bytes of relocations are not whole entries", len(entries))
	}
	p.relocations = make([]relocation, 0, len(entries)/relaSize)
	for ; len(entries) > 0; entries = entries[relaSize:] {
		where := binary.LittleEndian.Uint64(entries)
		info := binary.LittleEndian.Uint64(entries[8:])
		target := binary.LittleEndian.Uint64(entries[16:])
		// r_info: symbol in the upper half, type in the lower ([ELF], chapter 4 "Relocation").
		if kind, symbol := uint32(info), info>>32; kind != p.machine.relative || symbol != 0 {
			return fmt.Errorf("relocation of %#x has type %d and symbol %d, want %s without symbol",
				where, kind, symbol, p.machine.relativeName)
		}
		p.relocations = append(p.relocations, relocation{where, target})
	}
	slices.SortFunc(p.relocations,
		func(a, b relocation) int { return cmp.Compare(a.where, b.where) })
	for i := 1; i < len(p.relocations); i++ {
		if a, b := p.relocations[i-1].where, p.relocations[i].where; b-a < pointerSize {
			return fmt.Errorf("relocations of %#x and %#x overlap", a, b)
		}
	}
	return nil
}
