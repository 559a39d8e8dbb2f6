package ccid

import (
	"context"
	"fmt"
	"math/bits"

	"tamaccid/ccid/atr"
	"tamaccid/ccid/internal/pipe"
)

// speeds are the FiDi values to try, the fastest first and the default last. In specific mode there
// is one.
func (s *Slot) speeds(p Protocol) []uint8 {
	if s.info.Specific {
		if s.info.Implicit {
			return []uint8{atr.DefaultFiDi}
		}
		return []uint8{s.info.FiDi}
	}
	list := make([]uint8, 0, maxSpeeds)
	if !s.r.quirk.NoPPS {
		for fidi, more := s.info.FiDi, true; more && len(list) < maxSpeeds-1; fidi,
			more = atr.Slower(fidi) {
			if s.runs(fidi) && fidi != atr.DefaultFiDi {
				list = append(list, fidi)
			}
		}
	}
	return append(list, atr.DefaultFiDi)
}

// maxSpeeds bounds the proposals to one card: the best two, and the default (policy: each failure
// needs a reset).
const maxSpeeds = 3

// runs reports whether the reader has the rate of FiDi, and that rate is faster than the default:
// not above the reader's highest rate, and in its table if it has one.
func (s *Slot) runs(fidi uint8) bool {
	clock, highest, table := s.r.class.DefaultClock, s.r.class.MaxDataRate, s.r.rates
	if limit := s.r.quirk.SecondaryMaxRate; limit != 0 && s.index > 0 {
		highest, table = min(highest, limit), nil
	}
	rate := atr.BitRate(fidi, clock)
	if rate == 0 || rate <= atr.BitRate(atr.DefaultFiDi, clock) || rate > highest &&
		!near(rate, highest) {
		return false
	}
	for _, listed := range table {
		if near(rate, listed) {
			return true
		}
	}
	return len(table) == 0
}

// near compares rates, in bit/s, that were rounded from clocks in kHz: the tolerance is 1 and 0.1
// percent.
func near(a, b uint32) bool {
	if a < b {
		a, b = b, a
	}
	return a-b <= 1+a/1000
}

// pps does the exchange (ISO/IEC 7816-3:2006, 9). After an error the card must be reset.
func (s *Slot) pps(ctx context.Context, p Protocol, fidi uint8) (uint8, error) {
	var request, response [atr.MaxPPS]byte
	b := atr.AppendPPS(request[:0], number(p), fidi)
	n := s.pipe.Load(b)
	got := 0
	// PPSS and PPS0 first: PPS0 has the number of those that follow
	if s.r.level == LevelCharacter {
		a, err := s.xfr(ctx, pipe.Command{
			P: xfrParameters(0, ppsStart), N: n, Want: ppsStart, Wait: s.r.timing.Answer,
		})
		if err != nil {
			return 0, err
		}
		if got = copy(response[:], a.Data); got != ppsStart {
			return 0, fmt.Errorf("%w: PPS response of %d characters", ErrProtocol, got)
		}
		rest := bits.OnesCount8(response[1]&ppsParameters) + 1
		a, err = s.xfr(ctx, pipe.Command{
			P: xfrParameters(0, uint16(rest)), Want: rest, Wait: s.r.timing.Answer,
		})
		if err != nil {
			return 0, err
		}
		got += copy(response[got:], a.Data)
	} else {
		a, err := s.xfr(ctx, pipe.Command{N: n, Want: atr.MaxPPS, Wait: s.r.timing.Answer})
		if err != nil {
			return 0, err
		}
		got = copy(response[:], a.Data)
	}
	agreed, err := atr.CheckPPS(b, response[:got])
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNoProtocol, err)
	}
	return agreed, nil
}

// ppsStart is the length of PPSS and PPS0, ppsParameters the bits of PPS0 that announce PPS1 to
// PPS3 (ISO/IEC 7816-3:2006, 9.2).
const (
	ppsStart      = 2
	ppsParameters = 0x70
)
