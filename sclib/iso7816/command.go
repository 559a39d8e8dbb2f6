// Package iso7816 builds and reads what a program and a card say to each other: command APDUs, response APDUs, status words.
//
// Specifications: ISO/IEC 7816-3:2006, 12.1 (the encoding of commands); ISO/IEC 7816-4:2013, 5.1 to 5.6 (their meaning).
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
	ErrCommand  = errors.New("not a command APDU")
	ErrLength   = errors.New("too many bytes for a command APDU")
	ErrResponse = errors.New("not a response APDU: it has no status word")
)

// A Command is a command APDU: a header, Data with Nc bytes, and Ne, the largest number of bytes expected in the answer.
// No data and Ne 0 is case 1, no data case 2, Ne 0 case 3, both case 4.
type Command struct {
	CLA, INS, P1, P2 byte
	Data             []byte
	Ne               int  // 0 to MaxNe
	Extended         bool // extended length fields even where short ones do
}

// Bytes encodes the command.
func (c Command) Bytes() ([]byte, error) { return c.Append(nil) }

// Append appends the encoded command to dst. Length fields are extended if Extended says so or if
// short ones do not hold the lengths. A command with neither data nor Ne has no length fields.
// ErrLength says that no length field holds the lengths. The result is the only copy of the
// command: a dst without room for it is copied once, before.
func (c Command) Append(dst []byte) ([]byte, error) {
	nc := len(c.Data)
	if nc > MaxData || c.Ne < 0 || c.Ne > MaxNe {
		return dst, ErrLength
	}
	const lengths = 1 + 2 + 2 // the most that length fields take
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

// ParseCommand reads a command APDU. Data lies within b. ErrCommand says that the lengths contradict each other.
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

// Select is the command that selects an application by its identifier or the beginning of one (ISO/IEC 7816-4:2013, 11.1.1:
// P1 04, selection by DF name; P2 00, first occurrence with control information). Ne is 0: set it for cards that want it.
func Select(aid []byte) Command {
	return Command{INS: 0xA4, P1: 0x04, Data: aid}
}
