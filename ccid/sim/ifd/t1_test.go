package ifd

import (
	"bytes"
	"fmt"
	"testing"

	"tamaccid/ccid/sim/card"
)

// TestT1Scenarios has the scenarios of ISO 7816-3, annex A (informative), as blocks. The LRCs are
// calculated by hand.
func TestT1Scenarios(t *testing.T) {
	for _, tt := range []struct {
		name, apdu, script, want string
		ifsc                     int
		err                      error
	}{
		{name: "I blocks in turn", apdu: "80 30 00 00", script: `
			> 00 00 04 80 30 00 00 B4
			< 00 00 02 90 00 92`, want: "90 00"},
		{name: "time extension", apdu: "80 30 00 00", script: `
			> 00 00 04 80 30 00 00 B4
			< 00 C3 01 02 C0
			> 00 E3 01 02 E0
			< 00 00 02 90 00 92`, want: "90 00"},
		{name: "the card changes its IFSC", apdu: "80 30 00 00", script: `
			> 00 00 04 80 30 00 00 B4
			< 00 C1 01 10 D0
			> 00 E1 01 10 F0
			< 00 00 02 90 00 92`, want: "90 00"},
		{name: "the device chains", apdu: "01 02 03 04 05", ifsc: 2, script: `
			> 00 20 02 01 02 21
			< 00 90 00 90
			> 00 60 02 03 04 65
			< 00 80 00 80
			> 00 00 01 05 04
			< 00 00 02 90 00 92`, want: "90 00"},
		{name: "the card chains", apdu: "80 30 00 00", script: `
			> 00 00 04 80 30 00 00 B4
			< 00 20 01 AA 8B
			> 00 90 00 90
			< 00 40 03 BB 90 00 68
			`, want: "AA BB 90 00"},
		{name: "the card receives an invalid block", apdu: "80 30 00 00", script: `
			> 00 00 04 80 30 00 00 B4
			< 00 81 00 81
			> 00 00 04 80 30 00 00 B4
			< 00 00 02 90 00 92`, want: "90 00"},
		{name: "the device receives an invalid block", apdu: "80 30 00 00", script: `
			> 00 00 04 80 30 00 00 B4
			< 00 00 02 90 00 93
			> 00 81 00 81
			< 00 00 02 90 00 92`, want: "90 00"},
		{name: "both receive an invalid block", apdu: "80 30 00 00", script: `
			> 00 00 04 80 30 00 00 B4
			< 00 00 02 90 00 93
			> 00 81 00 81
			< 00 81 00 81
			> 00 00 04 80 30 00 00 B4
			< 00 00 02 90 00 92`, want: "90 00"},
		{name: "no answer at all", apdu: "80 30 00 00", script: `
			> 00 00 04 80 30 00 00 B4
			<
			> 00 82 00 82
			< 00 00 02 90 00 92`, want: "90 00"},
		{name: "the card aborts a chain", apdu: "01 02 03", ifsc: 2, err: ErrProtocol, script: `
			> 00 20 02 01 02 21
			< 00 C2 00 C2
			> 00 E2 00 E2
			< 00 90 00 90`},
		{name: "retries end in RESYNCH", apdu: "80 30 00 00", err: ErrProtocol, script: `
			> 00 00 04 80 30 00 00 B4
			<
			> 00 82 00 82
			<
			> 00 82 00 82
			<
			> 00 82 00 82
			<
			> 00 C0 00 C0
			< 00 E0 00 E0`},
		{name: "an I block with a wrong N(S) is not accepted", apdu: "80 30 00 00", script: `
			> 00 00 04 80 30 00 00 B4
			< 00 40 02 90 00 D2
			> 00 82 00 82
			< 00 00 02 90 00 92`, want: "90 00"},
		{name: "a block longer than IFSD is not accepted", apdu: "80 30 00 00", script: `
			> 00 00 04 80 30 00 00 B4
			< 00 00 21 01 02 03 04 05 06 07 08 09 0A 0B 0C 0D 0E 0F 10 11 12 13 14 15 16 17 18 19 1A 1B 1C 1D 1E 1F 20 21 20
			> 00 82 00 82
			< 00 00 02 90 00 92`, want: "90 00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, c := script(t, tt.script)
			machine := T1{Line: l}
			machine.Reset(max(tt.ifsc, 0))
			l.Start()
			got, err := machine.Exchange(unhex(t, tt.apdu), nil)
			check(t, got, err, tt.want, tt.err)
			c.end()
		})
	}
}

// TestT1WithOneTransmissionFault has one fault at each block of an exchange with chains in both
// directions. The result must be that without faults.
func TestT1WithOneTransmissionFault(t *testing.T) {
	apdu := append([]byte{0x80, 0x36, 0, 40, 40}, make([]byte, 41)...)
	want := make([]byte, 40, 42)
	for i := range 40 {
		apdu[5+i], want[i] = byte(i), byte(i)
	}
	want = append(want, 0x90, 0)
	for _, crc := range []bool{false, true} {
		for _, toCard := range []bool{true, false} {
			for hit := card.Lost; hit <= card.Doubled; hit++ {
				for at := range 12 {
					t.Run(fmt.Sprintf("CRC %v, to card %v, kind %d, transmission %d", crc, toCard,
						hit, at), func(t *testing.T) {
						atr := card.ATRSpec{Protocols: []byte{1}, IFSC: 16, BWICWI: 0x45,
							CRC: crc}.Bytes()
						c := &card.Noise{Card: card.New(card.Options{ATR: atr,
							Applets: card.Applets(), T1: card.T1Options{Block: 9, WTX: 1}})}
						strike := func(n int) card.Hit {
							if n == at {
								return hit
							}
							return card.Clean
						}
						if toCard {
							c.ToCard = strike
						} else {
							c.FromCard = strike
						}
						c.Reset(true, card.AnyClass)
						machine := T1{Line: &Line{Card: c, Rate: card.DefaultRate, CRC: crc}}
						machine.Reset(16)
						got, err := machine.Exchange(apdu, nil)
						if err != nil || !bytes.Equal(got, want) {
							t.Fatalf("% X, %v", got, err)
						}
					})
				}
			}
		}
	}
}
