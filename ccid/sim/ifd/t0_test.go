package ifd

import "testing"

func TestT0ProcedureBytes(t *testing.T) {
	for _, tt := range []struct {
		name, tpdu, script, want string
		err                      error
		asked                    int
	}{
		{name: "ACK, all the data, SW (ISO 7816-3, 10.3.3)", tpdu: "00 A4 00 00 02 3F 00", script: `
			> 00 A4 00 00 02
			< A4
			> 3F 00
			< 90 00`, want: "90 00"},
		{name: "complemented ACK: one byte each", tpdu: "00 A4 00 00 02 3F 00", script: `
			> 00 A4 00 00 02
			< 5B
			> 3F
			< 5B
			> 00
			< 61 10`, want: "61 10"},
		{name: "one byte, then the rest", tpdu: "00 A4 00 00 03 3F 00 11", script: `
			> 00 A4 00 00 03
			< 5B
			> 3F
			< A4
			> 00 11
			< 90 00`, want: "90 00"},
		{name: "NULLs are time extensions at each position", tpdu: "00 B0 00 00 02", script: `
			> 00 B0 00 00 02
			< 60
			< 60 B0 AA BB
			< 60
			< 90 00`, want: "AA BB 90 00", asked: 3},
		{name: "data with the values of procedure bytes", tpdu: "00 B0 00 00 04", script: `
			> 00 B0 00 00 04
			< B0 60 90 61 B0 90 00`, want: "60 90 61 B0 90 00"},
		{name: "single bytes from the card", tpdu: "00 B0 00 00 02", script: `
			> 00 B0 00 00 02
			< 4F 01 4F 02 90 00`, want: "01 02 90 00"},
		{name: "a status instead of data", tpdu: "00 B0 00 00 02", script: `
			> 00 B0 00 00 02
			< 6C 05`, want: "6C 05"},
		{name: "a header of four bytes has P3 = 00", tpdu: "00 44 00 00", script: `
			> 00 44 00 00 00
			< 90 00`, want: "90 00"},
		{name: "no answer", tpdu: "00 B0 00 00 02", script: "> 00 B0 00 00 02\n<", err: ErrMute},
		{name: "an incomplete answer", tpdu: "00 B0 00 00 02", script: "> 00 B0 00 00 02\n< B0 01",
			err: ErrMute, want: "01"},
		{name: "an incomplete status", tpdu: "00 B0 00 00 02", script: "> 00 B0 00 00 02\n< 90",
			err: ErrMute, want: "90"},
		{name: "another procedure byte", tpdu: "00 B0 00 00 02", script: "> 00 B0 00 00 02\n< 33",
			err: ErrProcedure},
		{name: "one ACK too many", tpdu: "00 A4 00 00 01 3F",
			script: "> 00 A4 00 00 01\n< A4\n> 3F\n< A4", err: ErrProcedure},
		{name: "wrong parity", tpdu: "00 B0 00 00 02",
			script: "> 00 B0 00 00 02\n< ~B0 01 02 90 00", err: ErrParity},
		{name: "P3 differs from the length of the data", tpdu: "00 A4 00 00 03 3F 00", script: "",
			err: ErrLength},
		{name: "an incomplete header", tpdu: "00 A4 00", script: "", err: ErrLength},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, c := script(t, tt.script)
			if tt.script == "" {
				c.lines = nil
			}
			l.Start()
			got, err := l.T0(unhex(t, tt.tpdu), nil)
			check(t, got, err, tt.want, tt.err)
			if tt.asked != 0 && len(l.Extensions) != tt.asked {
				t.Errorf("%d time extensions, expected %d", len(l.Extensions), tt.asked)
			}
			c.end()
		})
	}
}

func TestAPDUsOverT0(t *testing.T) {
	same := Classes{GetResponse: 0xFF, Envelope: 0xFF}
	for _, tt := range []struct{ name, apdu, script, want string }{
		{"case 1: P3 = 00", "80 10 01 02", "> 80 10 01 02 00\n< 90 00", "90 00"},
		{"case 2, Le accepted", "80 B0 00 00 02", "> 80 B0 00 00 02\n< B0 01 02 90 00",
			"01 02 90 00"},
		{"case 2, Le = 256", "80 B0 00 00 00", "> 80 B0 00 00 00\n< 67 00", "67 00"},
		{"case 2, wrong Le: again with the card's", "80 B0 00 00 09",
			"> 80 B0 00 00 09\n< 6C 01\n> 80 B0 00 00 01\n< B0 07 90 00", "07 90 00"},
		{"case 2, data by GET RESPONSE", "80 B0 00 00 00",
			"> 80 B0 00 00 00\n< 61 02\n> 80 C0 00 00 02\n< C0 01 02 90 00", "01 02 90 00"},
		{"case 3", "80 D0 00 00 02 01 02", "> 80 D0 00 00 02\n< D0\n> 01 02\n< 90 00", "90 00"},
		{"case 4, 61xx", "80 D0 00 00 01 01 00",
			"> 80 D0 00 00 01\n< D0\n> 01\n< 61 03\n> 80 C0 00 00 03\n< C0 0A 0B 0C 90 00",
			"0A 0B 0C 90 00"},
		{"case 4, at most Le bytes", "80 D0 00 00 01 01 02",
			"> 80 D0 00 00 01\n< D0\n> 01\n< 61 03\n> 80 C0 00 00 02\n< C0 0A 0B 61 01",
			"0A 0B 61 01"},
		{"case 4, 90 00 and then data", "80 D0 00 00 01 01 02",
			"> 80 D0 00 00 01\n< D0\n> 01\n< 90 00\n> 80 C0 00 00 02\n< C0 0A 0B 90 00",
			"0A 0B 90 00"},
		{"case 4, a warning ends the command", "80 D0 00 00 01 01 02",
			"> 80 D0 00 00 01\n< D0\n> 01\n< 62 00", "62 00"},
		{"case 4, GET RESPONSE twice", "80 D0 00 00 01 01 00",
			"> 80 D0 00 00 01\n< D0\n> 01\n< 61 02\n> 80 C0 00 00 02\n" +
				"< C0 0A 0B 61 01\n> 80 C0 00 00 01\n< C0 0C 90 00", "0A 0B 0C 90 00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, c := script(t, tt.script)
			l.Start()
			got, err := l.APDU0(unhex(t, tt.apdu), nil, same)
			check(t, got, err, tt.want, nil)
			c.end()
		})
	}
}
