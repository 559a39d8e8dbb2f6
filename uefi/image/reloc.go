package image

import "encoding/binary"

// Base relocation types ([PE], "Base Relocation Types").
const (
	relBasedAbsolute = 0  // padding
	relBasedDir64    = 10 // 64-bit pointer
)

const (
	blockHeaderSize = 8 // page RVA, block size ([PE], "Base Relocation Block")
	fixupSize       = 2 // type in the upper 4 bits, offset in the page in the lower 12
	fixupTypeShift  = 12
	blockAlignment  = 4 // "each block must start on a 32-bit boundary"
)

// addRelocations adds the base relocation table as a section of its own.
func (f *file) addRelocations() {
	f.relocations = f.addSection(".reloc", flagsReloc, encodeRelocations(f.fixups))
}

// encodeRelocations returns the base relocation table for 64-bit pointers at ascending RVAs: one
// block a page. Strict loaders require a table in every image that can be moved, so that no
// pointers give one block of padding.
func encodeRelocations(fixups []uint32) []byte {
	if len(fixups) == 0 {
		return appendBlock(nil, firstRVA, []uint16{relBasedAbsolute, relBasedAbsolute})
	}
	var table []byte
	var entries []uint16
	page := uint32(pageDown(uint64(fixups[0])))
	for _, rva := range fixups {
		if p := uint32(pageDown(uint64(rva))); p != page {
			table = appendBlock(table, page, entries)
			page, entries = p, entries[:0]
		}
		entries = append(entries, relBasedDir64<<fixupTypeShift|uint16(rva-page))
	}
	return appendBlock(table, page, entries)
}

func appendBlock(table []byte, page uint32, entries []uint16) []byte {
	for (blockHeaderSize+len(entries)*fixupSize)%blockAlignment != 0 {
		entries = append(entries, relBasedAbsolute<<fixupTypeShift)
	}
	table = binary.LittleEndian.AppendUint32(table, page)
	table = binary.LittleEndian.AppendUint32(table, uint32(blockHeaderSize+len(entries)*fixupSize))
	for _, e := range entries {
		table = binary.LittleEndian.AppendUint16(table, e)
	}
	return table
}
