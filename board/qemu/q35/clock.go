//go:build tamago

package q35

import (
	"runtime/goos"
	_ "unsafe" // for go:linkname

	"github.com/usbarmory/tamago/soc/intel/rtc"

	"tamaccid/baremetal/cpu"
	"tamaccid/baremetal/cpu/amd64"
)

// The ACPI power management timer (ACPI, 4.8.3.3): 24 bits at least.
const (
	pmRate = 3579545 // Hz
	pmMask = 1<<24 - 1

	calibrations = 3            // policy: the median counts
	calibration  = pmRate / 200 // policy: 5 ms each
	maxReads     = 1_000_000    // policy: a calibration takes fewer, of about a microsecond each
	nsPerSecond  = 1_000_000_000
)

// The interval timer's channel 2 and its gate (ICH9, 5.7 and 13.7.1).
const (
	pitRate     = 1193182 // Hz
	pitChannel2 = 0x42
	pitControl  = 0x43
	pitOneShot  = 0xb0 // channel 2, low and high byte, mode 0
	pitGate     = 0x61
	gateOn      = 1 << 0
	gateSpeaker = 1 << 1
	gateOut     = 1 << 5
	pitCount    = pitRate / 100 // policy: 10 ms
)

var clock cpu.Clock

// initClock finds the rate of the time stamp counter: the processor reports it, or it is measured
// against a timer of known rate.
func initClock() {
	rate := amd64.TSCRate()
	if rate == 0 {
		rate = rateByPM()
	}
	if rate == 0 {
		rate = rateByPIT()
	}
	if rate == 0 {
		fatal("there is no clock: neither CPUID 15H nor a power management or interval timer")
	}
	clock = cpu.MakeClock(rate, nsPerSecond, amd64.TSC())
}

// rateByPM measures against the power management timer. 0: there is none.
func rateByPM() uint64 {
	port := powerManagement()
	if port == 0 {
		return 0
	}
	port += pmTimer
	var rates [calibrations]uint64
	for i := range rates {
		start, tsc := amd64.In32(port), amd64.TSC()
		passed := uint32(0)
		for n := 0; passed < calibration && n < maxReads; n++ {
			passed = (amd64.In32(port) - start) & pmMask
		}
		if passed < calibration {
			return 0
		}
		rates[i] = (amd64.TSC() - tsc) * pmRate / uint64(passed)
	}
	a, b, c := rates[0], rates[1], rates[2]
	return max(min(a, b), min(max(a, b), c))
}

// rateByPIT measures against the interval timer. 0: there is none.
func rateByPIT() uint64 {
	amd64.Out8(pitGate, amd64.In8(pitGate)&^(gateOn|gateSpeaker))
	amd64.Out8(pitControl, pitOneShot)
	amd64.Out8(pitChannel2, pitCount&0xff)
	amd64.Out8(pitChannel2, pitCount>>8)
	tsc := amd64.TSC()
	amd64.Out8(pitGate, amd64.In8(pitGate)|gateOn)
	for range maxReads {
		if amd64.In8(pitGate)&gateOut != 0 {
			return (amd64.TSC() - tsc) * pitRate / pitCount
		}
	}
	return 0
}

// nanotime is the time since the clock was set up, in nanoseconds.
//
//go:linkname nanotime runtime/goos.Nanotime
func nanotime() int64 { return clock.Nanoseconds(amd64.TSC()) }

// rtcTries bounds the readings of the real-time clock until two agree: it cannot be read during an
// update, which takes 2 ms (policy).
const rtcTries = 100_000

// The wall clock is the PC's real-time clock, taken for UTC.
func init() {
	var chip rtc.RTC
	for range rtcTries {
		first, err := chip.Now()
		if err != nil {
			continue
		}
		if second, err := chip.Now(); err == nil && second.Equal(first) {
			goos.WallOffset = first.UnixNano() - nanotime()
			return
		}
	}
}
