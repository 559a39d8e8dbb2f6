// Package iso7816 encodes and parses command APDUs, response APDUs and status words.
//
// Specifications: ISO/IEC 7816-3:2006, 12.1 (encoding of commands); ISO/IEC 7816-4:2013, 5.1 to 5.6
// (semantics).
package iso7816

import (
	"errors"
	"slices"

	"tamaccid/ccid/apdu"
)

// Bounds of a command APDU (ISO/IEC 7816-3:2006, 12.1).
const (
	MaxShortData = apdu.MaxShortLc  // data bytes with short length fields
	MaxShortNe   = apdu.MaxShortLe  // expected bytes with short length fields
	MaxData      = apdu.MaxExtended // data bytes with extended length fields
	MaxNe        = apdu.MaxLe       // expected bytes with extended length fields
)

// Errors of the encoders and parsers.
var (
	// ErrCommand means that bytes are no command APDU.
	ErrCommand = errors.New("not a command APDU")
	// ErrLength means that a length does not fit into a command APDU.
	ErrLength = errors.New("too many bytes for a command APDU")
	// ErrResponse means that bytes are no response APDU.
	ErrResponse = errors.New("not a response APDU: it has no status word")
)

// A Command is a command APDU: a header, Data with Nc bytes, and Ne, the largest number of bytes
// expected in the answer. No data and Ne 0 is case 1, no data case 2, Ne 0 case 3, both case 4.
type Command struct {
	CLA, INS, P1, P2 byte
	Data             []byte
	Ne               int  // 0 to MaxNe
	Extended         bool // extended length fields even where short ones do
}

// Bytes encodes the command.
func (c Command) Bytes() ([]byte, error) { return c.Append(nil) }

// Append appends the encoded command to dst. Length fields are extended if Extended is set or if
// short ones do not hold the lengths. A command with neither data nor Ne has no length fields.
// The error is ErrLength if no length field holds the lengths. The result is the only copy of the
// command: if the capacity of dst is too small, dst is copied before the command is appended.
func (c Command) Append(dst []byte) ([]byte, error) {
	nc := len(c.Data)
	if nc > MaxData || c.Ne < 0 || c.Ne > MaxNe {
		return dst, ErrLength
	}
	const lengths = 1 + 2 + 2 // the longest length fields
	dst = slices.Grow(dst, apdu.HeaderSize+lengths+nc)
	dst = append(dst, c.CLA, c.INS, c.P1, c.P2)
	if c.Extended || nc > MaxShortData || c.Ne > MaxShortNe {
		if nc > 0 || c.Ne > 0 {
			dst = append(dst, 0) // the mark of extended length fields
		}
		if nc > 0 {
			dst = append(append(dst, byte(nc>>8), byte(nc)), c.Data...)
		}
		if c.Ne > 0 {
			dst = append(dst, byte(c.Ne>>8), byte(c.Ne)) // MaxNe is 00 00
		}
		return dst, nil
	}
	if nc > 0 {
		dst = append(append(dst, byte(nc)), c.Data...)
	}
	if c.Ne > 0 {
		dst = append(dst, byte(c.Ne)) // MaxShortNe is 00
	}
	return dst, nil
}

// ParseCommand parses a command APDU. Data is a part of b. The error is ErrCommand if the length
// fields contradict the length of b.
func ParseCommand(b []byte) (Command, error) {
	parsed, err := apdu.Parse(b)
	if err != nil {
		return Command{}, ErrCommand
	}
	return Command{
		CLA: parsed.CLA, INS: parsed.INS, P1: parsed.P1, P2: parsed.P2,
		Data: parsed.Data, Ne: parsed.Le, Extended: parsed.Extended(),
	}, nil
}

// MaxAID is the longest application identifier (ISO/IEC 7816-4:2013, 12.2.3).
const MaxAID = 16

// Select is the command that selects an application by its identifier or the beginning of one
// (ISO/IEC 7816-4:2013, 11.1.1: P1 04, selection by DF name; P2 00, first occurrence with control
// information). Ne is 0: set it for cards that need Le.
func Select(aid []byte) Command {
	return Command{INS: 0xA4, P1: 0x04, Data: aid}
}
