package image

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"errors"
	"fmt"
)

// Two addresses at which firmware might place an image; both halves of a pointer differ.
const (
	lowBase  = 0x7e00_0000
	highBase = 0x31_0042_3000
)

// A loaded image is an image in memory as firmware would have it, made by a loader that follows the
// strictest reading of [PE].
type loaded struct {
	file    *pe.File
	header  *pe.OptionalHeader64
	base    uint64
	memory  []byte
	fixups  []uint32 // where relocations were applied
	relocAt pe.DataDirectory
}

// load checks every rule for the headers, the sections and the relocation table, then loads and
// relocates the image.
func load(img []byte, base uint64) (*loaded, error) {
	f, err := pe.NewFile(bytes.NewReader(img))
	if err != nil {
		return nil, err
	}
	h, ok := f.OptionalHeader.(*pe.OptionalHeader64)
	if !ok {
		return nil, errors.New("not PE32+")
	}
	l := &loaded{file: f, header: h, base: base,
		relocAt: h.DataDirectory[pe.IMAGE_DIRECTORY_ENTRY_BASERELOC]}
	for _, check := range []func([]byte) error{l.checkHeaders, l.checkSections, l.checkEntry,
		l.checkSum, l.relocate} {
		if err := check(img); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (l *loaded) stripped() bool {
	return l.file.Characteristics&pe.IMAGE_FILE_RELOCS_STRIPPED != 0
}

func (l *loaded) checkHeaders(img []byte) error {
	h := l.header
	offset := binary.LittleEndian.Uint32(img[0x3c:])
	wantDLL := uint16(pe.IMAGE_DLLCHARACTERISTICS_NX_COMPAT)
	if !l.stripped() {
		wantDLL |= pe.IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE |
			pe.IMAGE_DLLCHARACTERISTICS_HIGH_ENTROPY_VA
	}
	for _, rule := range []struct {
		name string
		good bool
	}{
		{"starts with MZ", img[0] == 'M' && img[1] == 'Z'},
		{"PE signature is 8-byte aligned behind the DOS header", offset >= 64 && offset%8 == 0},
		{"machine is x86-64", l.file.Machine == pe.IMAGE_FILE_MACHINE_AMD64},
		{"time stamp is zero", l.file.TimeDateStamp == 0},
		{"no COFF symbols", l.file.PointerToSymbolTable == 0 && l.file.NumberOfSymbols == 0},
		{"executable, handles large addresses", l.file.Characteristics&0x22 == 0x22},
		{"no reserved or deprecated characteristics", l.file.Characteristics&^0x223 == 0},
		{"optional header has its full size", l.file.SizeOfOptionalHeader == 240},
		{"sixteen data directories", h.NumberOfRvaAndSizes == 16},
		{"only the relocation directory is used",
			h.DataDirectory == [16]pe.DataDirectory{pe.IMAGE_DIRECTORY_ENTRY_BASERELOC: l.relocAt}},
		{"sections on 4 KiB boundaries", h.SectionAlignment == 4096},
		{"file alignment of 512", h.FileAlignment == 512},
		{"headers are file aligned", h.SizeOfHeaders%512 == 0},
		{"headers hold the section table", uint32(len(img)) >= h.SizeOfHeaders &&
			h.SizeOfHeaders >= offset+4+20+240+40*uint32(len(l.file.Sections))},
		{"DLL characteristics", h.DllCharacteristics == wantDLL},
		{"preferred address is a multiple of 64 KiB", h.ImageBase%0x10000 == 0},
		{"reserved fields are zero", h.Win32VersionValue == 0 && h.LoaderFlags == 0},
	} {
		if !rule.good {
			return fmt.Errorf("broken rule: %s", rule.name)
		}
	}
	return nil
}

// checkSections checks the section table and fills the memory.
func (l *loaded) checkSections(img []byte) error {
	h := l.header
	l.memory = make([]byte, h.SizeOfImage)
	copy(l.memory, img[:h.SizeOfHeaders])
	align := func(n, unit uint32) uint32 { return (n + unit - 1) &^ (unit - 1) }
	rva, raw := align(h.SizeOfHeaders, 4096), h.SizeOfHeaders
	var code, data, zero uint32
	for _, s := range l.file.Sections {
		c := s.Characteristics
		for _, rule := range []struct {
			name string
			good bool
		}{
			{"section follows the one before in memory", s.VirtualAddress == rva},
			{"section has memory", s.VirtualSize > 0},
			{"section data is file aligned", s.Size%512 == 0},
			{"section data is not larger than its memory", s.Size <= align(s.VirtualSize, 512)},
			{"section data follows the one before in the file", s.Size == 0 && s.Offset == 0 ||
				s.Offset == raw},
			{"section data is in the file", uint64(raw)+uint64(s.Size) <= uint64(len(img))},
			{"section fits the image", uint64(rva)+uint64(s.VirtualSize) <= uint64(h.SizeOfImage)},
			{"section is readable", c&pe.IMAGE_SCN_MEM_READ != 0},
			{"section is not writable and executable", c&pe.IMAGE_SCN_MEM_WRITE == 0 ||
				c&pe.IMAGE_SCN_MEM_EXECUTE == 0},
			{"only code is executable",
				c&pe.IMAGE_SCN_CNT_CODE != 0 == (c&pe.IMAGE_SCN_MEM_EXECUTE != 0)},
			{"section does not store a block of zeros at its end", c&pe.IMAGE_SCN_CNT_CODE != 0 ||
				s.Size == 0 ||
				len(bytes.Trim(img[raw+s.Size-512:raw+s.Size], "\x00")) > 0},
		} {
			if !rule.good {
				return fmt.Errorf("%s: broken rule: %s", s.Name, rule.name)
			}
		}
		copy(l.memory[rva:rva+s.VirtualSize], img[raw:raw+s.Size])
		switch c & 0xe0 {
		case pe.IMAGE_SCN_CNT_CODE:
			code += s.Size
		case pe.IMAGE_SCN_CNT_INITIALIZED_DATA:
			data += s.Size
		case pe.IMAGE_SCN_CNT_UNINITIALIZED_DATA:
			zero += s.VirtualSize
		default:
			return fmt.Errorf("%s: contents %#x", s.Name, c&0xe0)
		}
		raw += s.Size
		rva = align(rva+s.VirtualSize, 4096)
	}
	if rva != h.SizeOfImage {
		return fmt.Errorf("SizeOfImage is %#x, sections end at %#x", h.SizeOfImage, rva)
	}
	if uint64(raw) != uint64(len(img)) {
		return fmt.Errorf("file has %d bytes, sections end at %d", len(img), raw)
	}
	if h.SizeOfCode != code || h.SizeOfInitializedData != data ||
		h.SizeOfUninitializedData != zero {
		return fmt.Errorf("sizes %d %d %d in the header, %d %d %d in the sections",
			h.SizeOfCode, h.SizeOfInitializedData, h.SizeOfUninitializedData, code, data, zero)
	}
	if sbat := l.file.Section(".sbat"); sbat == nil || sbat.Characteristics != 0x40000040 {
		return errors.New(".sbat is missing or not read-only data")
	}
	return nil
}

func (l *loaded) checkEntry([]byte) error {
	first := true
	for _, s := range l.file.Sections {
		if s.Characteristics&pe.IMAGE_SCN_MEM_EXECUTE == 0 {
			continue
		}
		if first && l.header.BaseOfCode != s.VirtualAddress {
			return fmt.Errorf("BaseOfCode is %#x, code is at %#x", l.header.BaseOfCode,
				s.VirtualAddress)
		}
		first = false
		if e := l.header.AddressOfEntryPoint; e >= s.VirtualAddress &&
			e-s.VirtualAddress < min(s.Size, s.VirtualSize) {
			return nil
		}
	}
	return fmt.Errorf("entry point %#x is not in stored code", l.header.AddressOfEntryPoint)
}

// checkSum sums with carries to spare and folds at the end: with the field's own words taken off,
// sum and length must give the field.
func (l *loaded) checkSum(img []byte) error {
	var sum uint64
	for i := 0; i+1 < len(img); i += 2 {
		sum += uint64(binary.LittleEndian.Uint16(img[i:]))
	}
	field := l.header.CheckSum
	sum -= uint64(field&0xffff) + uint64(field>>16)
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	if want := uint32(sum) + uint32(len(img)); field != want {
		return fmt.Errorf("CheckSum is %#x, want %#x", field, want)
	}
	return nil
}

// relocate walks the relocation table and applies it.
func (l *loaded) relocate([]byte) error {
	if l.stripped() {
		if l.relocAt.Size != 0 || l.file.Section(".reloc") != nil {
			return errors.New("a fixed image has relocations")
		}
		return nil
	}
	s := l.file.Section(".reloc")
	if s == nil || s.VirtualAddress != l.relocAt.VirtualAddress || s.VirtualSize != l.relocAt.Size {
		return fmt.Errorf("directory %+v is not the .reloc section", l.relocAt)
	}
	if s.Characteristics != 0x42000040 {
		return fmt.Errorf(".reloc has characteristics %#x", s.Characteristics)
	}
	table := bytes.Clone(l.memory[s.VirtualAddress : s.VirtualAddress+s.VirtualSize])
	for lastPage := uint32(0); len(table) > 0; {
		if len(table) < 8 {
			return errors.New("relocation table ends within a block header")
		}
		page, size := binary.LittleEndian.Uint32(table), binary.LittleEndian.Uint32(table[4:])
		if page%4096 != 0 || page <= lastPage || size%4 != 0 || size < 12 ||
			size > uint32(len(table)) {
			return fmt.Errorf("relocation block for %#x of %d bytes", page, size)
		}
		if err := l.applyBlock(page, table[8:size]); err != nil {
			return err
		}
		lastPage, table = page, table[size:]
	}
	return nil
}

func (l *loaded) applyBlock(page uint32, entries []byte) error {
	for ; len(entries) > 0; entries = entries[2:] {
		entry := binary.LittleEndian.Uint16(entries)
		if entry == 0 && (len(entries) == 2 || len(l.fixups) == 0) {
			continue // padding
		}
		if entry>>12 != 10 {
			return fmt.Errorf("relocation type %d at %#x", entry>>12, page)
		}
		at := page + uint32(entry&0xfff)
		if n := len(l.fixups); n > 0 && at < l.fixups[n-1]+8 ||
			uint64(at)+8 > uint64(len(l.memory)) {
			return fmt.Errorf("relocation of %#x overlaps the one before or the image's end", at)
		}
		value := binary.LittleEndian.Uint64(l.memory[at:])
		binary.LittleEndian.PutUint64(l.memory[at:], value+l.base-l.header.ImageBase)
		l.fixups = append(l.fixups, at)
	}
	return nil
}
