//go:build tamago

package uefi

import (
	"unsafe"

	"tamaccid/uefi/gate"
)

const rngGetRNG = 8 // EFI_RNG_PROTOCOL.GetRNG

var (
	rng uintptr // EFI_RNG_PROTOCOL, 0: none
	// 3152bca5-eade-433d-862e-c01cdc291f44
	rngGUID  = [2]uint64{0x433deade3152bca5, 0x441f29dc1cc02e86}
	rngArray [32]byte
)

//go:linkname initRNG runtime/goos.InitRNG
func initRNG() { initProcessorEntropy() }

// getRandomData fills b from firmware's generator, or the processor's. Without either, or when both
// fail, crypto/rand fails.
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

// fill fills rngArray with random bytes and reports whether it could.
func fill() bool {
	if rng != 0 {
		const defaultAlgorithm = 0
		get, size := gate.Word(rng, rngGetRNG), uintptr(len(rngArray))
		if call(get, rng, defaultAlgorithm, size, address(&rngArray)) == 0 {
			return true
		}
	}
	for i := 0; i < len(rngArray); i += 8 {
		v, ok := randomWord()
		if !ok {
			return false
		}
		*(*uint64)(unsafe.Pointer(&rngArray[i])) = v
	}
	return true
}
