package atr

// Defaults for parameters that an answer to reset does not have.
const (
	DefaultFiDi = 0x11 // F = 372, D = 1 (ISO/IEC 7816-3:2006, 8.3)
	DefaultWI   = 10   // ISO/IEC 7816-3:2006, 10.2
	DefaultIFSC = 32   // ISO/IEC 7816-3:2006, 11.4.2
	DefaultBWI  = 4    // ISO/IEC 7816-3:2006, 11.4.3
	DefaultCWI  = 13   // ISO/IEC 7816-3:2006, 11.4.3
)

// Bounds of the information field size (ISO/IEC 7816-3:2006, 11.4.2).
const (
	MinIFS = 1
	MaxIFS = 254
)

// Info is the interpretation of an answer to reset.
type Info struct {
	// Offered has bit t set for each transmission protocol T=t offered. First is the one the card
	// starts with (or, in specific mode, the only one).
	Offered uint16
	First   uint8
	// Specific is set if TA2 is present: no PPS, the card uses First with the parameters of the
	// ATR, or with implicit ones if Implicit is set. Fixed is set if a warm reset does not change
	// the card to negotiable mode.
	Specific, Implicit, Fixed bool
	// FiDi is TA1 or its default.
	FiDi uint8
	// ExtraGuard is N of TC1, in elementary time units; the meaning of 255 depends on the protocol.
	ExtraGuard uint8
	Inverse    bool
	// WI is TC2, for T=0.
	WI uint8
	// IFSC, BWI, CWI, CRC are those of T=1.
	IFSC     uint8
	BWI, CWI uint8
	CRC      bool
	// Classes has the operating conditions of T=15: bit 0 class A (5 V), bit 1 B (3 V), bit 2 C
	// (1.8 V); HasClasses is set if there is any. ClockStop is the two-bit clock stop indicator
	// (ISO/IEC 7816-3:2006, 8.3).
	HasClasses bool
	Classes    uint8
	ClockStop  uint8
}

// Clock stop indicators (ISO/IEC 7816-3:2006, 8.3, first TA for T=15).
const (
	ClockStopNo   = 0
	ClockStopLow  = 1
	ClockStopHigh = 2
	ClockStopAny  = 3
)

// Operating classes (ISO/IEC 7816-3:2006, 5.1.3 and table 10).
const (
	ClassA = 1 << 0 // 5 V
	ClassB = 1 << 1 // 3 V
	ClassC = 1 << 2 // 1.8 V
)

// Interpret applies the rules of ISO/IEC 7816-3:2006, 8.2.3 and 8.3: global bytes are those of the
// first two groups and those of T=15; a specific byte belongs to the protocol in the TD before it,
// and only the first of a kind counts.
func (a *ATR) Interpret() Info {
	i := Info{
		FiDi: DefaultFiDi, WI: DefaultWI, IFSC: DefaultIFSC, BWI: DefaultBWI, CWI: DefaultCWI,
		Inverse: a.Inverse(),
	}
	groups := a.Groups()
	first := true
	for _, g := range groups {
		if !g.HasTD() {
			continue
		}
		t := g.TD & 0x0F
		if t == 15 {
			continue // not a protocol: it qualifies global bytes
		}
		i.Offered |= 1 << t
		if first {
			i.First, first = t, false
		}
	}
	if i.Offered == 0 {
		i.Offered = 1 // no TD: T=0 only
	}
	var seenIFSC, seenWait, seenCheck, seenClass bool
	for n, g := range groups {
		switch {
		case n == 0:
			if g.HasTA() {
				i.FiDi = g.TA
			}
			if g.HasTC() {
				i.ExtraGuard = g.TC
			}
		case n == 1:
			if g.HasTA() {
				i.Specific = true
				i.First = g.TA & 0x0F
				i.Fixed = g.TA&0x80 != 0
				i.Implicit = g.TA&0x10 != 0
			}
			if g.HasTC() && g.TC != 0 { // zero is reserved
				i.WI = g.TC
			}
		case g.T == 1:
			if g.HasTA() && !seenIFSC {
				seenIFSC = true
				i.IFSC = clampIFS(g.TA)
			}
			if g.HasTB() && !seenWait {
				seenWait = true
				i.CWI = g.TB & 0x0F
				if bwi := g.TB >> 4; bwi <= maxBWI {
					i.BWI = bwi
				}
			}
			if g.HasTC() && !seenCheck {
				seenCheck = true
				i.CRC = g.TC&1 != 0
			}
		case g.T == 15:
			if g.HasTA() && !seenClass {
				seenClass = true
				i.HasClasses = g.TA&0x3F != 0
				i.Classes = g.TA & 0x3F
				i.ClockStop = g.TA >> 6
			}
		}
	}
	return i
}

// maxBWI is the largest value that is not reserved (ISO/IEC 7816-3:2006, 11.4.3).
const maxBWI = 9

// clampIFS replaces the reserved values 0 and 255 (ISO/IEC 7816-3:2006, 11.4.2) by the default and
// the largest value.
func clampIFS(v uint8) uint8 {
	switch v {
	case 0:
		return DefaultIFSC
	case 255:
		return MaxIFS
	}
	return v
}

// Offers reports whether the card offers protocol T=t.
func (i Info) Offers(t uint8) bool { return t < 15 && i.Offered&(1<<t) != 0 }
