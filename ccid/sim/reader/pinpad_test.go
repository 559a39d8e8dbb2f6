package reader

import (
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/ccid/sim/card"
)

// pad returns a host of a TPDU reader with a keypad, and a card that returns its last PIN block.
func pad(t *testing.T, atr []byte, entries ...Entry) *host {
	m := named(t, "pinpad")
	m.Functions[0].PINPad = &PINPad{Entries: entries}
	c := card.New(card.Options{ATR: atr, Applets: []card.Applet{&card.PIN{Always: true}}})
	h := attach(t, m, c)
	h.play("i 50 03")
	if string(atr) == string(card.ATRT0) {
		h.play(powerOnT0)
	} else {
		h.play(powerOnT1)
	}
	return h
}

const showPIN = `
	> 6F 05000000 00 09 00 0000 0040000008
	< 80 0A000000 00 09 00 00 00 `

func TestPINFormats(t *testing.T) {
	for _, tt := range []struct{ name, digits, formats, template, block string }{
		// bmFormatString, bmPINBlockString, bmPINLengthFormat (CCID 1.1, 6.1.11.1 to 6.1.11.3)
		{"ISO 9564 format 2: control and length nibbles, then BCD from the second byte", "1234",
			"89 47 04", "20 FFFFFFFFFFFFFF", "24 1234 FFFFFFFFFF"},
		{"the same with an odd number of digits: the filler stays", "12345", "89 47 04",
			"20 FFFFFFFFFFFFFF", "25 12345F FFFFFFFF"},
		{"ASCII, left", "1234", "82 08 00", "FFFFFFFF FFFFFFFF", "31323334 FFFFFFFF"},
		{"ASCII, right", "1234", "86 08 00", "00000000 00000000", "00000000 31323334"},
		{"binary digits", "1234", "80 08 00", "FFFFFFFF FFFFFFFF", "01020304 FFFFFFFF"},
		{"position in bits", "1234", "42 04 00", "EEFFFFFF FFFFFFFF", "EE313233 34FFFFFF"},
		{"length in a byte of its own, position in bytes", "123456", "8A 87 10",
			"00 FFFFFF FFFFFFFF", "06 313233343536 FF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := pad(t, card.ATRT0, Entry{Digits: tt.digits})
				h.play(`
				> 69 1C000000 00 02 00 0000 00 00 ` + tt.formats + ` 0804 02 01 0904 00 000000 00200000 08 ` + tt.template + `
				< 80 02000000 00 02 00 00 00 9000` + showPIN + tt.block + " 9000")
			})
		})
	}
}

func TestPINOfVariableLength(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pad(t, card.ATRT0, Entry{Digits: "12345"}).play(`
		> 69 14000000 00 02 00 0000 00 00 82 00 00 0804 02 01 0904 00 000000 00200000 00
		< 80 02000000 00 02 00 00 00 9000
		> 6F 05000000 00 09 00 0000 0040000005
		< 80 07000000 00 09 00 00 00 3132333435 9000`)
	})
}

func TestPINOverT1(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// The host sets NAD and PCB, the reader LEN and EDC.
		pad(t, card.ATRT1, Entry{Digits: "1234"}).play(`
		> 69 1C000000 00 02 00 0000 00 00 82 08 00 0804 02 01 0904 00 00000D 00200000 08 FFFFFFFF FFFFFFFF
		< 80 06000000 00 02 00 00 00 000002900092`)
	})
}

func TestPINModification(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		head := " 82 04 00 00 04 0804 "
		pad(t, card.ATRT0, Entry{Digits: "1111"}, Entry{Digits: "2222"}, Entry{Digits: "2222"}).play(`
		> 69 21000000 00 02 00 0000 01 00` + head + `03 02 03 0904 00 01 02 000000 00240000 08 00000000 00000000
		< 80 02000000 00 02 00 00 00 9000` + showPIN + "31313131 32323232 9000")
		// The new PIN only, one message index, and a confirmation that differs.
		pad(t, card.ATRT0, Entry{Digits: "2222"}, Entry{Digits: "2223"}).play(`
		> 69 1F000000 00 02 00 0000 01 00` + head + `01 02 01 0904 00 000000 00240000 08 31313131 00000000
		< 80 00000000 00 02 40 EF 00`)
	})
}

func TestPINEntries(t *testing.T) {
	const verify = "69 1C000000 00 02 00 0000 00 01 82 08 00 0804 02 01 0904 00 000000 00200000 08 FFFFFFFF FFFFFFFF"
	for _, tt := range []struct {
		name, answer string
		entry        Entry
	}{
		{"cancelled", "80 00000000 00 02 40 EF 00", Entry{Cancel: true}},
		{"no key pressed", "80 00000000 00 02 40 F0 00", Entry{Timeout: true}},
		{"too short", "80 00000000 00 02 40 EF 00", Entry{Digits: "123"}},
		{"too long", "80 00000000 00 02 40 EF 00", Entry{Digits: "123456789"}},
		{"a slow entry", "80 02000000 00 02 00 00 00 9000",
			Entry{Digits: "1234", After: 2 * time.Millisecond}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t,
				func(t *testing.T) {
					pad(t, card.ATRT0, tt.entry).play("> " + verify + "\n< " +
						tt.answer)
				})
		})
	}
	t.Run("a reader without a keypad", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			attach(t, New(TPDU),
				card.T0()).play(powerOnT0 + "> " + verify + "\n< 80 00000000 00 02 40 00 00")
		})
	})
	t.Run("formats that cannot be followed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			pad(t, card.ATRT0, Entry{Digits: "1234"}).play(`
			> 69 1C000000 00 02 00 0000 00 00 83 08 00 0804 02 01 0904 00 000000 00200000 08 FFFFFFFF FFFFFFFF
			< 80 00000000 00 02 40 0C 00
			> 69 1C000000 00 03 00 0000 00 00 82 0F 00 0804 02 01 0904 00 000000 00200000 08 FFFFFFFF FFFFFFFF
			< 80 00000000 00 03 40 0D 00
			> 69 1C000000 00 04 00 0000 07 00 82 08 00 0804 02 01 0904 00 000000 00200000 08 FFFFFFFF FFFFFFFF
			< 80 00000000 00 04 40 0A 00
			> 69 05000000 00 05 00 0000 00 00 82 08 00
			< 80 00000000 00 05 40 01 00`)
		})
	})
}
