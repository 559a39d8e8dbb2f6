//go:build tamago

package x64

import (
	"math/bits"
	_ "unsafe" // for go:linkname

	"tamaccid/uefi/gate"
)

const (
	cpuidTSC = 0x15 // TSC and core crystal clock ratio

	calibrations     = 3    // policy: a disturbed one is too long, the shortest counts
	calibrationStall = 5000 // microseconds each
	nsPerStall       = calibrationStall * 1000
	nsPerSecond      = 1000000000
)

var (
	tsc0 uint64
	// ticks of the counter in period nanoseconds.
	ticks  uint64 = 1
	period uint64 = 1
)

func cpuid(leaf, subleaf uint32) (eax, ebx, ecx, edx uint32)

// initClock finds the rate of the time stamp counter: from the processor when
// it tells, else against firmware's Stall.
func initClock() {
	if highest, _, _, _ := cpuid(0, 0); highest >= cpuidTSC {
		den, num, crystal, _ := cpuid(cpuidTSC, 0)
		if den != 0 && num != 0 && crystal != 0 {
			ticks, period = uint64(crystal)*uint64(num)/uint64(den), nsPerSecond
		}
	}
	if period == 1 {
		ticks = ^uint64(0)
		for range calibrations {
			start := gate.TSC()
			call(boot(bsStall), calibrationStall, 0, 0, 0)
			ticks = min(ticks, gate.TSC()-start)
		}
		period = nsPerStall
	}
	if ticks == 0 {
		ticks = 1
	}
	gate.TicksPerMs = max(1, ticks*1000000/period)
	// The runtime takes time 0 for no time.
	tsc0 = gate.TSC() - ticks
}

// nanotime is the time since the image was entered, in nanoseconds.
//
//go:linkname nanotime runtime/goos.Nanotime
func nanotime() int64 {
	hi, lo := bits.Mul64(gate.TSC()-tsc0, period)
	if hi >= ticks {
		return 1<<63 - 1
	}
	ns, _ := bits.Div64(hi, lo, ticks)
	return int64(ns)
}

// ticksOf is how many ticks d nanoseconds take.
func ticksOf(d int64) uint64 {
	hi, lo := bits.Mul64(uint64(d), ticks)
	if hi >= period {
		return 0
	}
	n, _ := bits.Div64(hi, lo, period)
	return n
}

// wallClock asks firmware for the time, in nanoseconds since 1970; 0 when it
// has none. A clock without a time zone is taken for UTC.
func wallClock() int64 {
	rt := gate.Word(gate.SystemTable(), stRuntime)
	var zero [2]uint64
	out = zero
	if call(gate.Word(rt, rtGetTime), address(&out), 0, 0, 0) != 0 {
		return 0
	}
	// EFI_TIME (UEFI 2.11, 8.3): year, month, day, hour, minute, second, pad,
	// nanosecond, zone in minutes to add for UTC.
	year, month, day := int64(out[0]&0xffff), int64(out[0]>>16&0xff), int64(out[0]>>24&0xff)
	hour, minute, second := int64(out[0]>>32&0xff), int64(out[0]>>40&0xff), int64(out[0]>>48&0xff)
	nano, zone := int64(uint32(out[1])), int64(int16(out[1]>>32))
	if year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 {
		return 0
	}
	const unspecified = 0x07ff
	if zone == unspecified {
		zone = 0
	}
	s := ((daysSince1970(year, month, day)*24+hour)*60+minute+zone)*60 + second
	return s*nsPerSecond + nano
}

// daysSince1970 counts days in the Gregorian calendar.
func daysSince1970(year, month, day int64) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	return 365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 719469
}
