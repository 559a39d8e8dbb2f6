//go:build !tamago

package image

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"debug/pe"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

// goHeaders is where Go links the ELF header of a position-independent program; its code starts a
// page above.
const goHeaders = 0x400000

func mustLoad(t *testing.T, img []byte, base uint64) *loaded {
	t.Helper()
	l, err := load(img, base)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func openELF(t *testing.T, b []byte) *elf.File {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestGoProgramKeepsEveryPointerAtAnyAddress(t *testing.T) {
	program := pie(t)
	img := mustConvert(t, program)
	low, high := mustLoad(t, img, lowBase), mustLoad(t, img, highBase)

	rela, err := openELF(t, program).Section(".rela").Data()
	if err != nil {
		t.Fatal(err)
	}
	if got := len(rela) / 24; got != len(low.fixups) || got < 1000 {
		t.Fatalf("%d relocations in the ELF file, %d in the image", got, len(low.fixups))
	}
	for ; len(rela) > 0; rela = rela[24:] {
		at := binary.LittleEndian.Uint64(rela) - goHeaders
		target := binary.LittleEndian.Uint64(rela[16:]) - goHeaders
		for _, l := range []*loaded{low, high} {
			if got := binary.LittleEndian.Uint64(l.memory[at:]); got != l.base+target {
				t.Fatalf("pointer at %#x of the image at %#x is %#x, want %#x", at, l.base, got,
					l.base+target)
			}
		}
	}
	for _, at := range low.fixups {
		clear(low.memory[at : at+8])
		clear(high.memory[at : at+8])
	}
	if !bytes.Equal(low.memory, high.memory) {
		t.Error("images at two addresses differ in more than their pointers")
	}
}

func TestGoProgramKeepsEverySectionThatItUses(t *testing.T) {
	program := pie(t)
	l := mustLoad(t, mustConvert(t, program), lowBase)
	kept := []string{".text", ".rodata", ".gopclntab", ".data.rel.ro", ".data.rel.ro.typelink",
		".data.rel.ro.itablink",
		".go.buildinfo", ".go.module", ".noptrdata", ".data", ".bss", ".noptrbss"}
	relocated := make([]bool, len(l.memory))
	for _, at := range l.fixups {
		for i := range uint32(8) {
			relocated[at+i] = true
		}
	}
	for _, s := range openELF(t, program).Sections {
		if !slices.Contains(kept, s.Name) {
			continue
		}
		kept = slices.DeleteFunc(kept, func(name string) bool { return name == s.Name })
		want := make([]byte, s.Size) // zero for SHT_NOBITS
		if s.Type != elf.SHT_NOBITS {
			if _, err := s.ReadAt(want, 0); err != nil {
				t.Fatal(err)
			}
		}
		for i, b := range want {
			if at := s.Addr - goHeaders + uint64(i); l.memory[at] != b && !relocated[at] {
				t.Fatalf("%s: byte at %#x is %#x, want %#x", s.Name, at, l.memory[at], b)
			}
		}
	}
	if len(kept) > 0 {
		t.Errorf("Go's linker made no %q: does the test still cover everything?", kept)
	}
}

func TestGoProgramLeavesLinkTablesOut(t *testing.T) {
	program := pie(t)
	img := mustConvert(t, program)
	l := mustLoad(t, img, lowBase)
	for _, name := range []string{".rela", ".hash", ".dynamic", ".note.go.buildid", ".interp"} {
		s := openELF(t, program).Section(name)
		data, err := s.Data()
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(img, data) {
			t.Errorf("%s is in the image file", name)
		}
		if at := s.Addr - goHeaders; at >= 0x1000 && bytes.Contains(l.memory[at:at+s.Size], data) {
			t.Errorf("%s is in memory", name)
		}
	}
	if saved := openELF(t,
		program).Section(".rela").Size; uint64(len(img))+saved/2 > uint64(len(program)) {
		t.Errorf("image file has %d bytes, the ELF file %d of which %d are relocations", len(img),
			len(program), saved)
	}
	// Their memory is put to use.
	if l.file.Section(".reloc").VirtualAddress > l.file.Section(".data").VirtualAddress {
		t.Error("the base relocation table does not lie where the ELF file's relocations were")
	}
}

func TestGoProgramIsProtected(t *testing.T) {
	program := pie(t)
	l := mustLoad(t, mustConvert(t, program), lowBase)
	f := openELF(t, program)
	for _, row := range []struct{ section, protection string }{
		{".text", "r-x"},
		{".rodata", "r--"},
		{".gopclntab", "r--"},
		{".data.rel.ro", "r--"},
		{".data.rel.ro.typelink", "r--"},
		{".data", "rw-"},
		{".noptrbss", "rw-"},
	} {
		rva := uint32(f.Section(row.section).Addr - goHeaders)
		i := slices.IndexFunc(l.file.Sections,
			func(s *pe.Section) bool {
				return rva >= s.VirtualAddress &&
					rva < s.VirtualAddress+s.VirtualSize
			})
		if got := protection(l.file.Sections[i].Characteristics); got != row.protection {
			t.Errorf("%s is %s, want %s", row.section, got, row.protection)
		}
	}
	if want := uint32(f.Entry - goHeaders); l.header.AddressOfEntryPoint != want {
		t.Errorf("entry point is %#x, want %#x", l.header.AddressOfEntryPoint, want)
	}
}

func TestSymbolsNeverReachTheImage(t *testing.T) {
	img := mustConvert(t, goBuild(t, "-buildmode=pie"))
	mustLoad(t, img, lowBase)
	if bare := mustConvert(t, pie(t)); len(img) > len(bare)+4096 {
		t.Errorf("%d bytes from a program with symbols, %d without", len(img), len(bare))
	}
}

func TestSameProgramGivesSameImage(t *testing.T) {
	program := pie(t)
	before := bytes.Clone(program)
	a, b := mustConvert(t, program), mustConvert(t, program)
	if !bytes.Equal(a, b) {
		t.Error("two conversions of one file differ")
	}
	if !bytes.Equal(program, before) {
		t.Error("conversion changed its argument")
	}
}

func TestSubsystemIsTheOneAskedFor(t *testing.T) {
	program := pie(t)
	for _, s := range []Subsystem{Application, BootServiceDriver} {
		options := testOptions
		options.Subsystem = s
		img, err := Convert(program, options)
		if err != nil {
			t.Fatal(err)
		}
		if got := mustLoad(t, img, lowBase).header.Subsystem; got != uint16(s) {
			t.Errorf("subsystem %d, want %d", got, s)
		}
	}
	options := testOptions
	options.Subsystem = 12 // a runtime driver would have to survive SetVirtualAddressMap
	if _, err := Convert(program, options); err == nil {
		t.Error("a runtime driver was accepted")
	}
}

func TestFixedProgramKeepsItsAddress(t *testing.T) {
	program := goBuild(t, "-ldflags=-s -w -T 0x10001000 -R 0x1000")
	l := mustLoad(t, mustConvert(t, program), 0x10000000)
	if !l.stripped() || l.header.ImageBase != 0x10000000 {
		t.Errorf("image base %#x, characteristics %#x", l.header.ImageBase, l.file.Characteristics)
	}
	for _, name := range []string{".text", ".rodata", ".data"} {
		s := openELF(t, program).Section(name)
		want, err := s.Data()
		if err != nil {
			t.Fatal(err)
		}
		if at := s.Addr - 0x10000000; !bytes.Equal(l.memory[at:at+s.Size], want) {
			t.Errorf("%s is not at its address", name)
		}
	}
}

func TestErrorForAFixedProgramWithoutRoomForHeadersHasTheLinkOption(t *testing.T) {
	_, err := Convert(goBuild(t, "-ldflags=-s -w -T 0x10010000 -R 0x1000"), testOptions)
	if err == nil || !strings.Contains(err.Error(), "link with -T") {
		t.Errorf("error is %v", err)
	}
}

func TestGoVersionReadsTheImage(t *testing.T) {
	info, err := buildinfo.Read(bytes.NewReader(mustConvert(t, pie(t))))
	if err != nil {
		t.Fatal(err)
	}
	if info.Path != "tamaccid/uefi/image/testdata/hello" {
		t.Errorf("path %q", info.Path)
	}
}
