package image

import (
	"debug/elf"
	"encoding/binary"
	"strings"
	"testing"
)

func TestSyntheticProgramIsConverted(t *testing.T) {
	img, err := Convert(newSynthetic().bytes(), testOptions)
	if err != nil {
		t.Fatal(err)
	}
	l, err := load(img, lowBase)
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[int]uint64{synthRelro + 8: lowBase + synthConst, synthData +
		16: lowBase + synthText + 4} {
		if got := binary.LittleEndian.Uint64(l.memory[at:]); got != want {
			t.Errorf("pointer at %#x is %#x, want %#x", at, got, want)
		}
	}
}

func TestUnusualProgramsAreConverted(t *testing.T) {
	relative := uint64(elf.R_X86_64_RELATIVE)
	for _, row := range []struct {
		name   string
		change func(*synthetic)
		check  func(*loaded) bool
	}{
		{
			name: "a hole between segments takes the image's own sections, and zeros",
			change: func(s *synthetic) {
				s.segments[3].Vaddr += 0x7000
				s.sections[5].Addr += 0x7000
				s.sections[6].Addr += 0x7000
				s.setRelocations(elf.Rela64{Off: synthRelro, Info: relative, Addend: synthConst},
					elf.Rela64{Off: synthData + 0x7000, Info: relative, Addend: synthConst})
			},
			check: func(l *loaded) bool {
				s, r, b := l.file.Section(".hole"), l.file.Section(".reloc"),
					l.file.Section(".sbat")
				return s.VirtualSize == 0x5000 && s.Size == 0 &&
					r.VirtualAddress < s.VirtualAddress && b.VirtualAddress < s.VirtualAddress
			},
		},
		{
			name:   "a segment that is not page aligned starts with zeros",
			change: func(s *synthetic) { s.segments[1].Vaddr += 8; s.segments[1].Off += 8 },
			check: func(l *loaded) bool {
				return string(l.memory[synthConst:synthConst+8]) == strings.Repeat("\x00", 8)
			},
		},
		{
			name:   "no relocations leave one block of padding",
			change: func(s *synthetic) { s.setDynamic(elf.DT_RELASZ, 0) },
			check:  func(l *loaded) bool { return len(l.fixups) == 0 && l.relocAt.Size == 12 },
		},
		{
			name: "data that is all zero is not in the file",
			change: func(s *synthetic) {
				s.put(synthData, make([]byte, 0x40))
				s.setRelocations(elf.Rela64{Off: synthRelro, Info: relative, Addend: synthConst},
					elf.Rela64{Off: synthRelro + 8, Info: relative, Addend: synthConst})
			},
			check: func(l *loaded) bool {
				s := l.file.Section(".data")
				return s.Size == 0 &&
					s.Offset == 0
			},
		},
		{
			name: "a pointer may lead to the end of the program",
			change: func(s *synthetic) {
				s.setRelocations(elf.Rela64{Off: synthRelro, Info: relative, Addend: synthConst},
					elf.Rela64{Off: synthRelro + 8, Info: relative, Addend: synthData + 0x40 +
						synthBSS})
			},
			check: func(l *loaded) bool { return len(l.fixups) == 2 },
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newSynthetic()
			row.change(s)
			img, err := Convert(s.bytes(), testOptions)
			if err != nil {
				t.Fatal(err)
			}
			l, err := load(img, highBase)
			if err != nil {
				t.Fatal(err)
			}
			if !row.check(l) {
				t.Errorf("it did not; sections %v", l.file.Sections)
			}
		})
	}
}

