package card

import (
	"fmt"
	"sort"
)

// Historical bytes of the cards of this package.
var historical = []byte("tamaccid")

// ATRs of the cards that Named makes.
var (
	// ATRT0 offers T=0 at the default rate.
	ATRT0 = ATRSpec{Historical: historical}.Bytes()
	// ATRT1 offers T=1 with an IFSC of 254 and LRC.
	ATRT1 = ATRSpec{Protocols: []byte{1}, IFSC: maxIFS, BWICWI: 0x45, Historical: historical}.Bytes()
	// ATRT1CRC offers T=1 with an IFSC of 254 and CRC.
	ATRT1CRC = ATRSpec{Protocols: []byte{1}, IFSC: maxIFS, BWICWI: 0x45, CRC: true, Historical: historical}.Bytes()
	// ATRBoth offers T=0 and T=1 and a faster rate: F = 512, D = 32.
	ATRBoth = ATRSpec{TA1: 0x96, Protocols: []byte{0, 1}, IFSC: maxIFS, BWICWI: 0x45, Historical: historical}.Bytes()
	// ATRSpecific is at T=1 and F = 512, D = 32 from its reset on.
	ATRSpecific = ATRSpec{TA1: 0x96, Specific: true, Protocols: []byte{1}, IFSC: maxIFS, BWICWI: 0x45, Historical: historical}.Bytes()
)

// Applets returns a fresh set of all applets. Exchange is the one selected by a reset; its PIN is "0000" followed by zero bytes.
func Applets() []Applet {
	pin := func() *PIN { return &PIN{Reference: []byte{'0', '0', '0', '0', 0, 0, 0, 0}} }
	return []Applet{&Exchange{PIN: pin()}, Hello{}, Echo{}, Slow{}, pin(), &Exchange{Name: CombiAID}}
}

// T0 is a card with all applets that speaks T=0.
func T0() *Chip { return New(Options{ATR: ATRT0, Applets: Applets()}) }

// T1 is a card with all applets that speaks T=1.
func T1() *Chip { return New(Options{ATR: ATRT1, Applets: Applets()}) }

var catalog = map[string]func() Options{
	"t0":          func() Options { return Options{ATR: ATRT0} },
	"t1":          func() Options { return Options{ATR: ATRT1} },
	"t1-crc":      func() Options { return Options{ATR: ATRT1CRC} },
	"t0t1":        func() Options { return Options{ATR: ATRBoth} },
	"t1-specific": func() Options { return Options{ATR: ATRSpecific} },
	"t1-small": func() Options {
		return Options{ATR: ATRSpec{Protocols: []byte{1}, IFSC: 16, BWICWI: 0x45, Historical: historical}.Bytes(), T1: T1Options{Block: 10}}
	},
	"t1-wtx":   func() Options { return Options{ATR: ATRT1, T1: T1Options{WTX: 2, IFSRequest: 64}} },
	"t0-pedal": func() Options { return Options{ATR: ATRT0, T0: T0Options{OneByOne: true, Nulls: 2}} },
	"t0-6c":    func() Options { return Options{ATR: ATRT0, T0: T0Options{Case1: Case1WrongLe}} },
	"t0-3v": func() Options {
		return Options{ATR: ATRSpec{Class: byte(ClassB | ClassC), Historical: historical}.Bytes(), Voltages: ClassB | ClassC}
	},
	"mute": func() Options { return Options{} },
}

// Named makes a card of the catalogue, with all applets.
func Named(name string) (*Chip, error) {
	f, ok := catalog[name]
	if !ok {
		return nil, fmt.Errorf("card: no card %q; there are %v", name, Names())
	}
	o := f()
	o.Applets = Applets()
	return New(o), nil
}

// Names lists the catalogue.
func Names() []string {
	names := make([]string, 0, len(catalog))
	for n := range catalog {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}
