//go:build !tamago

package kernel

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tamaccid/baremetal/cpu/amd64"
	"tamaccid/board/qemu/q35/internal/bootinfo"
)

// source is a program for a fixed address, with text, constants and variables.
const source = `package main

var counter = [...]int{1, 2, 3}

func main() { println("hello", counter[2]) }
`

// build links source as the board's programs are linked.
func build(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	from, to := filepath.Join(dir, "main.go"), filepath.Join(dir, "program")
	if err := os.WriteFile(from, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", to, from)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func open(t *testing.T, b []byte) *elf.File {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func loads(f *elf.File) (list []*elf.Prog) {
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD {
			list = append(list, p)
		}
	}
	return list
}

func content(t *testing.T, p *elf.Prog) []byte {
	t.Helper()
	b := make([]byte, p.Filesz)
	if _, err := p.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAnImageHasTheProgramAndAWayIn(t *testing.T) {
	program := build(t)
	image, err := Make(program)
	if err != nil {
		t.Fatal(err)
	}
	before, after := open(t, program), open(t, image)
	old, now := loads(before), loads(after)
	if len(now) != len(old)+1 {
		t.Fatalf("%d segments of %d", len(now), len(old))
	}
	for i, p := range old {
		q := now[i]
		if q.Vaddr != p.Vaddr || q.Paddr != p.Vaddr || q.Memsz != p.Memsz || q.Flags != p.Flags ||
			!bytes.Equal(content(t, p), content(t, q)) {
			t.Errorf("segment %+v became %+v", p.ProgHeader, q.ProgHeader)
		}
	}
	start := now[len(old)]
	if last := now[len(old)-1]; start.Vaddr%pageSize != 0 || start.Vaddr < last.Vaddr+last.Memsz {
		t.Errorf("the start is at %#x, the program ends at %#x", start.Vaddr, last.Vaddr+last.Memsz)
	}
	checkNote(t, after, start.Vaddr)
	checkTables(t, start.Vaddr, content(t, start))

	var info bootinfo.Table
	if err := binary.Read(bytes.NewReader(content(t, start)[tableAt:]), binary.LittleEndian,
		&info); err != nil {
		t.Fatal(err)
	}
	if info.Count != uint64(len(old)) || info.Start > old[0].Vaddr ||
		info.End != start.Vaddr+start.Memsz {
		t.Errorf("table %+v", info)
	}
	for i, p := range old {
		s := info.Segments[i]
		if s.Start > p.Vaddr || s.End < p.Vaddr+p.Memsz || s.Start%pageSize != 0 ||
			s.End%pageSize != 0 {
			t.Errorf("segment at %#x, %#x bytes: %+v", p.Vaddr, p.Memsz, s)
		}
		if (s.Flags&bootinfo.Executable != 0) != (p.Flags&elf.PF_X != 0) ||
			(s.Flags&bootinfo.Writable != 0) != (p.Flags&elf.PF_W != 0) {
			t.Errorf("flags %v became %#x", p.Flags, s.Flags)
		}
	}
}

// checkNote reads the note as a loader does.
func checkNote(t *testing.T, f *elf.File, entry uint64) {
	t.Helper()
	for _, p := range f.Progs {
		if p.Type != elf.PT_NOTE {
			continue
		}
		n := content(t, p)
		word := func(at int) uint32 { return binary.LittleEndian.Uint32(n[at:]) }
		if len(n) != 24 || word(0) != 4 || word(4) != 8 || word(8) != 18 ||
			string(n[12:16]) != "Xen\x00" ||
			binary.LittleEndian.Uint64(n[16:]) != entry {
			t.Errorf("note % x", n)
		}
		return
	}
	t.Error("no note")
}

// checkTables walks the page tables that the start brings along: every address of the first 4 GiB
// leads to itself, none behind.
func checkTables(t *testing.T, at uint64, b []byte) {
	t.Helper()
	word := func(addr uint64) uint64 {
		if addr < at || addr+8 > at+uint64(len(b)) {
			t.Fatalf("a page table lies at %#x", addr)
		}
		return binary.LittleEndian.Uint64(b[addr-at:])
	}
	const address = 0x000f_ffff_ffff_f000
	walk := func(a uint64) (uint64, bool) {
		table := at + pml4At
		for shift := uint(39); ; shift -= 9 {
			e := word(table + 8*(a>>shift&511))
			if e&amd64.PagePresent == 0 {
				return 0, false
			}
			if e&amd64.PageLarge != 0 {
				return e&address&^(1<<shift-1) | a&(1<<shift-1), e&amd64.PageWritable != 0
			}
			table = e & address
		}
	}
	for _, a := range []uint64{0, 0x1000, 0x401234, 0x40000000, 0xfee00000, 0xffffffff} {
		if to, ok := walk(a); !ok || to != a {
			t.Errorf("%#x leads to %#x", a, to)
		}
	}
	if _, ok := walk(bootinfo.Reach); ok {
		t.Errorf("%#x is mapped", uint64(bootinfo.Reach))
	}
}

// The start is entered in 32-bit mode with nothing but EBX. These are its instructions, as an
// assembler makes them.
func TestTheStartsInstructions(t *testing.T) {
	want := "fafcb8001060000f22d80f20e083c8200f22e0b9800000c00f320d00090000" +
		"0f300f20c00d010001800f22c0" +
		"0f011540016000" + "ea3a006000" + "0800" +
		"66b810008ed88ec08ed08ee08ee8" + "89df" + "be00026000" + "48b8f0debc9a78563412" + "ffe0"
	if got := hex(code(0x600000, 0x123456789abcdef0)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if len(code(0, 0)) > gdtAt {
		t.Error("the code reaches into the descriptors")
	}
}

func hex(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		s.WriteByte("0123456789abcdef"[c>>4])
		s.WriteByte("0123456789abcdef"[c&15])
	}
	return s.String()
}

// header writes an ELF file with program headers and no content but zeros up to size.
func header(change func(h *elf.Header64), size int, progs ...elf.Prog64) []byte {
	h := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB),
			byte(elf.EV_CURRENT)},
		Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
		Entry: 0x400010,
		Phoff: headerSize, Ehsize: headerSize, Phentsize: programSize, Phnum: uint16(len(progs)),
	}
	if change != nil {
		change(&h)
	}
	var b bytes.Buffer
	binary.Write(&b, binary.LittleEndian, h)
	binary.Write(&b, binary.LittleEndian, progs)
	b.Write(make([]byte, max(0, size-b.Len())))
	return b.Bytes()
}

