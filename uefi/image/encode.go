package image

import (
	"debug/pe"
	"encoding/binary"
	"fmt"
)

const (
	// fileAlignment is the smallest unit of section data that loaders of every kind take ([PE],
	// FileAlignment).
	fileAlignment = 512

	// dosHeaderSize is IMAGE_DOS_HEADER. Only its signature and, in its last field, the offset of
	// the PE signature are read ([PE], "MS-DOS Stub"); there is no stub program.
	dosHeaderSize  = 64
	peOffsetField  = 0x3c
	optionalMagic  = 0x20b // PE32+ ([PE], "Optional Header")
	directoryCount = 16    // [PE], NumberOfRvaAndSizes
	// offset of CheckSum in the optional header ([PE], "Optional Header Windows-Specific Fields")
	checksumField = 64
)

var (
	dosSignature = []byte("MZ")
	peSignature  = []byte("PE\x00\x00")

	fileHeaderSize     = binary.Size(pe.FileHeader{})
	optionalHeaderSize = binary.Size(pe.OptionalHeader64{})
	sectionHeaderSize  = binary.Size(pe.SectionHeader32{})
)

func fileUp(n int) uint32 { return uint32(n+fileAlignment-1) &^ (fileAlignment - 1) }

// encode writes the file: headers, then the sections' data in the order of their addresses, each on
// a file alignment boundary and without a gap, which is the order that signing tools hash in ([PE],
// "Attribute Certificate Table").
func (f *file) encode() ([]byte, error) {
	size := dosHeaderSize + len(peSignature) + fileHeaderSize + optionalHeaderSize +
		len(f.sections)*sectionHeaderSize
	headers := fileUp(size)
	if headers > firstRVA {
		return nil, fmt.Errorf("headers for %d sections do not fit one page", len(f.sections))
	}
	rows := f.sectionTable(headers)

	b := make([]byte, dosHeaderSize, headers)
	copy(b, dosSignature)
	binary.LittleEndian.PutUint32(b[peOffsetField:], dosHeaderSize)
	b = append(b, peSignature...)
	b = appendStruct(b, f.fileHeader())
	checksumAt := len(b) + checksumField
	b = appendStruct(b, f.optionalHeader(rows, headers))
	for i := range rows {
		b = appendStruct(b, &rows[i])
	}
	b = append(b, make([]byte, int(headers)-len(b))...)
	for i := range f.sections {
		data := f.sections[i].data
		b = append(b, data...)
		b = append(b, make([]byte, int(rows[i].SizeOfRawData)-len(data))...)
	}
	binary.LittleEndian.PutUint32(b[checksumAt:], checksum(b, checksumAt))
	return b, nil
}

// appendStruct appends a header, little-endian. Only a type of variable size could fail, and no
// header has one.
func appendStruct(b []byte, header any) []byte {
	b, _ = binary.Append(b, binary.LittleEndian, header)
	return b
}

// sectionTable places each section's data in the file.
func (f *file) sectionTable(headers uint32) []pe.SectionHeader32 {
	rows := make([]pe.SectionHeader32, len(f.sections))
	next := headers
	for i := range f.sections {
		s, row := &f.sections[i], &rows[i]
		copy(row.Name[:], s.name)
		row.VirtualAddress, row.VirtualSize = s.rva, s.size
		row.Characteristics = s.flags
		if len(s.data) > 0 {
			row.PointerToRawData, row.SizeOfRawData = next, fileUp(len(s.data))
			next += row.SizeOfRawData
		}
	}
	return rows
}

func (f *file) fileHeader() *pe.FileHeader {
	// Symbols are elsewhere: in the ELF file ([PE], "Characteristics").
	flags := uint16(pe.IMAGE_FILE_EXECUTABLE_IMAGE | pe.IMAGE_FILE_LARGE_ADDRESS_AWARE |
		pe.IMAGE_FILE_DEBUG_STRIPPED)
	if f.fixed {
		flags |= pe.IMAGE_FILE_RELOCS_STRIPPED
	}
	return &pe.FileHeader{
		Machine:              f.machine,
		NumberOfSections:     uint16(len(f.sections)),
		TimeDateStamp:        0, // the same program gives the same file
		SizeOfOptionalHeader: uint16(optionalHeaderSize),
		Characteristics:      flags,
	}
}

func (f *file) optionalHeader(rows []pe.SectionHeader32, headers uint32) *pe.OptionalHeader64 {
	last := &f.sections[len(f.sections)-1]
	h := &pe.OptionalHeader64{
		Magic:               optionalMagic,
		AddressOfEntryPoint: f.entry,
		ImageBase:           f.base,
		SectionAlignment:    pageSize,
		FileAlignment:       fileAlignment,
		SizeOfImage:         uint32(pageUp(uint64(last.end()))),
		SizeOfHeaders:       headers,
		Subsystem:           uint16(f.subsystem),
		DllCharacteristics:  pe.IMAGE_DLLCHARACTERISTICS_NX_COMPAT,
		NumberOfRvaAndSizes: directoryCount,
	}
	if !f.fixed {
		h.DllCharacteristics |= pe.IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE |
			pe.IMAGE_DLLCHARACTERISTICS_HIGH_ENTROPY_VA
		h.DataDirectory[pe.IMAGE_DIRECTORY_ENTRY_BASERELOC] = pe.DataDirectory{
			VirtualAddress: uint32(f.relocations.start),
			Size:           uint32(f.relocations.end - f.relocations.start),
		}
	}
	for i := range rows {
		switch r := &rows[i]; r.Characteristics & flagsContent {
		case pe.IMAGE_SCN_CNT_CODE:
			h.SizeOfCode += r.SizeOfRawData
			if h.BaseOfCode == 0 {
				h.BaseOfCode = r.VirtualAddress
			}
		case pe.IMAGE_SCN_CNT_INITIALIZED_DATA:
			h.SizeOfInitializedData += r.SizeOfRawData
		case pe.IMAGE_SCN_CNT_UNINITIALIZED_DATA:
			h.SizeOfUninitializedData += r.VirtualSize
		}
	}
	return h
}

// checksum is what ImageHlp's CheckSumMappedFile computes ([PE], CheckSum): the 16-bit one's
// complement sum of the file's words with the field itself as zero, plus the file's length. The
// file is a whole number of words.
func checksum(b []byte, field int) uint32 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		if i == field || i == field+2 {
			continue
		}
		sum += uint32(binary.LittleEndian.Uint16(b[i:]))
		sum = sum&0xffff + sum>>16
	}
	return sum + uint32(len(b))
}
