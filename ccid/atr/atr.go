// Package atr parses a card's answer to reset, and has the protocol and parameters selection (PPS)
// and the waiting times that follow from it. Parsing is apart from interpretation: Parse fills a
// neutral structure, Interpret applies the rules.
//
// Specifications: ISO/IEC 7816-3:2006, clauses 8 (answer to reset), 9 (PPS), 10.2 and 11.4
// (parameters of T=0 and T=1).
package atr

import (
	"errors"
	"fmt"
)

// MaxSize is the longest answer to reset: TS and 32 characters (ISO/IEC 7816-3:2006, 8.1).
const MaxSize = 33

// MaxGroups is the number of groups of interface bytes in 33 bytes if every group has only its TD:
// TS, T0 and 31 more.
const MaxGroups = 32

// Errors of Parse.
var (
	ErrSize      = errors.New("atr: wrong length")
	ErrTS        = errors.New("atr: unknown initial character")
	ErrTruncated = errors.New("atr: ends before its own format says so")
)

// TS values (ISO/IEC 7816-3:2006, 8.1), the first byte as a reader reports it: already decoded by
// its own convention.
const (
	tsDirect  = 0x3B
	tsInverse = 0x3F
	// tsInverseRaw is the inverse TS as some readers report it: decoded by the direct convention.
	tsInverseRaw = 0x03
)

// Bits of T0 and TD for the bytes that follow (ISO/IEC 7816-3:2006, 8.2.3).
const (
	hasTA = 0x10
	hasTB = 0x20
	hasTC = 0x40
	hasTD = 0x80
)

// Group is one set of interface bytes TA(i), TB(i), TC(i), TD(i).
type Group struct {
	// T is the protocol the group is for: the value in TD(i-1). It does not apply to the global
	// bytes of the first two groups.
	T          uint8
	TA, TB, TC uint8
	TD         uint8
	present    uint8
}

// HasTA reports whether TA(i) is present.
func (g Group) HasTA() bool { return g.present&hasTA != 0 }

// HasTB reports whether TB(i) is present.
func (g Group) HasTB() bool { return g.present&hasTB != 0 }

// HasTC reports whether TC(i) is present.
func (g Group) HasTC() bool { return g.present&hasTC != 0 }

// HasTD reports whether TD(i) is present, and another group follows.
func (g Group) HasTD() bool { return g.present&hasTD != 0 }

// Check is the state of the check character TCK.
type Check uint8

// States of TCK (ISO/IEC 7816-3:2006, 8.2.5). Some cards have a missing, a wrong or an unexpected
// check character, and libccid 1.8.2 accepts them. Therefore Parse reports the state, which is no
// error.
const (
	CheckNone    Check = iota // not present, and not required
	CheckGood                 // present and right
	CheckWrong                // present and wrong
	CheckMissing              // not present although a protocol other than T=0 is offered
)

// ATR is a parsed answer to reset. The zero value has none.
type ATR struct {
	raw    [MaxSize]byte
	size   uint8
	groups [MaxGroups]Group
	count  uint8
	hist   uint8 // start of the historical bytes
	histN  uint8
	extra  uint8 // bytes after the end
	check  Check
}

// Parse reads an answer to reset as a reader reports it. Bytes that follow a complete answer are
// kept, and counted by Extra. On ErrTruncated what is present is returned too. Other errors:
// ErrSize, ErrTS.
func Parse(b []byte) (ATR, error) {
	var a ATR
	if len(b) < 2 || len(b) > MaxSize {
		return a, fmt.Errorf("%w: %d bytes", ErrSize, len(b))
	}
	a.size = uint8(copy(a.raw[:], b))
	switch b[0] {
	case tsDirect, tsInverse, tsInverseRaw:
	default:
		return a, fmt.Errorf("%w: %02X", ErrTS, b[0])
	}
	at := 2
	next, t, needCheck := b[1], uint8(0), false
	for next&0xF0 != 0 && int(a.count) < MaxGroups {
		g := Group{T: t}
		for _, f := range [...]struct {
			bit  uint8
			into *uint8
		}{{hasTA, &g.TA}, {hasTB, &g.TB}, {hasTC, &g.TC}, {hasTD, &g.TD}} {
			if next&f.bit == 0 {
				continue
			}
			if at == len(b) {
				a.groups[a.count] = g
				a.count++
				return a, ErrTruncated
			}
			*f.into = b[at]
			g.present |= f.bit
			at++
		}
		a.groups[a.count] = g
		a.count++
		if !g.HasTD() {
			break
		}
		next, t = g.TD, g.TD&0x0F
		needCheck = needCheck || t != 0
	}
	a.hist = uint8(at)
	a.histN = b[1] & 0x0F
	if at+int(a.histN) > len(b) {
		a.histN = uint8(len(b) - at)
		return a, ErrTruncated
	}
	at += int(a.histN)
	if needCheck {
		a.check = checkCharacter(b, at)
		if a.check != CheckMissing {
			at++
		}
	}
	a.extra = uint8(len(b) - at)
	return a, nil
}

// checkCharacter verifies TCK at b[at]: the exclusive or of all bytes from T0 to TCK is zero.
func checkCharacter(b []byte, at int) Check {
	if at >= len(b) {
		return CheckMissing
	}
	var x byte
	for _, c := range b[1 : at+1] {
		x ^= c
	}
	if x != 0 {
		return CheckWrong
	}
	return CheckGood
}

// Bytes is the answer as it was received, a view into a.
func (a *ATR) Bytes() []byte { return a.raw[:a.size] }

// Groups are the interface bytes, group 1 first, a view into a.
func (a *ATR) Groups() []Group { return a.groups[:a.count] }

// Historical are the historical bytes, a view into a.
func (a *ATR) Historical() []byte { return a.raw[a.hist : a.hist+a.histN] }

// Check is the state of the check character.
func (a *ATR) Check() Check { return a.check }

// Extra is the number of bytes after a complete answer.
func (a *ATR) Extra() int { return int(a.extra) }

// Inverse reports whether the card uses the inverse convention (ISO/IEC 7816-3:2006, 8.1).
func (a *ATR) Inverse() bool { return a.size > 0 && a.raw[0] != tsDirect }