func load(addr, filesz, memsz uint64, flags elf.ProgFlag) elf.Prog64 {
	return elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(flags), Vaddr: addr, Paddr: addr,
		Filesz: filesz, Memsz: memsz}
}

func TestProgramsThatCannotBeKernelsAreRefused(t *testing.T) {
	const rx, rw = elf.PF_R | elf.PF_X, elf.PF_R | elf.PF_W
	text := load(0x400000, 0x1000, 0x1000, rx)
	many := []elf.Prog64{text}
	for i := range uint64(bootinfo.MaxSegments) {
		many = append(many, load(0x500000+i*0x2000, 0, 0x1000, rw))
	}
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"no ELF file", []byte(strings.Repeat("#!/bin/sh\n", 20)), "magic"},
		{"for another processor",
			header(func(h *elf.Header64) { h.Machine = uint16(elf.EM_AARCH64) }, 0x2000, text),
			"not an x86-64"},
		{"relocatable", header(func(h *elf.Header64) { h.Type = uint16(elf.ET_DYN) }, 0x2000, text),
			"fixed address"},
		{"dynamically linked", header(nil, 0x2000, text, elf.Prog64{Type: uint32(elf.PT_INTERP)}),
			"dynamic linker"},
		{"nothing to load", header(nil, 0x2000), "no segments"},
		{"too much to load", header(nil, 0x2000, many...), "more than"},
		{"in low memory", header(nil, 0x2000, load(0xff000, 0x1000, 0x1000, rx)), "not between"},
		{"far up", header(nil, 0x2000, text, load(0xffffffff80000000, 0, 0x1000, rw)),
			"not between"},
		{"a size that wraps around", header(nil, 0x2000, text, load(0x500000, 0, ^uint64(0), rw)),
			"not between"},
		{"more in the file than in memory", header(nil, 0x2000, load(0x400000, 0x1001, 0x1000, rx)),
			"not in the file"},
		{"behind the file's end", header(nil, 0x800, text), "not in the file"},
		{"writable and executable", header(nil, 0x2000, load(0x400000, 0x1000, 0x1000, rx|rw)),
			"writable and executable"},
		{"segments on one page", header(nil, 0x2000, text, load(0x400800, 0, 0x1000, rw)),
			"share a page"},
		{"an entry point outside", header(func(h *elf.Header64) { h.Entry = 0x401000 }, 0x2000,
			text), "entry point"},
		{"an entry point in data", header(nil, 0x2000, load(0x400000, 0x1000, 0x1000, rw)),
			"entry point"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Make(c.file); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v does not contain %q", err, c.want)
			}
		})
	}
	if _, err := Make(header(nil, 0x2000, text)); err != nil {
		t.Errorf("the smallest program: %v", err)
	}
}
