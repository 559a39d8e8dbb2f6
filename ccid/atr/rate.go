package atr

import "time"

// fi holds F by its code, and fmax the largest clock frequency in kHz that goes with it (ISO/IEC
// 7816-3:2006, table 7).
var (
	fi   = [16]uint16{372, 372, 558, 744, 1116, 1488, 1860, 0, 0, 512, 768, 1024, 1536, 2048, 0, 0}
	fmax = [16]uint16{4000, 5000, 6000, 8000, 12000, 16000, 20000, 0, 0, 5000, 7500, 10000, 15000,
		20000, 0, 0}
	// di holds D by its code (ISO/IEC 7816-3:2006, table 8).
	di = [16]uint8{0, 1, 2, 4, 8, 16, 32, 64, 12, 20, 0, 0, 0, 0, 0, 0}
	// slower has the codes of D in descending order.
	slower = [...]uint8{7, 6, 9, 5, 8, 4, 3, 2, 1}
)

// F is the clock rate conversion integer of a FiDi byte, 0 where the code is reserved.
func F(fidi uint8) int { return int(fi[fidi>>4]) }

// D is the baud rate adjustment integer of a FiDi byte, 0 where the code is reserved.
func D(fidi uint8) int { return int(di[fidi&0x0F]) }

// MaxClock is the largest clock frequency in kHz for a FiDi byte's F, 0 where the code is reserved.
func MaxClock(fidi uint8) int { return int(fmax[fidi>>4]) }

// BitRate is the rate in bit/s of FiDi at a clock in kHz, 0 where a code is reserved.
func BitRate(fidi uint8, clock uint32) uint32 {
	f, d := F(fidi), D(fidi)
	if f == 0 || d == 0 {
		return 0
	}
	return uint32(uint64(clock) * 1000 * uint64(d) / uint64(f))
}

// Slower returns the FiDi with the next smaller D and the same F, and false if there is none: every
// pair between the card's and the default one may be proposed in a PPS (ISO/IEC 7816-3:2006, 9.2).
func Slower(fidi uint8) (uint8, bool) {
	have := D(fidi)
	for _, code := range slower {
		if int(di[code]) < have {
			return fidi&0xF0 | code, true
		}
	}
	return fidi, false
}

// Line has the settings of a card's line, from which its waits follow.
type Line struct {
	FiDi       uint8
	Clock      uint32 // kHz
	ExtraGuard uint8
	WI         uint8
	BWI, CWI   uint8
}

// Values in place of missing or reserved ones: the waits must not be zero (policy).
const (
	fallbackClock = 3580 // kHz, the slowest default clock of common readers
	fallbackFiDi  = DefaultFiDi
)

func (l Line) clock() uint64 {
	if l.Clock == 0 {
		return fallbackClock
	}
	return uint64(l.Clock)
}

func (l Line) fd() (f, d uint64) {
	f, d = uint64(F(l.FiDi)), uint64(D(l.FiDi))
	if f == 0 || d == 0 {
		f, d = uint64(F(fallbackFiDi)), uint64(D(fallbackFiDi))
	}
	return f, d
}

// cycles is the time of n clock cycles.
func (l Line) cycles(n uint64) time.Duration {
	return time.Duration(n * uint64(time.Millisecond) / l.clock())
}

// ETU is the time of n elementary time units (ISO/IEC 7816-3:2006, 7.1).
func (l Line) ETU(n uint64) time.Duration {
	f, d := l.fd()
	return l.cycles(n * f / d)
}

// Characters is the longest time that n characters take, extra guard time included (ISO/IEC
// 7816-3:2006, 8.3).
func (l Line) Characters(n int) time.Duration {
	etu := uint64(12)
	if l.ExtraGuard != 255 { // 255 is the minimum: 12 etu (T=0) or 11 (T=1)
		etu += uint64(l.ExtraGuard)
	}
	return l.ETU(etu * uint64(n))
}

// WaitingTime is T=0's WT = WI x 960 x Fi/f (ISO/IEC 7816-3:2006, 10.2).
func (l Line) WaitingTime() time.Duration {
	wi := uint64(l.WI)
	if wi == 0 {
		wi = DefaultWI
	}
	f, _ := l.fd()
	return l.cycles(wi * 960 * f)
}

// BlockWaitingTime is T=1's BWT = 11 etu + 2^BWI x 960 x 372/f (ISO/IEC 7816-3:2006, 11.4.3).
func (l Line) BlockWaitingTime() time.Duration {
	return l.ETU(11) + l.cycles(960*372<<min(l.BWI, maxBWI))
}

// CharacterWaitingTime is T=1's CWT = (11 + 2^CWI) etu (ISO/IEC 7816-3:2006, 11.4.3).
func (l Line) CharacterWaitingTime() time.Duration {
	return l.ETU(11 + 1<<(l.CWI&0x0F))
}
