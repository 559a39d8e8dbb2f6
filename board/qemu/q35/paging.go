package q35

// Page tables (SDM volume 3, tables 4-15 to 4-20).
const (
	ptePresent  = 1 << 0
	pteWrite    = 1 << 1
	pteThrough  = 1 << 3 // PWT
	pteUncached = 1 << 4 // PCD: with PWT, uncacheable
	pteLarge    = 1 << 7
	pteNoExec   = 1 << 63
	pteAddress  = 0x000f_ffff_ffff_f000

	largePage = 2 << 20
	entries   = pageSize / 8
	// canonical is the end of the lower half of the addresses (SDM volume 1, 3.3.7.1).
	canonical = 1 << 47
)

// Protections of memory.
const (
	protText   = ptePresent
	protConst  = ptePresent | pteNoExec
	protData   = ptePresent | pteWrite | pteNoExec
	protDevice = protData | pteUncached | pteThrough
)

type table [entries]uint64

// tables are page tables that map addresses to themselves, four levels of them.
type tables struct {
	root  uint64
	alloc func() uint64            // a page of memory, 0: there is none
	at    func(addr uint64) *table // the table at an address
}

// levels of page tables: the shift of the address bits that index them.
const (
	shiftRoot  = 39
	shiftLarge = 21
	shiftSmall = 12
)

// identity maps [start, end), whole pages, with a protection; what was mapped there is mapped anew. It fails when there is no
// memory for tables.
func (t *tables) identity(start, end, protection uint64) bool {
	if end > canonical || start > end {
		return false
	}
	for a := start &^ (pageSize - 1); a < end; {
		size := uint64(pageSize)
		if a%largePage == 0 && end-a >= largePage {
			size = largePage
		}
		e := t.entry(a, size)
		if e == nil {
			return false
		}
		*e = a | protection
		if size == largePage {
			*e |= pteLarge
		}
		a += size
	}
	return true
}

// entry finds the entry that maps the page of that size at addr, and makes the tables on the way.
func (t *tables) entry(addr, size uint64) *uint64 {
	if t.root == 0 {
		if t.root = t.blank(); t.root == 0 {
			return nil
		}
	}
	last := uint(shiftSmall)
	if size == largePage {
		last = shiftLarge
	}
	at := t.root
	for shift := uint(shiftRoot); ; shift -= 9 {
		e := &t.at(at)[addr>>shift%entries]
		if shift == last {
			return e
		}
		if *e&ptePresent == 0 || *e&pteLarge != 0 {
			next := t.blank()
			if next == 0 {
				return nil
			}
			if *e&pteLarge != 0 { // only of 2 MiB: split it
				for i := range t.at(next) {
					t.at(next)[i] = *e&^pteLarge + uint64(i)*pageSize
				}
			}
			// What may be done is said by the last entry alone.
			*e = next | ptePresent | pteWrite
		}
		at = *e & pteAddress
	}
}

// blank is an empty table.
func (t *tables) blank() uint64 {
	p := t.alloc()
	if p != 0 {
		clear(t.at(p)[:])
	}
	return p
}
