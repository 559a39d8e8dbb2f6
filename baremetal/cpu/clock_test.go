package cpu

import (
	"math"
	"testing"
)

func TestClock(t *testing.T) {
	const second, year = 1_000_000_000, 365 * 86400 * 1_000_000_000
	for _, c := range []struct {
		name                 string
		ticks, period, start uint64
		tsc                  uint64
		want                 int64
	}{
		{"a period has passed at the start", 3_000_000_000, second, 5000, 5000, second},
		{"a counter of 3 GHz after a second more", 3_000_000_000, second, 5000, 3_000_005_000,
			2 * second},
		{"a counter of 1 MHz", 1, 1000, 0, 7, 8000},
		{"a counter that wraps around", 1, 1, math.MaxUint64 - 4, 5, 11},
		{"half a century at 5 GHz", 5, 1, 0, 5 * 50 * year, 50*year + 1},
		{"later than time goes", 1, math.MaxUint64, 0, 100, math.MaxInt64},
		{"just later than time goes", 1, 1 << 62, 0, 2, math.MaxInt64},
		{"a rate of 0 counts as the lowest rate", 0, 0, 10, 12, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			clock := MakeClock(c.ticks, c.period, c.start)
			if got := clock.Nanoseconds(c.tsc); got != c.want {
				t.Errorf("%d ns, want %d", got, c.want)
			}
		})
	}
}

func TestClockGoesOnWhenTheCounterIsSetBack(t *testing.T) {
	const rate, second = 3_000_000_000, 1_000_000_000
	for _, c := range []struct {
		name string
		back uint64 // from ten seconds after the start, in ticks
	}{
		{"by a tick", 1},
		{"by less than since the start", 5 * rate},
		{"to the start", 10 * rate},
		{"by a second more than since the start", 11 * rate},
		{"by an hour", 3600 * rate},
	} {
		t.Run(c.name, func(t *testing.T) {
			const start = 7 * rate
			clock := MakeClock(rate, second, start)
			now := uint64(start + 10*rate)
			if got := clock.Nanoseconds(now); got != 11*second {
				t.Fatalf("%d ns before", got)
			}
			now -= c.back
			if got := clock.Nanoseconds(now); got != 11*second {
				t.Errorf("%d ns when the counter was set back", got)
			}
			if got := clock.Nanoseconds(now + 2*rate); got != 13*second {
				t.Errorf("%d ns two seconds later", got)
			}
		})
	}
}

func TestTicksAreTheClocksInverse(t *testing.T) {
	clock := MakeClock(2_995_200_017, 1_000_000_000, 77)
	for _, ns := range []int64{0, 1, 1000, 20_000_000, 3_600_000_000_000} {
		clock, ticks := clock, clock.Ticks(ns)
		before := clock.Nanoseconds(77)
		if got := clock.Nanoseconds(77+ticks) - before; got < ns-1 || got > ns {
			t.Errorf("%d ns are %d ticks, which are %d ns", ns, ticks, got)
		}
	}
	never := MakeClock(math.MaxUint64, 1, 0)
	if got := never.Ticks(math.MaxInt64); got != 0 {
		t.Errorf("a number that is too large: %d", got)
	}
}

func TestShiftMovesTheStart(t *testing.T) {
	clock := MakeClock(3, 1, 1000)
	before := clock.Nanoseconds(4000)
	clock.Shift(500)
	if got := clock.Nanoseconds(4000); got != before+500 {
		t.Errorf("%d, want %d", got, before+500)
	}
}
