package card

import "errors"

// Command is a command APDU (ISO 7816-3, 12.1).
type Command struct {
	CLA, INS, P1, P2 byte
	Data             []byte
	// HasLe reports an Le field, and Ne is its value, the greatest number of data bytes of the
	// response. At T=0 a card cannot distinguish case 1 from case 2 with Ne = 256: HasLe is true
	// for both.
	HasLe bool
	Ne    int
	// Extended reports extended length fields.
	Extended bool
	// ByTPDU reports that the command arrived in a T=0 TPDU.
	ByTPDU bool
}

// Sizes of APDU fields (ISO 7816-3, 12.1.1).
const (
	headerSize = 4
	maxShort   = 256
	maxNe      = 65536
)

var errAPDU = errors.New("card: not a command APDU")

// ParseCommand parses a command APDU. Data is a part of b.
func ParseCommand(b []byte) (Command, error) {
	if len(b) < headerSize {
		return Command{}, errAPDU
	}
	c := Command{CLA: b[0], INS: b[1], P1: b[2], P2: b[3]}
	body := b[headerSize:]
	switch {
	case len(body) == 0: // case 1
	case len(body) == 1: // case 2S
		c.HasLe, c.Ne = true, short(body[0])
	case body[0] != 0: // case 3S, 4S
		n := int(body[0])
		if len(body) != 1+n && len(body) != 2+n {
			return Command{}, errAPDU
		}
		c.Data = body[1 : 1+n]
		if len(body) == 2+n {
			c.HasLe, c.Ne = true, short(body[1+n])
		}
	case len(body) == 3: // case 2E
		c.Extended, c.HasLe, c.Ne = true, true, extended(body[1], body[2])
	case len(body) > 3: // case 3E, 4E
		n := int(body[1])<<8 | int(body[2])
		if n == 0 || len(body) != 3+n && len(body) != 5+n {
			return Command{}, errAPDU
		}
		c.Extended, c.Data = true, body[3:3+n]
		if len(body) == 5+n {
			c.HasLe, c.Ne = true, extended(body[3+n], body[4+n])
		}
	default:
		return Command{}, errAPDU
	}
	return c, nil
}

// short returns the value of a short Le field.
func short(le byte) int {
	if le == 0 {
		return maxShort
	}
	return int(le)
}

// extended returns the value of an extended Le field.
func extended(hi, lo byte) int {
	if hi == 0 && lo == 0 {
		return maxNe
	}
	return int(hi)<<8 | int(lo)
}

// Status words (ISO 7816-4, 5.6).
const (
	swOK          = 0x9000
	swMore        = 0x6100 // low byte: number of bytes left
	swWrongLe     = 0x6C00 // low byte: the correct Le
	swWrongLength = 0x6700
	swConditions  = 0x6985
	swBlocked     = 0x6983
	swPINTries    = 0x63C0 // low nibble: tries left
	swWrongData   = 0x6A80
	swNotFound    = 0x6A82
	swNoINS       = 0x6D00
	swNoCLA       = 0x6E00
)
