package gate

// Page tables of x86-64 (Intel SDM volume 3, 4.5).
const (
	pageSize  = 4096
	maxLevels = 5 // PML5, PML4, PDPT, PD, PT

	la57     = 1 << 12 // CR4: five levels
	present  = 1 << 0
	large    = 1 << 7 // PS in a PDPT or PD entry
	patBig   = 1 << 12
	patSmall = 1 << 7

	// addressBits are the bits of an entry that hold an address. Memory
	// encryption puts a flag among them, above the memory there is: such
	// tables are left alone.
	addressBits = 0x000f_ffff_ffff_f000
	maxPhysical = 1 << 46
)

type table [pageSize / 8]uint64

// tables is room for a copy: maxLevels tables on page boundaries.
type tables [(maxLevels + 1) * pageSize]byte

// cloneTables copies the tables that translate address 0, from root down, into
// dst: dst[0] is the copied root. Entries elsewhere go on pointing to the
// originals. In the copy page 0 is not present. It fails when a table lies
// where memory cannot be.
func cloneTables(dst *[maxLevels]table, root uintptr, levels int, read func(uintptr) *table) bool {
	at := uint64(root)
	for i := range levels {
		last := i == levels-1
		if at&addressBits >= maxPhysical {
			return false
		}
		dst[i] = *read(uintptr(at & addressBits))
		if last {
			break
		}
		e := dst[i][0]
		if e&present == 0 {
			return true // nothing is mapped there
		}
		if e&large != 0 && i >= levels-3 && i > 0 {
			split(dst, i, levels)
			return true
		}
		at = e
		dst[i][0] = uint64(address(&dst[i+1])) | e&^addressBits
	}
	dst[levels-1][0] &^= present
	return true
}

// split replaces the large page that entry 0 of dst[i] maps by tables of
// smaller ones, down to 4 KiB around address 0.
func split(dst *[maxLevels]table, i, levels int) {
	for ; i < levels-1; i++ {
		e := dst[i][0]
		size := uint64(pageSize) << (9 * (levels - 2 - i)) // of the pages in dst[i+1]
		flags := e &^ addressBits
		base := e & addressBits &^ patBig
		if i+1 == levels-1 { // 4 KiB pages: no PS, the PAT bit moves
			flags &^= large
			if e&patBig != 0 {
				flags |= patSmall
			}
		} else {
			flags |= e & patBig
		}
		for k := range dst[i+1] {
			dst[i+1][k] = base + uint64(k)*size | flags
		}
		dst[i][0] = uint64(address(&dst[i+1])) | e&^addressBits&^large
	}
	dst[levels-1][0] &^= present
}

// tablesDiffer says whether the tables that cloneTables read have changed.
func tablesDiffer(dst *[maxLevels]table, root uintptr, levels int, read func(uintptr) *table) bool {
	at := uint64(root)
	for i := range levels {
		if at&addressBits >= maxPhysical {
			return true
		}
		t := read(uintptr(at & addressBits))
		for k := 1; k < len(t); k++ {
			// The processor sets accessed and dirty bits in either copy.
			if (t[k]^dst[i][k])&^0x60 != 0 {
				return true
			}
		}
		e := t[0]
		if i == levels-1 || e&present == 0 || e&large != 0 && i >= levels-3 && i > 0 {
			return false
		}
		at = e
	}
	return false
}
