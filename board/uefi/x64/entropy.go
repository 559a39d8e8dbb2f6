//go:build tamago

package x64

import (
	"unsafe"

	"tamaccid/uefi/gate"
)

const (
	cpuidFeatures = 1
	rdrandBit     = 30 // ECX
	cpuidExtended = 7
	rdseedBit     = 18 // EBX
	tries         = 10 // Intel DRNG guide, 5.2.1: retry limit

	rngGetRNG = 8 // EFI_RNG_PROTOCOL.GetRNG
)

var (
	rng      uintptr // EFI_RNG_PROTOCOL, 0: none
	hasSeed  bool
	hasRand  bool
	rngGUID  = [2]uint64{0x433deade3152bca5, 0x441f29dc1cc02e86} // 3152bca5-eade-433d-862e-c01cdc291f44
	rngArray [32]byte
)

func rdseed() (v uint64, ok bool)
func rdrand() (v uint64, ok bool)

//go:linkname initRNG runtime/goos.InitRNG
func initRNG() {
	highest, _, _, _ := cpuid(0, 0)
	_, _, c, _ := cpuid(cpuidFeatures, 0)
	hasRand = c>>rdrandBit&1 != 0
	if highest >= cpuidExtended {
		_, b, _, _ := cpuid(cpuidExtended, 0)
		hasSeed = b>>rdseedBit&1 != 0
	}
}

// getRandomData fills b from firmware's generator, or the processor's. A
// source that fails is reported: nothing is made up.
//
//go:linkname getRandomData runtime/goos.GetRandomData
func getRandomData(b []byte) {
	noEntropy(false)
	if rng == 0 {
		out = [2]uint64{}
		if call(boot(bsLocateProtocol), address(&rngGUID), 0, address(&out), 0) == 0 {
			rng = uintptr(out[0])
		}
	}
	for len(b) > 0 {
		n := min(len(b), len(rngArray))
		if !fill() {
			noEntropy(true)
			return
		}
		copy(b[:n], rngArray[:])
		rngArray = [len(rngArray)]byte{}
		b = b[n:]
	}
}

// fill makes rngArray random.
func fill() bool {
	if rng != 0 {
		const defaultAlgorithm = 0
		if call(gate.Word(rng, rngGetRNG), rng, defaultAlgorithm, uintptr(len(rngArray)), address(&rngArray)) == 0 {
			return true
		}
	}
	for i := 0; i < len(rngArray); i += 8 {
		v, ok := word()
		if !ok {
			return false
		}
		*(*uint64)(unsafe.Pointer(&rngArray[i])) = v
	}
	return true
}

func word() (uint64, bool) {
	for range tries {
		if hasSeed {
			if v, ok := rdseed(); ok {
				return v, true
			}
		}
		if hasRand {
			if v, ok := rdrand(); ok {
				return v, true
			}
		}
	}
	return 0, false
}
