package reader

import (
	"testing"
	"testing/synctest"

	"tamaccid/ccid/sim/card"
)

// both returns a card for T=0 and T=1 with F = 512 and D = 32. powerOnBoth expects its ATR after a
// power on with a bPowerSelect.
func both(t *testing.T) *card.Chip {
	t.Helper()
	c, err := card.Named("t0t1")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func powerOnBoth(selection string) string {
	return "> 62 00000000 00 01 " + selection +
		" 0000\n< 80 10000000 00 01 00 00 00 3B98 96 80 31FE45 74616D6163636964 10\n"
}

func with(level Level, features uint32) Model {
	m := New(level)
	m.Functions[0].CCID.Features |= features
	return m
}

const (
	block = "\n> 6F 05000000 00 08 00 0000 00C101FE3E\n< 80 05000000 00 08 00 00 00 00E101FE1E\n"
	mute  = "\n> 6F 05000000 00 09 00 0000 00C101FE3E\n< 80 00000000 00 09 40 FE 00\n"
)

func TestPPSByTheHostAndSetParameters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// The card has the new rate after the PPS, the reader after SetParameters. Between the two
		// no exchange is possible.
		attach(t, named(t, "manual"), both(t)).play(`
		> 62 00000000 00 00 00 0000
		< 80 00000000 00 00 41 07 00
	` + powerOnBoth("01") + `
		> 6F 04000000 00 02 00 0000 FF119678
		< 80 04000000 00 02 00 00 00 FF119678
	` + mute + `
		> 61 07000000 00 03 01 0000 96 10 00 45 00 FE 00
		< 82 07000000 00 03 00 00 01 96 10 00 45 00 FE 00
	` + block + `
		> 6C 00000000 00 04 00 0000
		< 82 07000000 00 04 00 00 01 96 10 00 45 00 FE 00
		> 6D 00000000 00 05 00 0000
		< 82 05000000 00 05 00 00 00 11 00 00 0A 00` + mute)
	})
}

func TestPPSByTheReaderAtSetParameters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attach(t, with(TPDU, AutoPPS), both(t)).play(powerOnBoth("00") + `
		# 500,000 bit/s is more than dwMaxDataRate
		> 61 07000000 00 02 01 0000 97 10 00 45 00 FE 00
		< 82 00000000 00 02 40 0A 00
		> 61 07000000 00 03 01 0000 96 10 00 45 00 FE 00
		< 82 07000000 00 03 00 00 01 96 10 00 45 00 FE 00` + block)
		// A card that keeps the default rate: the answer has that rate.
		slow := card.New(card.Options{ATR: card.ATRBoth, Applets: card.Applets(),
			PPS: card.DefaultPPS})
		attach(t, with(TPDU, AutoPPS), slow).play(powerOnBoth("00") + `
		> 61 07000000 00 03 01 0000 96 10 00 45 00 FE 00
		< 82 07000000 00 03 00 00 01 11 10 00 45 00 FE 00` + block)
		// A card without an answer, or with a wrong one.
		for _, policy := range []card.PPSPolicy{card.MutePPS, card.WrongPPS, card.GarbledPPS} {
			c := card.New(card.Options{ATR: card.ATRBoth, PPS: policy})
			attach(t, with(TPDU, AutoPPS), c).play(powerOnBoth("00") + `
			> 61 07000000 00 03 01 0000 96 10 00 45 00 FE 00
			< 82 00000000 00 03 40 FE 00`)
		}
	})
}

func TestAutomaticNegotiation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attach(t, with(TPDU, AutoNegotiation), both(t)).play(powerOnBoth("00") + `
		> 6C 00000000 00 02 00 0000
		< 82 05000000 00 02 00 00 00 96 00 00 0A 00
		> 61 05000000 00 03 00 0000 11 00 00 0A 00
		< 82 00000000 00 03 40 00 00
		> 6F 05000000 00 04 00 0000 8030000000
		< 80 02000000 00 04 00 00 00 9000`)
	})
}