func TestWhatAnImageCannotBeIsRefused(t *testing.T) {
	relative := uint64(elf.R_X86_64_RELATIVE)
	relocations := func(entries ...elf.Rela64) func(*synthetic) {
		return func(s *synthetic) { s.setRelocations(entries...) }
	}
	good := elf.Rela64{Off: synthRelro, Info: relative, Addend: synthConst}
	dynamic := func(pairs ...elf.DynTag) func(*synthetic) {
		return func(s *synthetic) { s.setDynamic(pairs...) }
	}
	for _, row := range []struct {
		name   string
		change func(*synthetic)
		want   string // part of the error
	}{
		{"program for another processor",
			func(s *synthetic) { s.header.Machine = uint16(elf.EM_AARCH64) },
			"EM_AARCH64 is not supported"},
		{"object file", func(s *synthetic) { s.header.Type = uint16(elf.ET_REL) },
			"not an executable"},
		{"no loadable segment", func(s *synthetic) { s.segments = s.segments[4:] },
			"no loadable segment"},
		{"more segments than Go ever makes", func(s *synthetic) {
			for range 20 {
				s.segments = append(s.segments, s.segments[0])
			}
		}, "more than 16"},
		{"segment that is writable and executable",
			func(s *synthetic) { s.segments[0].Flags |= uint32(elf.PF_W) },
			"both writable and executable"},
		{"segment that is not readable",
			func(s *synthetic) { s.segments[0].Flags = uint32(elf.PF_X) }, "not readable"},
		{"code that is not in the file", func(s *synthetic) { s.segments[0].Memsz += 8 },
			"not all of it is in the file"},
		{"segment with more file than memory", func(s *synthetic) { s.segments[3].Memsz = 8 },
			"exceed its memory"},
		{"segment behind the end of the file",
			func(s *synthetic) { s.segments[1].Off = synthEnd + 1 }, "file ends"},
		{"segment that ends behind the end of the file",
			func(s *synthetic) { s.segments[1].Off = synthEnd - 8 }, "file ends"},
		{"segment whose file range overflows", func(s *synthetic) { s.segments[1].Off = 1<<64 - 8 },
			""},
		{"segments that overlap", func(s *synthetic) { s.segments[2].Vaddr = synthConst + 8 },
			"overlap or share a page"},
		{"segments on one page", func(s *synthetic) { s.segments[2].Vaddr = synthConst + 0x200 },
			"overlap or share a page"},
		{"segment at an address that no processor has",
			func(s *synthetic) { s.segments[3].Vaddr = 1<<64 - 0x1000 }, "does not fit an image"},
		{"segment of more memory than an image may have",
			func(s *synthetic) { s.segments[3].Memsz = 1 << 40 }, "does not fit an image"},
		{"segments far apart", func(s *synthetic) { s.segments[3].Vaddr = 1 << 40 }, "apart"},
		{"relocated constants that are not one segment",
			func(s *synthetic) { s.segments[4].Memsz -= 8 }, "PT_GNU_RELRO"},
		{"initialised thread-local data", func(s *synthetic) { s.segments[6].Filesz = 8 },
			"PT_TLS"},
		{"entry point in data", func(s *synthetic) { s.header.Entry = synthData }, "entry point"},
		{"entry point behind the code", func(s *synthetic) { s.header.Entry = synthText + 16 },
			"entry point"},
		{"no sections", func(s *synthetic) { s.sections = nil }, "no section headers"},
		{"section before all segments", func(s *synthetic) {
			s.segments[0].Vaddr, s.segments[0].Off, s.segments[0].Filesz,
				s.segments[0].Memsz = synthText, synthText, 16, 16
			s.sections[0].Addr = 0x10
		}, "no segment holds the section"},
		{"section behind all segments", func(s *synthetic) {
			s.sections = s.sections[:1]
			s.sections[0].Addr = synthData + 0x10000
		}, "no segment holds the section"},
		{"section at an address that no processor has",
			func(s *synthetic) { s.sections[0].Addr = 1<<64 - 8 }, "does not fit an image"},
		{"fixed program with relocations",
			func(s *synthetic) { s.header.Type = uint16(elf.ET_EXEC) },
			"fixed address has relocations"},
		{"dynamic section behind the end of the file",
			func(s *synthetic) { s.segments[5].Off = synthEnd }, "PT_DYNAMIC"},
		{"two dynamic sections", func(s *synthetic) { s.segments[6] = s.segments[5] },
			"more than one"},
		{"shared library", dynamic(elf.DT_NEEDED, 1), "shared library (DT_NEEDED)"},
		{"relocations without addends", dynamic(elf.DT_REL, synthRela, elf.DT_RELSZ, 16),
			"DT_RELSZ"},
		{"packed relocations", dynamic(36, synthRela, 35, 16), "packed relocations"},
		{"procedure linkage", dynamic(elf.DT_PLTRELSZ, 24), "DT_PLTRELSZ"},
		{"initialisation functions", dynamic(elf.DT_INIT_ARRAYSZ, 8), "DT_INIT_ARRAYSZ"},
		{"relocation entries of another size", dynamic(elf.DT_RELAENT, 16), "entries are 16 bytes"},
		{"half a relocation", dynamic(elf.DT_RELA, synthRela, elf.DT_RELASZ, 0x2c),
			"not whole entries"},
		{"relocations in no segment", dynamic(elf.DT_RELA, synthEnd, elf.DT_RELASZ, 0x18),
			"in no segment"},
		{"relocations that leave their segment",
			dynamic(elf.DT_RELA, synthRela, elf.DT_RELASZ, 0x48), "file ends"},
		{"relocations of a size that overflows",
			dynamic(elf.DT_RELA, synthRela, elf.DT_RELASZ, -24), "file ends"},
		{"relocation of another type",
			relocations(elf.Rela64{Off: synthRelro, Info: uint64(elf.R_X86_64_64)}), "type 1 and"},
		{"relocation with a symbol",
			relocations(elf.Rela64{Off: synthRelro, Info: relative | 7<<32}), "symbol 7"},
		{"relocations that overlap", relocations(good,
			elf.Rela64{Off: synthRelro + 4, Info: relative, Addend: synthConst}), "overlap"},
		{"relocation twice", relocations(good, good), "overlap"},
		{"relocation of the ELF header", relocations(good,
			elf.Rela64{Off: 0x40, Info: relative, Addend: synthConst}), "outside of the program"},
		{"relocation behind the program", relocations(good,
			elf.Rela64{Off: synthEnd, Info: relative, Addend: synthConst}),
			"outside of the program"},
		{"relocation at the end of all addresses",
			relocations(good, elf.Rela64{Off: 1<<64 - 4, Info: relative, Addend: synthConst}),
			"outside of the program"},
		{"relocation between segments", relocations(good,
			elf.Rela64{Off: synthConst + 0x800, Info: relative, Addend: synthConst}),
			"between segments"},
		{"relocation of zero-filled memory",
			relocations(good, elf.Rela64{Off: synthData + 0x40, Info: relative,
				Addend: synthConst}), "not in the file"},
		{"relocation across the end of a segment's data",
			relocations(good, elf.Rela64{Off: synthData + 0x3c, Info: relative,
				Addend: synthConst}), "not in the file"},
		{"pointer out of the program", relocations(good,
			elf.Rela64{Off: synthData, Info: relative, Addend: synthEnd}), "points to 0x6000"},
		{"pointer to a negative address",
			relocations(good, elf.Rela64{Off: synthData, Info: relative, Addend: -8}),
			"outside of the program"},
		{"pointer to the ELF header", relocations(good,
			elf.Rela64{Off: synthData, Info: relative, Addend: 0x40}), "outside of the program"},
		{"pointer into the relocations", relocations(good,
			elf.Rela64{Off: synthData, Info: relative, Addend: synthRela + 24}),
			"left out of the image"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newSynthetic()
			row.change(s)
			_, err := Convert(s.bytes(), testOptions)
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("error is %v, want one with %q", err, row.want)
			}
		})
	}
}

