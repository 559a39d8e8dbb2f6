package uefi

import "errors"

// GUID is an EFI_GUID: the first three fields are little-endian in memory, the rest is bytes (UEFI
// 2.11, appendix A).
type GUID struct {
	A    uint32
	B, C uint16
	D    [8]byte
}

// ErrGUID reports a text that is not a GUID in registry format.
var ErrGUID = errors.New("uefi: not a GUID")

// guidSize is the length of registry format: 8-4-4-4-12 digits (UEFI 2.11, appendix A).
const guidSize = 36

// String is the registry format in lower case, 2a4d1adf-21dc-4b81-a42f-8b8ee2380060.
func (g GUID) String() string {
	const digits = "0123456789abcdef"
	var out [guidSize]byte
	at := 0
	for i, b := range g.wire() {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			out[at] = '-'
			at++
		}
		out[at], out[at+1] = digits[b>>4], digits[b&15]
		at += 2
	}
	return string(out[:])
}

// wire is the GUID in the byte order of its text.
func (g GUID) wire() [16]byte {
	return [16]byte{
		byte(g.A >> 24), byte(g.A >> 16), byte(g.A >> 8), byte(g.A),
		byte(g.B >> 8), byte(g.B), byte(g.C >> 8), byte(g.C),
		g.D[0], g.D[1], g.D[2], g.D[3], g.D[4], g.D[5], g.D[6], g.D[7],
	}
}

// ParseGUID reads registry format, in either case and without braces.
func ParseGUID(s string) (g GUID, err error) {
	if len(s) != guidSize {
		return GUID{}, ErrGUID
	}
	var b [16]byte
	nibbles := 0
	for i := 0; i < len(s); i++ {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if s[i] != '-' {
				return GUID{}, ErrGUID
			}
			continue
		}
		var v byte
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			v = c - '0'
		case c >= 'a' && c <= 'f':
			v = c - 'a' + 10
		case c >= 'A' && c <= 'F':
			v = c - 'A' + 10
		default:
			return GUID{}, ErrGUID
		}
		b[nibbles/2] = b[nibbles/2]<<4 | v
		nibbles++
	}
	g.A = uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	g.B = uint16(b[4])<<8 | uint16(b[5])
	g.C = uint16(b[6])<<8 | uint16(b[7])
	copy(g.D[:], b[8:])
	return g, nil
}

// MustGUID is ParseGUID for package variables. It panics on a malformed text.
func MustGUID(s string) GUID {
	g, err := ParseGUID(s)
	if err != nil {
		panic("uefi: bad GUID " + s)
	}
	return g
}
