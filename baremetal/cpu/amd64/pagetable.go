package amd64

// Page tables (SDM volume 3, 4.5: tables 4-15 to 4-20).
const (
	PageSize      = 4096
	LargePageSize = 2 << 20
	entries       = PageSize / 8

	// EndOfLowerHalf is the first address behind the lower canonical half (SDM volume 1, 3.3.7.1).
	EndOfLowerHalf = 1 << 47
)

// Bits of an entry.
const (
	PagePresent  = 1 << 0
	PageWritable = 1 << 1
	pageThrough  = 1 << 3 // PWT
	pageUncached = 1 << 4 // PCD: with PWT, uncacheable
	pageAccessed = 1 << 5
	pageDirty    = 1 << 6
	PageLarge    = 1 << 7  // PS: the entry of an upper level maps a page
	pagePAT      = 1 << 7  // in an entry that maps a page of 4 KiB
	pageLargePAT = 1 << 12 // in an entry that maps a large page
	pageNoExec   = 1 << 63

	// pageAddress are the bits that hold an address.
	pageAddress = 0x000f_ffff_ffff_f000
)

// Protections of memory, for IdentityMap.
const (
	ProtectText   = PagePresent
	ProtectConst  = PagePresent | pageNoExec
	ProtectData   = PagePresent | PageWritable | pageNoExec
	ProtectDevice = ProtectData | pageUncached | pageThrough
)

// A PageTable is a table of any level.
type PageTable [entries]uint64