func TestTruncatedProgramIsRefused(t *testing.T) {
	whole := newSynthetic().bytes()
	for n := 0; n < synthStrings+0x200; n += 7 {
		if _, err := Convert(whole[:n:n], testOptions); err == nil {
			t.Fatalf("the first %d bytes of a program were accepted", n)
		}
	}
}

// FuzzConvert: whatever the file holds, the answer is an error or an image that follows all rules.
func FuzzConvert(f *testing.F) {
	f.Add(newSynthetic().bytes())
	fixed := newSynthetic()
	fixed.header.Type = uint16(elf.ET_EXEC)
	fixed.setDynamic()
	for i := range fixed.segments {
		fixed.segments[i].Vaddr += 0x400000
	}
	for i := range fixed.sections {
		fixed.sections[i].Addr += 0x400000
	}
	fixed.header.Entry += 0x400000
	f.Add(fixed.bytes())
	f.Add([]byte(elf.ELFMAG))
	f.Fuzz(func(t *testing.T, program []byte) {
		img, err := Convert(program, testOptions)
		if err != nil {
			return
		}
		if s, err := Measure(img); err != nil || s.Image > 64<<20 {
			t.Skip("too large to load here") // zero-filled memory may be up to maxSpan
		}
		if _, err := load(img, highBase); err != nil {
			t.Error(err)
		}
	})
}
