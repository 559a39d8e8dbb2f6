// Package apdu distinguishes the cases of command APDUs, and collects response APDUs.
//
// Specifications: ISO/IEC 7816-3:2006, 12.1; ISO/IEC 7816-4:2013, 5.
package apdu

import "errors"

// Sizes (ISO/IEC 7816-3:2006, 12.1.3).
const (
	HeaderSize  = 4
	MaxShortLc  = 255
	MaxShortLe  = 256
	MaxExtended = 65535
	MaxLe       = 65536
	// MaxCommand is the longest command: header, 3 bytes of Lc, data, 2 bytes of Le.
	MaxCommand = HeaderSize + 3 + MaxExtended + 2
	// MaxResponse is the longest response: data, SW1 and SW2.
	MaxResponse = MaxLe + 2
	// MaxShortCommand and MaxShortResponse are those of short APDUs.
	MaxShortCommand  = HeaderSize + 1 + MaxShortLc + 1
	MaxShortResponse = MaxShortLe + 2
)

// ErrFormat is the error of Parse for bytes that are no command APDU.
var ErrFormat = errors.New("apdu: not a command")

// Case is one of the command cases (ISO/IEC 7816-3:2006, 12.1.3).
type Case uint8

// The cases: 1 no data, 2 data from the card, 3 data to the card, 4 both; S short, E extended.
const (
	Case1 Case = iota + 1
	Case2S
	Case3S
	Case4S
	Case2E
	Case3E
	Case4E
)

// Command is a parsed command APDU. Data is a view of the command.
type Command struct {
	Case             Case
	CLA, INS, P1, P2 byte
	Data             []byte
	// Le is the largest number of response bytes expected, 0 when none is, at most 65,536.
	Le int
}

// Extended reports whether the command uses extended length fields.
func (c Command) Extended() bool { return c.Case >= Case2E }

// Parse reads a command APDU (ISO/IEC 7816-3:2006, 12.1.3, table 13). It allocates nothing.
func Parse(b []byte) (Command, error) {
	if len(b) < HeaderSize || len(b) > MaxCommand {
		return Command{}, ErrFormat
	}
	c := Command{CLA: b[0], INS: b[1], P1: b[2], P2: b[3]}
	body := b[HeaderSize:]
	n := len(body)
	switch {
	case n == 0:
		c.Case = Case1
	case n == 1:
		c.Case, c.Le = Case2S, le(int(body[0]), MaxShortLe)
	case body[0] != 0:
		lc := int(body[0])
		c.Case = Case3S
		switch n {
		case 1 + lc:
		case 2 + lc:
			c.Case, c.Le = Case4S, le(int(body[n-1]), MaxShortLe)
		default:
			return Command{}, ErrFormat
		}
		c.Data = body[1 : 1+lc]
	case n < 3:
		return Command{}, ErrFormat
	case n == 3:
		c.Case, c.Le = Case2E, le(int(body[1])<<8|int(body[2]), MaxLe)
	default:
		lc := int(body[1])<<8 | int(body[2])
		c.Case = Case3E
		switch n {
		case 3 + lc:
		case 5 + lc:
			c.Case, c.Le = Case4E, le(int(body[n-2])<<8|int(body[n-1]), MaxLe)
		default:
			return Command{}, ErrFormat
		}
		if lc == 0 {
			return Command{}, ErrFormat
		}
		c.Data = body[3 : 3+lc]
	}
	return c, nil
}

// le decodes a length where zero stands for the largest.
func le(v, largest int) int {
	if v == 0 {
		return largest
	}
	return v
}
