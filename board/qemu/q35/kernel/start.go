//go:build !tamago

package kernel

import (
	"bytes"
	"debug/elf"
	"encoding/binary"

	"tamaccid/baremetal/cpu/amd64"
	"tamaccid/board/qemu/q35/internal/bootinfo"
)

// Offsets in the start segment: code, descriptors and the program's table on the first page, page
// tables after it.
const (
	gdtAt    = 0x100
	gdtrAt   = 0x140
	tableAt  = 0x200
	pml4At   = 1 * pageSize
	pdptAt   = 2 * pageSize
	pdAt     = 3 * pageSize
	gigs     = bootinfo.Reach >> 30
	startLen = pdAt + gigs*pageSize
)

// Segment selectors (SDM volume 3, 3.4.2).
const (
	codeSelector = 0x08
	dataSelector = 0x10
)

// startSegment makes the segment that a loader enters in 32-bit mode.
func startSegment(at uint64, p *program) segment {
	b := make([]byte, startLen)
	copy(b, code(uint32(at), p.entry))
	for i, d := range []uint64{0, amd64.SegmentCode64, amd64.SegmentData} {
		binary.LittleEndian.PutUint64(b[gdtAt+8*i:], d)
	}
	binary.LittleEndian.PutUint16(b[gdtrAt:], 3*8-1)
	binary.LittleEndian.PutUint32(b[gdtrAt+2:], uint32(at)+gdtAt)
	copy(b[tableAt:], infoTable(at, p))

	const present, writable = amd64.PagePresent, amd64.PageWritable
	binary.LittleEndian.PutUint64(b[pml4At:], at+pdptAt|present|writable)
	for g := uint64(0); g < gigs; g++ {
		binary.LittleEndian.PutUint64(b[pdptAt+8*g:], at+pdAt+g*pageSize|present|writable)
	}
	for i := uint64(0); i < bootinfo.Reach/amd64.LargePageSize; i++ {
		page := i*amd64.LargePageSize | present | writable | amd64.PageLarge
		binary.LittleEndian.PutUint64(b[pdAt+8*i:], page)
	}
	return segment{addr: at, size: startLen, data: b, flags: elf.PF_R | elf.PF_X}
}

// infoTable is the bootinfo.Table of p, whose start segment is at at.
func infoTable(at uint64, p *program) []byte {
	t := bootinfo.Table{
		Start: pageDown(p.segments[0].addr),
		End:   at + startLen,
		Count: uint64(len(p.segments)),
	}
	for i, s := range p.segments {
		t.Segments[i] = bootinfo.Segment{
			Start: pageDown(s.addr),
			End:   pageUp(s.end()),
			Flags: uint64(s.flags & (elf.PF_X | elf.PF_W)),
		}
	}
	var b bytes.Buffer
	binary.Write(&b, binary.LittleEndian, t) // to memory, of fixed size: cannot fail
	return b.Bytes()
}

// code is the code at the entry point. The loader's state (PVH): 32-bit protected mode, flat
// segments, paging off, EBX has the address of hvm_start_info, no stack. The way to 64-bit mode is
// SDM volume 3, 9.8.5.
func code(at uint32, entry uint64) []byte {
	var b []byte
	op := func(bytes ...byte) { b = append(b, bytes...) }
	imm32 := func(v uint32) { b = binary.LittleEndian.AppendUint32(b, v) }
	imm64 := func(v uint64) { b = binary.LittleEndian.AppendUint64(b, v) }

	op(0xfa)                 // cli
	op(0xfc)                 // cld
	op(0xb8)                 // mov eax, PML4
	imm32(at + pml4At)       //
	op(0x0f, 0x22, 0xd8)     // mov cr3, eax
	op(0x0f, 0x20, 0xe0)     // mov eax, cr4
	op(0x83, 0xc8, 0x20)     // or eax, PAE
	op(0x0f, 0x22, 0xe0)     // mov cr4, eax
	op(0xb9)                 // mov ecx, IA32_EFER
	imm32(0xc0000080)        //
	op(0x0f, 0x32)           // rdmsr
	op(0x0d)                 // or eax, NXE | LME
	imm32(1<<11 | 1<<8)      //
	op(0x0f, 0x30)           // wrmsr
	op(0x0f, 0x20, 0xc0)     // mov eax, cr0
	op(0x0d)                 // or eax, PG | WP | PE
	imm32(1<<31 | 1<<16 | 1) //
	op(0x0f, 0x22, 0xc0)     // mov cr0, eax
	op(0x0f, 0x01, 0x15)     // lgdt [GDTR]
	imm32(at + gdtrAt)       //
	op(0xea)                 // jmp codeSelector:next
	imm32(at + uint32(len(b)) + 6)
	op(codeSelector, 0)

	// 64-bit mode from here on.
	op(0x66, 0xb8, dataSelector, 0)           // mov ax, dataSelector
	for _, s := range []byte{3, 0, 2, 4, 5} { // ds, es, ss, fs, gs
		op(0x8e, 0xc0|s<<3) // mov sreg, ax
	}
	op(0x89, 0xdf)      // mov edi, ebx
	op(0xbe)            // mov esi, table
	imm32(at + tableAt) //
	op(0x48, 0xb8)      // mov rax, entry
	imm64(entry)        //
	op(0xff, 0xe0)      // jmp rax
	return b
}
