//go:build tamago

package uefi

import (
	_ "unsafe" // for go:linkname

	"tamaccid/baremetal/cpu"
	"tamaccid/uefi/gate"
)

const (
	calibrations     = 3    // policy: an interrupt makes one too long, so that the shortest counts
	calibrationStall = 5000 // microseconds each
	nsPerStall       = calibrationStall * 1000
	nsPerSecond      = 1000000000
)

var clock cpu.Clock

// initClock finds the rate of the processor's counter: the processor reports it, or it is measured
// against firmware's Stall.
func initClock() {
	ticks, period := counterRate(), uint64(nsPerSecond)
	if ticks == 0 {
		ticks, period = ^uint64(0), nsPerStall
		for range calibrations {
			start := gate.Counter()
			call(boot(bsStall), calibrationStall, 0, 0, 0)
			ticks = min(ticks, gate.Counter()-start)
		}
	}
	clock = cpu.MakeClock(ticks, period, gate.Counter())
	gate.TicksPerMs = max(1, clock.Ticks(nsPerSecond/1000))
}

// nanotime returns the time since the image was entered, in nanoseconds, without the time that
// passed in gate.Yield.
//
//go:linkname nanotime runtime/goos.Nanotime
func nanotime() int64 { return clock.Nanoseconds(gate.Counter() - gate.Skipped) }

// wallClock returns firmware's time in nanoseconds since 1970, 0 when firmware has none. A clock
// without a time zone is taken for UTC.
func wallClock() int64 {
	rt := gate.Word(gate.SystemTable(), stRuntime)
	var zero [2]uint64
	out = zero
	if call(gate.Word(rt, rtGetTime), address(&out), 0, 0, 0) != 0 {
		return 0
	}
	// EFI_TIME (UEFI 2.11, 8.3): year, month, day, hour, minute, second, pad, nanosecond, and the
	// zone as minutes to add for UTC.
	year, month, day := int64(out[0]&0xffff), int64(out[0]>>16&0xff), int64(out[0]>>24&0xff)
	hour, minute, second := int64(out[0]>>32&0xff), int64(out[0]>>40&0xff), int64(out[0]>>48&0xff)
	nano, zone := int64(uint32(out[1])), int64(int16(out[1]>>32))
	if year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 {
		return 0
	}
	const unspecified = 0x07ff // EFI_UNSPECIFIED_TIMEZONE
	if zone == unspecified {
		zone = 0
	}
	s := ((daysSince1970(year, month, day)*24+hour)*60+minute+zone)*60 + second
	return s*nsPerSecond + nano
}

// daysSince1970 returns the number of days in the Gregorian calendar from 1970-01-01 to a date.
func daysSince1970(year, month, day int64) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	return 365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 719469
}
