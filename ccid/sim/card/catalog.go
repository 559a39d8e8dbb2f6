package card

import (
	"fmt"
	"maps"
	"slices"
)

// historical are the historical bytes of the cards of the catalogue.
var historical = []byte("tamaccid")

// ATRs of cards of the catalogue.
var (
	// ATRT0 offers T=0 at the default rate.
	ATRT0 = ATRSpec{Historical: historical}.Bytes()
	// ATRT1 offers T=1 with an IFSC of 254 and LRC.
	ATRT1 = ATRSpec{Protocols: []byte{1}, IFSC: maxIFS, BWICWI: 0x45,
		Historical: historical}.Bytes()
	// ATRT1CRC offers T=1 with an IFSC of 254 and CRC.
	ATRT1CRC = ATRSpec{Protocols: []byte{1}, IFSC: maxIFS, BWICWI: 0x45, CRC: true,
		Historical: historical}.Bytes()
	// ATRBoth offers T=0 and T=1 and a faster rate: F = 512, D = 32.
	ATRBoth = ATRSpec{TA1: 0x96, Protocols: []byte{0, 1}, IFSC: maxIFS, BWICWI: 0x45,
		Historical: historical}.Bytes()
	// ATRSpecific is in specific mode with T=1, F = 512 and D = 32.
	ATRSpecific = ATRSpec{TA1: 0x96, Specific: true, Protocols: []byte{1}, IFSC: maxIFS,
		BWICWI: 0x45, Historical: historical}.Bytes()
)

// Applets returns a new set of all applets. A reset selects Exchange. The PIN is "0000", followed
// by four zero bytes.
func Applets() []Applet {
	pin := func() *PIN { return &PIN{Reference: []byte{'0', '0', '0', '0', 0, 0, 0, 0}} }
	return []Applet{&Exchange{PIN: pin()}, Hello{}, Echo{}, Slow{}, pin(),
		&Exchange{Name: CombiAID}}
}

// T0 returns a T=0 card with all applets.
func T0() *Chip { return New(Options{ATR: ATRT0, Applets: Applets()}) }

// T1 returns a T=1 card with all applets.
func T1() *Chip { return New(Options{ATR: ATRT1, Applets: Applets()}) }

// catalog has the options of the cards by name, without applets.
var catalog = map[string]func() Options{
	"t0":          func() Options { return Options{ATR: ATRT0} },
	"t1":          func() Options { return Options{ATR: ATRT1} },
	"t1-crc":      func() Options { return Options{ATR: ATRT1CRC} },
	"t0t1":        func() Options { return Options{ATR: ATRBoth} },
	"t1-specific": func() Options { return Options{ATR: ATRSpecific} },
	"t1-small": func() Options {
		return Options{ATR: ATRSpec{Protocols: []byte{1}, IFSC: 16, BWICWI: 0x45,
			Historical: historical}.Bytes(), T1: T1Options{Block: 10}}
	},
	"t1-wtx": func() Options {
		return Options{ATR: ATRT1,
			T1: T1Options{WTX: 2, IFSRequest: 64}}
	},
	"t0-pedal": func() Options {
		return Options{ATR: ATRT0,
			T0: T0Options{OneByOne: true, Nulls: 2}}
	},
	"t0-6c": func() Options { return Options{ATR: ATRT0, T0: T0Options{Case1: Case1WrongLe}} },
	"t0-3v": func() Options {
		return Options{ATR: ATRSpec{Class: byte(ClassB | ClassC), Historical: historical}.Bytes(),
			Voltages: ClassB | ClassC}
	},
	"mute": func() Options { return Options{} },
}

// Named returns a card of the catalogue, with all applets. Names lists the names.
func Named(name string) (*Chip, error) {
	f, ok := catalog[name]
	if !ok {
		return nil, fmt.Errorf("card: unknown card %q, known are %v", name, Names())
	}
	o := f()
	o.Applets = Applets()
	return New(o), nil
}

// Names returns the names of the catalogue, sorted.
func Names() []string { return slices.Sorted(maps.Keys(catalog)) }
