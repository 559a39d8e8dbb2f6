package amd64

// An IdentityMap is page tables of four levels that map addresses to themselves.
type IdentityMap struct {
	// Root is the address of the highest table, 0 before the first Map.
	Root uint64
	// Alloc returns a page of memory for a table, 0 when there is none.
	Alloc func() uint64
	// At returns the table at an address that Alloc has returned.
	At func(addr uint64) *PageTable
}

// Levels of page tables: the shift of the address bits that index them.
const (
	shiftRoot  = 39
	shiftLarge = 21
	shiftSmall = 12
)

// Map maps [start, end), whole pages, with a protection, and replaces earlier mappings there. It
// reports whether it could: not for addresses outside of the lower half, and not without memory for
// tables.
func (m *IdentityMap) Map(start, end, protection uint64) bool {
	if end > EndOfLowerHalf || start > end {
		return false
	}
	for a := start &^ (PageSize - 1); a < end; {
		size := uint64(PageSize)
		if a%LargePageSize == 0 && end-a >= LargePageSize {
			size = LargePageSize
		}
		e := m.entry(a, size)
		if e == nil {
			return false
		}
		*e = a | protection
		if size == LargePageSize {
			*e |= PageLarge
		}
		a += size
	}
	return true
}

// entry returns the entry that maps the page of that size at addr. It adds the tables that are
// missing on the way.
func (m *IdentityMap) entry(addr, size uint64) *uint64 {
	if m.Root == 0 {
		if m.Root = m.blank(); m.Root == 0 {
			return nil
		}
	}
	last := uint(shiftSmall)
	if size == LargePageSize {
		last = shiftLarge
	}
	at := m.Root
	for shift := uint(shiftRoot); ; shift -= 9 {
		e := &m.At(at)[addr>>shift%entries]
		if shift == last {
			return e
		}
		if *e&PagePresent == 0 || *e&PageLarge != 0 {
			next := m.blank()
			if next == 0 {
				return nil
			}
			if *e&PageLarge != 0 { // of 2 MiB, the only large size here: split it
				for i := range m.At(next) {
					m.At(next)[i] = *e&^PageLarge + uint64(i)*PageSize
				}
			}
			// Entries of upper levels allow everything: the last one decides.
			*e = next | PagePresent | PageWritable
		}
		at = *e & pageAddress
	}
}

// blank returns the address of an empty table.
func (m *IdentityMap) blank() uint64 {
	p := m.Alloc()
	if p != 0 {
		clear(m.At(p)[:])
	}
	return p
}
