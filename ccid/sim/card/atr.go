package card

import "errors"

// ATRSpec describes an answer to reset to build. The zero value is a T=0 card at the default rate
// without historical bytes. The order of Protocols is that of the offer.
type ATRSpec struct {
	TA1 byte // 0: not sent, which means the default rate
	TC1 byte // extra guard time, 0: not sent

	// Specific puts the card into specific mode at Protocols[0] (TA2). Implicit adds the bit that
	// makes TA1 not apply.
	Specific, Implicit bool

	Protocols []byte // nil: T=0 and no TD1
	WI        byte   // waiting time integer of T=0 (TC2), 0: not sent
	IFSC      byte   // first TA for T=1, 0: not sent
	BWICWI    byte   // first TB for T=1, 0: not sent
	CRC       bool   // first TC for T=1

	// Class, if not zero, is sent as the first TA for T=15: the clock stop indicator in bits 8 and
	// 7, the classes in the others (ISO 7816-3, 8.3).
	Class byte

	Historical []byte // at most 15
}

// Presence bits of a Y nibble (ISO 7816-3, 8.2.2).
const (
	hasTA = 0x10
	hasTB = 0x20
	hasTC = 0x40
	hasTD = 0x80
)

// A group is the interface characters after one Y.
type group struct {
	y     byte // presence of TA, TB, TC
	chars []byte
	t     byte // protocol named by the TD before it
}

// add appends a character unless it is zero.
func (g *group) add(bit, v byte) {
	if v != 0 {
		g.y |= bit
		g.chars = append(g.chars, v)
	}
}

// Bytes returns the answer (ISO 7816-3, 8.2) in direct convention, with TCK if it is required.
func (s ATRSpec) Bytes() []byte {
	first := group{}
	first.add(hasTA, s.TA1)
	first.add(hasTC, s.TC1)
	// The second group follows TD1 and has the global TA2 and the TC2 of T=0, for each protocol in
	// TD1. The characters of T=1 begin in the third group (ISO 7816-3, 8.2.3 and 11.4).
	protocols := s.Protocols
	if len(protocols) == 0 {
		protocols = []byte{0}
	}
	second := group{t: protocols[0]}
	if s.Specific {
		protocols = protocols[:1]
		second.y, second.chars = hasTA, []byte{protocols[0]}
		if s.Implicit {
			second.chars[0] |= 0x10
		}
	}
	second.add(hasTC, s.WI)

	var rest []group
	for i, t := range protocols {
		g := group{t: t}
		if t == 1 {
			g.add(hasTA, s.IFSC)
			g.add(hasTB, s.BWICWI)
			if s.CRC {
				g.add(hasTC, 1)
			}
		}
		if i > 0 || len(g.chars) > 0 {
			rest = append(rest, g)
		}
	}
	if s.Class != 0 {
		rest = append(rest, group{t: 15, y: hasTA, chars: []byte{s.Class}})
	}

	groups := []group{first}
	if second.t != 0 || len(second.chars) > 0 || len(rest) > 0 {
		groups = append(append(groups, second), rest...)
	}
	return s.assemble(groups)
}

// assemble returns the answer with these groups of interface characters.
func (s ATRSpec) assemble(groups []group) []byte {
	historical := s.Historical[:min(len(s.Historical), 15)]
	atr := []byte{0x3B}
	tck := false
	for i, g := range groups {
		low := g.t
		if i == 0 {
			low = byte(len(historical))
		} else if g.t != 0 {
			tck = true // each protocol but T=0 requires TCK (ISO 7816-3, 8.2.5)
		}
		y := g.y
		if i < len(groups)-1 {
			y |= hasTD
		}
		atr = append(append(atr, y|low), g.chars...)
	}
	atr = append(atr, historical...)
	if tck {
		atr = append(atr, LRC(atr[1:]))
	}
	return atr
}

// Info is the content of an answer to reset that a card and an interface device need.
type Info struct {
	Offered []byte // protocols in the order of the offer, without T=15
	TA1     byte
	// Specific reports specific mode (TA2), with protocol Mode and, without Implicit, the rate of
	// TA1.
	Specific, Implicit bool
	Mode               byte
	IFSC               byte
	CRC                bool
	// TCK reports that the answer has a TCK, because it names a protocol other than T=0.
	TCK bool
}

var errATR = errors.New("card: answer to reset is truncated")

// ParseATR parses the characters that the protocol machines need. A truncated answer is an error,
// and Info has what precedes its end: a card may send an invalid answer, and must still work.
func ParseATR(atr []byte) (Info, error) {
	p := Info{TA1: DefaultRate, IFSC: defaultIFS} // ISO 7816-3, 8.3 and 11.4.2
	if len(atr) < 2 {
		p.Offered = []byte{0}
		return p, errATR
	}
	at, y, t := 2, atr[1], byte(0)
	short := false
	next := func(bit byte) (byte, bool) {
		if y&bit == 0 {
			return 0, false
		}
		if at >= len(atr) {
			short = true
			return 0, false
		}
		at++
		return atr[at-1], true
	}
	sawT1 := false
	for i := 1; ; i++ {
		if v, ok := next(hasTA); ok {
			switch {
			case i == 1:
				p.TA1 = v
			case i == 2:
				p.Specific, p.Implicit, p.Mode = true, v&0x10 != 0, v&0x0F
			case t == 1 && !sawT1:
				p.IFSC = v
			}
		}
		next(hasTB)
		if v, ok := next(hasTC); ok && i > 2 && t == 1 && !sawT1 {
			p.CRC = v&1 != 0
		}
		if i > 2 && t == 1 {
			sawT1 = true
		}
		td, ok := next(hasTD)
		if !ok {
			break
		}
		y, t = td&0xF0, td&0x0F
		p.TCK = p.TCK || t != 0
		if t != 15 && (len(p.Offered) == 0 || p.Offered[len(p.Offered)-1] != t) {
			p.Offered = append(p.Offered, t)
		}
	}
	if len(p.Offered) == 0 {
		p.Offered = []byte{0}
	}
	end := at + int(atr[1]&0x0F)
	if p.TCK {
		end++
	}
	if short || end > len(atr) {
		return p, errATR
	}
	return p, nil
}

// First returns the card's protocol without a PPS exchange.
func (i Info) First() byte {
	if i.Specific {
		return i.Mode
	}
	return i.Offered[0]
}

// Rate returns the TA1 of the card's rate without a PPS exchange.
func (i Info) Rate() byte {
	if i.Specific && !i.Implicit {
		return i.TA1
	}
	return DefaultRate
}
