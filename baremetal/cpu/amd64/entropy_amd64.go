package amd64

// tries is how often the generator is read before it counts as failed (DRNG, 5.2.1).
const tries = 10

// Entropy is the processor's random number generator. The zero value has none.
type Entropy struct{ seed, rand bool }

// FindEntropy returns the generator that the processor has, if any.
func FindEntropy() (e Entropy) {
	highest, _, _, _ := CPUID(leafHighest, 0)
	_, _, c, _ := CPUID(leafFeatures, 0)
	e.rand = c>>rdrandBit&1 != 0
	if highest >= leafExtended {
		_, b, _, _ := CPUID(leafExtended, 0)
		e.seed = b>>rdseedBit&1 != 0
	}
	return e
}

func rdseed() (v uint64, ok bool)
func rdrand() (v uint64, ok bool)

// Word returns 64 random bits, from RDSEED where the processor has it. ok is false when there is no
// generator, or it fails.
func (e Entropy) Word() (v uint64, ok bool) {
	for range tries {
		if e.seed {
			if v, ok := rdseed(); ok {
				return v, true
			}
		}
		if e.rand {
			if v, ok := rdrand(); ok {
				return v, true
			}
		}
	}
	return 0, false
}
