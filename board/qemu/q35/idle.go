//go:build tamago

package q35

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
	_ "unsafe" // for go:linkname

	"tamaccid/baremetal/cpu/amd64"
)

// The local APIC (SDM volume 3, 10.4 and 10.5).
const (
	msrAPICBase = 0x1b
	apicX2      = 1 << 10
	apicOn      = 1 << 11
	apicAddress = 0x000f_ffff_ffff_f000

	apicPriority = 0x80
	apicSpurious = 0xf0
	apicTimer    = 0x320
	apicLINT0    = 0x350
	apicLINT1    = 0x360
	apicCount    = 0x380
	apicCurrent  = 0x390
	apicDivide   = 0x3e0

	apicEnable = 1 << 8
	apicMasked = 1 << 16
	divideBy16 = 0b0011

	leafFeatures = 1
	featureAPIC  = 1 << 9 // EDX
)

const (
	// shortNap in nanoseconds is too short to halt for (policy).
	shortNap = 5_000
	// timerRun in nanoseconds is how long the APIC's timer is measured (policy).
	timerRun = 1_000_000
)

var (
	apic       uintptr // address of its registers, 0: there is none
	timerTicks uint64  // of the APIC's timer in timerTime nanoseconds
	timerTime  uint64

	naps  uint64
	slept int64
)

func nap()
func pause()
func stop()

//go:linkname idle runtime/goos.Idle
var idle func(until int64) = rest

// initTimer masks the PC's interrupt controllers and sets up the local APIC with its timer. Without
// one the board works, but does not sleep.
func initTimer() {
	amd64.Out8(masterData, maskAll)
	amd64.Out8(slaveData, maskAll)
	if _, _, _, d := amd64.CPUID(leafFeatures, 0); d&featureAPIC == 0 {
		return
	}
	base := amd64.ReadMSR(msrAPICBase)
	at := base & apicAddress
	if base&apicOn == 0 || base&apicX2 != 0 || !mapping.Map(at, at+pageSize, amd64.ProtectDevice) {
		return
	}
	apic = uintptr(at)
	apicWrite(apicSpurious, apicEnable|vectorSpurious)
	apicWrite(apicPriority, 0)
	apicWrite(apicLINT0, apicMasked)
	apicWrite(apicLINT1, apicMasked)
	apicWrite(apicDivide, divideBy16)
	apicWrite(apicTimer, apicMasked|vectorTimer)
	start := nanotime()
	apicWrite(apicCount, math.MaxUint32)
	now := start
	for now-start < timerRun {
		now = nanotime()
	}
	timerTicks = math.MaxUint32 - uint64(apicRead(apicCurrent))
	timerTime = uint64(now - start)
	apicWrite(apicCount, 0)
	apicWrite(apicTimer, vectorTimer)
	if timerTicks == 0 {
		apic = 0
	}
}

func apicRegister(offset uintptr) *uint32 { return (*uint32)(pointer(apic + offset)) }
func apicRead(offset uintptr) uint32      { return atomic.LoadUint32(apicRegister(offset)) }
func apicWrite(offset uintptr, v uint32)  { atomic.StoreUint32(apicRegister(offset), v) }

// rest is called in the dispatcher when no goroutine is ready before until. The processor sleeps at
// most until then.
func rest(until int64) {
	if until == math.MaxInt64 {
		fatal("nothing can happen any more: every goroutine waits for another")
	}
	now := nanotime()
	switch left := until - now; {
	case left <= 0:
	case left < shortNap || apic == 0:
		pause()
	default:
		apicWrite(apicCount, timerCount(uint64(left)))
		nap()
		naps++
		slept += nanotime() - now
	}
}

// timerCount returns the initial count with which the timer ends after ns nanoseconds, or earlier.
func timerCount(ns uint64) uint32 {
	hi, lo := bits.Mul64(ns, timerTicks)
	if hi >= timerTime {
		return math.MaxUint32
	}
	n, _ := bits.Div64(hi, lo, timerTime)
	return uint32(min(max(n, 1), math.MaxUint32))
}

// Slept returns how long the processor has been halted since the start, and how many times.
func Slept() (d time.Duration, times uint64) { return time.Duration(slept), naps }
