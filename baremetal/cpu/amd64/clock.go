package amd64

import "math/bits"

// A Clock turns values of a counter that runs evenly into nanoseconds. The zero value stands still.
//
// A counter may be set back: by firmware that wakes the machine or synchronises processors, or a
// hypervisor. The clock goes on from the time that it showed last.
type Clock struct {
	ticks, period uint64 // ticks of the counter in period nanoseconds
	start         uint64 // the counter at time 0
	last          uint64 // the counter at the last reading
}

// MakeClock makes a clock of a counter that advances by ticks in period nanoseconds, and shows now. One period has passed
// already: the runtime takes time 0 for no time.
func MakeClock(ticks, period, now uint64) Clock {
	ticks, period = max(ticks, 1), max(period, 1)
	return Clock{ticks: ticks, period: period, start: now - ticks, last: now}
}

// Nanoseconds is the time at which the counter shows tsc.
func (c *Clock) Nanoseconds(tsc uint64) int64 {
	const never = 1<<63 - 1
	if step := tsc - c.last; int64(step) < 0 {
		c.start += step // and not a wrap, which takes a century
	}
	c.last = tsc
	hi, lo := bits.Mul64(tsc-c.start, c.period)
	if hi >= c.ticks {
		return never
	}
	ns, _ := bits.Div64(hi, lo, c.ticks)
	return int64(min(ns, never))
}

// Ticks is by how much the counter advances in ns nanoseconds, 0 if it never does.
func (c *Clock) Ticks(ns int64) uint64 {
	hi, lo := bits.Mul64(uint64(ns), c.ticks)
	if hi >= c.period {
		return 0
	}
	n, _ := bits.Div64(hi, lo, c.period)
	return n
}

// Shift moves time 0 by ns into the past.
func (c *Clock) Shift(ns int64) { c.start -= c.Ticks(ns) }
