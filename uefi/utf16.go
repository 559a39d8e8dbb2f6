package uefi

import (
	"unicode/utf16"
	"unsafe"
)

// UTF16 is s as CHAR16 with the terminating NUL. Text after a NUL in s is dropped, because firmware
// would not read it. Characters outside the basic plane become surrogate pairs, which UEFI shows as
// two unknown glyphs (UEFI 2.11, 2.3.1: CHAR16 is UCS-2).
func UTF16(s string) []uint16 {
	out := make([]uint16, 0, len(s)+1)
	for _, r := range s {
		if r == 0 {
			break
		}
		out = utf16.AppendRune(out, r)
	}
	return append(out, 0)
}

// FromUTF16 is the text of c up to its first NUL or its end. Unpaired surrogates become U+FFFD.
func FromUTF16(c []uint16) string {
	for i, v := range c {
		if v == 0 {
			c = c[:i]
			break
		}
	}
	return string(utf16.Decode(c))
}

// StringAt reads a NUL-terminated CHAR16 string in firmware's memory, at most max characters of it.
// A null address is the empty string, and so is an odd one: CHAR16 is aligned on its size (UEFI
// 2.11, 2.3.1).
func StringAt(addr uintptr, max int) string {
	if addr == 0 || addr%2 != 0 {
		return ""
	}
	n := 0
	for n < max && *At[uint16](addr + 2*uintptr(n)) != 0 {
		n++
	}
	return string(utf16.Decode(unsafe.Slice(At[uint16](addr), n)))
}
