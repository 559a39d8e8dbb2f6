package image

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
)

// testOptions are good options.
var testOptions = Options{
	Subsystem: BootServiceDriver,
	SBAT: SBAT{Component: "test", Generation: 1, Vendor: "vendor", Package: "package",
		Version: "1.0", URL: "https://example.org"},
}

// A synthetic program is a small ELF file in which a test can break one thing at a time. Each part
// is stored at the file offset that is its address, as Go's linker does it.
type synthetic struct {
	header   elf.Header64
	segments []elf.Prog64
	sections []synthSection
	contents []synthContent
}

type synthSection struct {
	name string
	elf.Section64
}

type synthContent struct {
	offset uint64
	data   []byte
}

// Addresses in a synthetic program.
const (
	synthText    = 0x1000
	synthConst   = 0x2000
	synthRela    = 0x2100
	synthRelro   = 0x3000
	synthDynamic = 0x3100
	synthData    = 0x4000
	synthStrings = 0x5000 // section names and headers: not in memory
	synthEnd     = 0x6000
	synthBSS     = 0x800
)

// newSynthetic is a good program with two relocations, in relocated constants and in data.
func newSynthetic() *synthetic {
	load := func(addr, fileSize, memory uint64, flags elf.ProgFlag) elf.Prog64 {
		return elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(flags), Off: addr, Vaddr: addr,
			Filesz: fileSize, Memsz: memory, Align: 0x1000}
	}
	section := func(name string, kind elf.SectionType, flags elf.SectionFlag, addr,
		size uint64) synthSection {
		return synthSection{name, elf.Section64{Type: uint32(kind),
			Flags: uint64(flags | elf.SHF_ALLOC), Addr: addr, Off: addr, Size: size}}
	}
	s := &synthetic{
		header: elf.Header64{Type: uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Version: 1,
			Entry: synthText + 4},
		segments: []elf.Prog64{
			load(0, synthText+16, synthText+16, elf.PF_R|elf.PF_X),
			load(synthConst, 0x130, 0x130, elf.PF_R),
			load(synthRelro, 0x160, 0x160, elf.PF_R|elf.PF_W),
			load(synthData, 0x40, 0x40+synthBSS, elf.PF_R|elf.PF_W),
			{Type: uint32(elf.PT_GNU_RELRO), Off: synthRelro, Vaddr: synthRelro, Filesz: 0x160,
				Memsz: 0x160},
			{Type: uint32(elf.PT_DYNAMIC), Off: synthDynamic, Vaddr: synthDynamic, Filesz: 0x60,
				Memsz: 0x60},
			{Type: uint32(elf.PT_TLS), Flags: uint32(elf.PF_R), Memsz: 8},
		},
		sections: []synthSection{
			section(".text", elf.SHT_PROGBITS, elf.SHF_EXECINSTR, synthText, 16),
			section(".rodata", elf.SHT_PROGBITS, 0, synthConst, 0x100),
			section(".rela", elf.SHT_RELA, 0, synthRela, 0x30),
			section(".data.rel.ro", elf.SHT_PROGBITS, elf.SHF_WRITE, synthRelro, 0x100),
			section(".dynamic", elf.SHT_DYNAMIC, elf.SHF_WRITE, synthDynamic, 0x60),
			section(".data", elf.SHT_PROGBITS, elf.SHF_WRITE, synthData, 0x40),
			section(".bss", elf.SHT_NOBITS, elf.SHF_WRITE, synthData+0x40, synthBSS),
			section(".tbss", elf.SHT_NOBITS, elf.SHF_WRITE|elf.SHF_TLS, 0, 8),
		},
	}
	s.put(synthText, bytes.Repeat([]byte{0x90}, 16))
	s.put(synthConst, []byte("constant"))
	s.put(synthData, []byte("variable"))
	s.setRelocations(
		elf.Rela64{Off: synthRelro + 8, Info: uint64(elf.R_X86_64_RELATIVE), Addend: synthConst},
		elf.Rela64{Off: synthData + 16, Info: uint64(elf.R_X86_64_RELATIVE), Addend: synthText + 4},
	)
	s.setDynamic(elf.DT_RELA, synthRela, elf.DT_RELASZ, 0x30, elf.DT_RELAENT, 24)
	return s
}

// put stores bytes over what was there.
func (s *synthetic) put(offset uint64, data []byte) {
	s.contents = append(s.contents, synthContent{offset, data})
}

func (s *synthetic) setRelocations(entries ...elf.Rela64) {
	s.put(synthRela, appendStruct(nil, entries))
}

// setDynamic takes pairs of tag and value; DT_NULL follows them.
func (s *synthetic) setDynamic(pairs ...elf.DynTag) {
	var b []byte
	for _, x := range append(pairs, elf.DT_NULL, 0) {
		b = binary.LittleEndian.AppendUint64(b, uint64(x))
	}
	s.put(synthDynamic, b)
}

func (s *synthetic) bytes() []byte {
	names := []byte{0}
	rows := []elf.Section64{{}}
	for _, x := range s.sections {
		x.Name = uint32(len(names))
		names = append(append(names, x.name...), 0)
		rows = append(rows, x.Section64)
	}
	rows = append(rows, elf.Section64{Type: uint32(elf.SHT_STRTAB), Off: synthStrings,
		Size: uint64(len(names))})

	h := s.header
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64),
		byte(elf.ELFDATA2LSB), 1
	h.Ehsize, h.Phoff, h.Phentsize, h.Phnum = 64, 64, 56, uint16(len(s.segments))
	h.Shoff, h.Shentsize, h.Shnum, h.Shstrndx = synthStrings+0x200, 64, uint16(len(rows)),
		uint16(len(rows)-1)

	b := make([]byte, synthEnd)
	copy(b, appendStruct(appendStruct(nil, &h), s.segments))
	for _, c := range s.contents {
		copy(b[c.offset:], c.data)
	}
	copy(b[synthStrings:], names)
	copy(b[h.Shoff:], appendStruct(nil, rows))
	return b
}