func TestSetDataRateAndClockFrequency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attach(t, named(t, "data-rate-command"), both(t)).play(powerOnBoth("00") + `
		> 6F 04000000 00 02 00 0000 FF119678
		< 80 04000000 00 02 00 00 00 FF119678
		> 61 07000000 00 03 01 0000 96 10 00 45 00 FE 00
		< 82 07000000 00 03 00 00 01 96 10 00 45 00 FE 00
	` + mute + `
		# 4,000 kHz and 250,000 bit/s; a too high clock; a too high rate; a wrong length
		> 73 08000000 00 04 00 0000 A00F0000 90D00300
		< 84 08000000 00 04 00 00 00 A00F0000 90D00300
	` + block + `
		> 73 08000000 00 05 00 0000 FFFF0000 90D00300
		< 84 00000000 00 05 40 0A 00
		> 73 08000000 00 06 00 0000 A00F0000 FFFFFF00
		< 84 00000000 00 06 40 0E 00
		> 73 04000000 00 07 00 0000 A00F0000
		< 84 00000000 00 07 40 01 00`)
		attach(t, New(TPDU), both(t)).play(powerOnBoth("00") + `
		> 73 08000000 00 04 00 0000 A00F0000 90D00300
		< 84 00000000 00 04 40 00 00`)
	})
}

func TestVoltages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		low, err := card.Named("t0-3v") // 3 V and 1.8 V
		if err != nil {
			t.Fatal(err)
		}
		const atr = "3B 88 80 1F 06 74616D6163636964 05"
		attach(t, named(t, "manual"), low).play(`
		> 62 00000000 00 01 01 0000
		< 80 00000000 00 01 41 FE 00
		> 62 00000000 00 02 02 0000
		< 80 0E000000 00 02 00 00 00 ` + atr)
		attach(t, New(TPDU), low).play(
			"> 62 00000000 00 01 00 0000\n< 80 0E000000 00 01 00 00 00 " + atr)
		m := New(TPDU)
		m.Functions[0].CCID.VoltageSupport = 1 // 5 V only
		attach(t, m, low).play("> 62 00000000 00 01 00 0000\n< 80 00000000 00 01 41 FE 00")
	})
}

func TestReaderNegotiatesIFSDFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent []string
		spy := card.New(card.Options{ATR: card.ATRT1, Applets: card.Applets(),
			T1: card.T1Options{Respond: func(block, answer []byte) []byte {
				sent = append(sent, string(block))
				return answer
			}}})
		h := attach(t, with(TPDU, AutoIFSD), spy)
		h.play(powerOnT1 +
			"> 6F 08000000 00 04 00 0000 00000480300000B4\n" +
			"< 80 06000000 00 04 00 00 00 000002900092")
		if len(sent) != 2 || sent[0] != "\x00\xC1\x01\xFE\x3E" {
			t.Errorf("the card received %q", sent)
		}
	})
}

func TestHostileATRs(t *testing.T) {
	for _, tt := range []struct {
		name, atr, answer string
		level             Level
	}{
		{"an invalid TS", "00 00", "80 00000000 00 01 41 F8 00", TPDU},
		{"a wrong TCK", "3B 80 81 31 FE 45 00", "80 00000000 00 01 41 F7 00", TPDU},
		{"a truncated ATR", "3B FF 11", "80 00000000 00 01 41 FE 00", TPDU},
		{"a truncated ATR in a reader that does not parse it", "3B FF 11",
			"80 03000000 00 01 00 00 00 3B FF 11", Character},
		{"interface characters without end",
			"3B FF 11 22 33 F0 11 22 33 F0 11 22 33 F0 11 22 33 F0", "80 00000000 00 01 41 FE 00",
			TPDU},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := New(tt.level)
				if tt.level == Character {
					m.Functions[0].CCID.Features &^= AutoATR
				}
				attach(t, m, card.New(card.Options{ATR: unhex(t, tt.atr)})).play(
					"> 62 00000000 00 01 00 0000\n< " + tt.answer)
			})
		})
	}
}
