//go:build !tamago

package kernel

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
)

// The note that makes an ELF file a kernel for PVH: name, type, and the entry point's physical
// address. Its size is that of an address of the file's class, which is what QEMU reads.
const (
	noteName  = "Xen\x00"
	notePHYS  = 18 // XEN_ELFNOTE_PHYS32_ENTRY
	noteAlign = 4
)

// Sizes of ELF's structures, 64-bit class (System V ABI).
const (
	headerSize  = 64
	programSize = 56
)

// Make makes a kernel image of a program.
func Make(program []byte) ([]byte, error) {
	p, err := readProgram(program)
	if err != nil {
		return nil, err
	}
	start := startSegment(pageUp(p.segments[len(p.segments)-1].end()), p)
	segments := append(p.segments, start)

	note := noteOf(start.addr)
	noteAt := uint64(headerSize + (len(segments)+1)*programSize)
	headers := []elf.Prog64{{
		Type: uint32(elf.PT_NOTE), Flags: uint32(elf.PF_R), Off: noteAt,
		Filesz: uint64(len(note)), Memsz: uint64(len(note)), Align: noteAlign,
	}}
	at := noteAt + uint64(len(note))
	for _, s := range segments {
		at = pageUp(at) + s.addr%pageSize
		headers = append(headers, elf.Prog64{
			Type: uint32(elf.PT_LOAD), Flags: uint32(s.flags), Off: at, Vaddr: s.addr,
			Paddr:  s.addr,
			Filesz: uint64(len(s.data)), Memsz: s.size, Align: pageSize,
		})
		at += uint64(len(s.data))
	}

	var out bytes.Buffer
	// Writing values of fixed size to memory cannot fail.
	binary.Write(&out, binary.LittleEndian, elf.Header64{
		Ident: [elf.EI_NIDENT]byte{'\x7f', 'E', 'L', 'F', byte(elf.ELFCLASS64),
			byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
		Entry: start.addr, Phoff: headerSize, Ehsize: headerSize, Phentsize: programSize,
		Phnum: uint16(len(headers)),
	})
	binary.Write(&out, binary.LittleEndian, headers)
	out.Write(note)
	for i, s := range segments {
		out.Write(make([]byte, headers[i+1].Off-uint64(out.Len())))
		out.Write(s.data)
	}
	return out.Bytes(), nil
}

// noteOf returns the note for an entry point.
func noteOf(entry uint64) []byte {
	var b []byte
	for _, v := range []uint32{uint32(len(noteName)), 8, notePHYS} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	b = append(b, noteName...)
	return binary.LittleEndian.AppendUint64(b, entry)
}
