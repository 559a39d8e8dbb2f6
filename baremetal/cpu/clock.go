package cpu

import "math/bits"

// A Clock turns values of a counter with a constant rate into nanoseconds. The zero value stands
// still.
//
// A counter may be set back, by firmware that wakes the machine or synchronises processors or by a
// hypervisor. The clock then goes on from the time of its last reading.
type Clock struct {
	ticks, period uint64 // ticks of the counter in period nanoseconds
	start         uint64 // the counter at time 0
	last          uint64 // the counter at the last reading
}

// MakeClock returns a clock for a counter that advances by ticks in period nanoseconds and has the
// value now. The clock starts at one period: the runtime takes time 0 for an unset time.
func MakeClock(ticks, period, now uint64) Clock {
	ticks, period = max(ticks, 1), max(period, 1)
	return Clock{ticks: ticks, period: period, start: now - ticks, last: now}
}

// Nanoseconds returns the time at which the counter has the value counter, at most 1<<63 - 1.
func (c *Clock) Nanoseconds(counter uint64) int64 {
	const never = 1<<63 - 1
	if step := counter - c.last; int64(step) < 0 {
		c.start += step // the counter was set back: it takes a century to wrap around
	}
	c.last = counter
	hi, lo := bits.Mul64(counter-c.start, c.period)
	if hi >= c.ticks {
		return never
	}
	ns, _ := bits.Div64(hi, lo, c.ticks)
	return int64(min(ns, never))
}

// Ticks returns by how much the counter advances in ns nanoseconds, 0 if that exceeds 64 bits.
func (c *Clock) Ticks(ns int64) uint64 {
	hi, lo := bits.Mul64(uint64(ns), c.ticks)
	if hi >= c.period {
		return 0
	}
	n, _ := bits.Div64(hi, lo, c.period)
	return n
}

// Shift moves time 0 by ns nanoseconds into the past.
func (c *Clock) Shift(ns int64) { c.start -= c.Ticks(ns) }
