package amd64

import "unsafe"

const (
	maxLevels = 5 // PML5, PML4, PDPT, PD, PT

	// maxPhysical bounds the address of a table. Memory encryption puts a flag into an entry above
	// the physical addresses of the memory: such tables are not followed.
	maxPhysical = 1 << 46
)

// A NullGuard is a copy of the page tables that translate address 0, in which page 0 is not
// present: an access through a null pointer faults. Entries for other addresses point to the
// original tables, which are read and never written. A NullGuard must not move.
type NullGuard struct {
	room [(maxLevels + 1) * PageSize]byte // maxLevels tables on page boundaries
}

// Root is the physical address of the copied root, where memory is mapped to itself.
func (g *NullGuard) Root() uintptr {
	return (uintptr(unsafe.Pointer(&g.room)) + PageSize - 1) &^ (PageSize - 1)
}

func (g *NullGuard) tables() *[maxLevels]PageTable {
	offset := g.Root() - uintptr(unsafe.Pointer(&g.room))
	return (*[maxLevels]PageTable)(unsafe.Pointer(&g.room[offset]))
}

// Copy copies the tables from root (CR3; its flags are ignored) down, of 4 or 5 levels. read
// returns the table at a physical address. Copy reports whether it could: not when a table lies
// where memory cannot be.
func (g *NullGuard) Copy(root uintptr, levels int, read func(uintptr) *PageTable) bool {
	dst := g.tables()
	at := uint64(root)
	for i := range levels {
		if at&pageAddress >= maxPhysical {
			return false
		}
		dst[i] = *read(uintptr(at & pageAddress))
		if i == levels-1 {
			break
		}
		e := dst[i][0]
		if e&PagePresent == 0 {
			return true // address 0 is not mapped
		}
		if mapsPage(e, i, levels) {
			split(dst, i, levels)
			return true
		}
		at = e
		dst[i][0] = uint64(address(&dst[i+1])) | e&^pageAddress
	}
	dst[levels-1][0] &^= PagePresent
	return true
}

// mapsPage reports whether a present entry of the table at depth i maps a large page.
func mapsPage(e uint64, i, levels int) bool {
	return e&PageLarge != 0 && i >= levels-3 && i > 0
}

// split replaces the large page that entry 0 of dst[i] maps by tables of smaller pages, down to 4
// KiB around address 0.
func split(dst *[maxLevels]PageTable, i, levels int) {
	for ; i < levels-1; i++ {
		e := dst[i][0]
		size := uint64(PageSize) << (9 * (levels - 2 - i)) // of the pages in dst[i+1]
		flags := e &^ pageAddress
		base := e & pageAddress &^ pageLargePAT
		if i+1 == levels-1 { // 4 KiB pages: there is no PS, and the PAT bit moves
			flags &^= PageLarge
			if e&pageLargePAT != 0 {
				flags |= pagePAT
			}
		} else {
			flags |= e & pageLargePAT
		}
		for k := range dst[i+1] {
			dst[i+1][k] = base + uint64(k)*size | flags
		}
		dst[i][0] = uint64(address(&dst[i+1])) | e&^pageAddress&^PageLarge
	}
	dst[levels-1][0] &^= PagePresent
}

// Outdated reports whether the tables that Copy has read have changed since.
func (g *NullGuard) Outdated(root uintptr, levels int, read func(uintptr) *PageTable) bool {
	dst := g.tables()
	at := uint64(root)
	for i := range levels {
		if at&pageAddress >= maxPhysical {
			return true
		}
		t := read(uintptr(at & pageAddress))
		for k := 1; k < len(t); k++ {
			// The processor sets accessed and dirty bits in either copy.
			if (t[k]^dst[i][k])&^(pageAccessed|pageDirty) != 0 {
				return true
			}
		}
		e := t[0]
		if i == levels-1 || e&PagePresent == 0 || mapsPage(e, i, levels) {
			return false
		}
		at = e
	}
	return false
}

func address(t *PageTable) uintptr { return uintptr(unsafe.Pointer(t)) }
