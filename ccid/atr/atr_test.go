package atr

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, atr string
		err       error
		groups    int
		hist      string
		check     Check
		extra     int
	}{
		{"the shortest", "3B 00", nil, 0, "", CheckNone, 0},
		{"T=0 by default has no check character", "3B 02 14 50", nil, 0, "1450", CheckNone, 0},
		{"T=1 has one", "3B 80 01 81", nil, 1, "", CheckGood, 0},
		{"a wrong one is a finding", "3B 80 01 82", nil, 1, "", CheckWrong, 0},
		{"a missing one is a finding", "3B 80 01", nil, 1, "", CheckMissing, 0},
		{"T=0 by TD1 has none", "3B 80 00", nil, 1, "", CheckNone, 0},
		{"T=0 and T=15 has one", "3B 80 80 1F 03 1C", nil, 3, "", CheckGood, 0},
		{"a contactless card, composed by the reader",
			"3B 8F 80 01 80 4F 0C A0 00 00 03 06 03 00 01 00 00 00 00 6A", nil, 2,
			"804F0CA0000003060300010000 0000", CheckGood, 0},
		{"OpenPGP card 1.1", "3B FA 13 00 FF 81 31 80 45 00 31 C1 73 C0 01 00 00 90 00 B1", nil, 3,
			"0031C173C00100009000", CheckGood, 0},
		{"inverse convention", "3F 00", nil, 0, "", CheckNone, 0},
		{"inverse convention as some readers report it", "03 00", nil, 0, "", CheckNone, 0},
		{"bytes after the end are counted", "3B 00 AA BB", nil, 0, "", CheckNone, 2},
		{"another TS", "3A 00", ErrTS, 0, "", CheckNone, 0},
		{"empty", "", ErrSize, 0, "", CheckNone, 0},
		{"TS alone", "3B", ErrSize, 0, "", CheckNone, 0},
		{"34 bytes", "3B 00" + strings.Repeat("00", 32), ErrSize, 0, "", CheckNone, 0},
		{"interface bytes missing", "3B F0 11", ErrTruncated, 1, "", CheckNone, 0},
		{"historical bytes missing", "3B 05 41 42", ErrTruncated, 0, "4142", CheckNone, 0},
		// CVE-2010-4531 (pcsc-lite), libccid ae01cdd.
		{"chains that overran tables",
			"3B FF 11 22 33 F0 11 22 33 F0 11 22 33 F0 11 22 33 F0 11 22 33 F0 11 22 33 F0 11 22 " +
				"33 F0 11", ErrTruncated, 8, "", CheckNone, 0},
		{"a chain of nothing but TD", "3B 80" + strings.Repeat("80", 31), ErrTruncated, 32, "",
			CheckNone, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := unhex(t, c.atr)
			a, err := Parse(in)
			if !errors.Is(err, c.err) {
				t.Fatalf("%v, want %v", err, c.err)
			}
			if errors.Is(err, ErrSize) {
				return
			}
			if len(a.Groups()) != c.groups || !bytes.Equal(a.Historical(), unhex(t, c.hist)) ||
				a.Check() != c.check ||
				a.Extra() != c.extra || !bytes.Equal(a.Bytes(), in) {
				t.Fatalf("%d groups, % X, check %d, extra %d", len(a.Groups()), a.Historical(),
					a.Check(), a.Extra())
			}
		})
	}
}

func TestInterpret(t *testing.T) {
	base := Info{FiDi: 0x11, WI: 10, IFSC: 32, BWI: 4, CWI: 13}
	with := func(f func(i *Info)) Info { i := base; f(&i); return i }
	for _, c := range []struct {
		name, atr string
		want      Info
	}{
		{"defaults are T=0", "3B 00", with(func(i *Info) { i.Offered = 1 })},
		{"TA1 and TC1", "3B 50 96 FF",
			with(func(i *Info) { i.Offered, i.FiDi, i.ExtraGuard = 1, 0x96, 0xFF })},
		{"T=1 alone", "3B 80 01 81", with(func(i *Info) { i.Offered, i.First = 2, 1 })},
		{"both protocols, T=0 first", "3B 80 80 01 01", with(func(i *Info) { i.Offered = 3 })},
		{"specific mode", "3B 90 96 10 81 17",
			with(func(i *Info) {
				i.Offered, i.First, i.Specific, i.Fixed, i.FiDi = 1, 1, true, true,
					0x96
			})},
		{"specific mode with implicit parameters", "3B 80 10 11 91",
			with(func(i *Info) { i.Offered, i.First, i.Specific, i.Implicit = 1, 1, true, true })},
		{"WI of T=0", "3B 80 40 20", with(func(i *Info) { i.Offered, i.WI = 1, 0x20 })},
		{"WI of zero is reserved", "3B 80 40 00", with(func(i *Info) { i.Offered = 1 })},
		{"T=1 with IFSC, waits and CRC", "3B 80 81 71 FE 75 01 00",
			with(func(i *Info) {
				i.Offered, i.First, i.IFSC, i.BWI, i.CWI, i.CRC = 2, 1, 0xFE, 7, 5,
					true
			})},
		{"only the first bytes of a kind count", "3B 80 81 91 20 11 FE 00",
			with(func(i *Info) { i.Offered, i.First, i.IFSC = 2, 1, 0x20 })},
		{"IFSC of 255 means 254", "3B 80 81 11 FF 00",
			with(func(i *Info) { i.Offered, i.First, i.IFSC = 2, 1, 254 })},
		{"IFSC of 0 means the default", "3B 80 81 11 00 00",
			with(func(i *Info) { i.Offered, i.First = 2, 1 })},
		{"BWI above 9 is reserved", "3B 80 81 21 FF 00",
			with(func(i *Info) { i.Offered, i.First, i.CWI = 2, 1, 15 })},
		{"bytes after T=15 are not T=1's", "3B 80 81 1F C3 00",
			with(func(i *Info) {
				i.Offered, i.First, i.HasClasses, i.Classes, i.ClockStop = 2, 1,
					true, 3, 3
			})},
		{"T=15 is no protocol", "3B 80 80 9F 02 01 00",
			with(func(i *Info) { i.Offered, i.First, i.HasClasses, i.Classes = 3, 0, true, 2 })},
		{"inverse convention", "3F 00", with(func(i *Info) { i.Offered, i.Inverse = 1, true })},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := Parse(unhex(t, c.atr))
			if err != nil {
				t.Fatal(err)
			}
			if got := a.Interpret(); got != c.want {
				t.Fatalf("\n%+v, want\n%+v", got, c.want)
			}
		})
	}
	if i := base; i.Offers(15) || (Info{Offered: 2}).Offers(0) || !(Info{Offered: 2}).Offers(1) {
		t.Fatal("Offers")
	}
}

func TestRates(t *testing.T) {
	for _, c := range []struct {
		fidi  uint8
		clock uint32
		rate  uint32
	}{
		// 372/1, 372/12, 512/16, 512/32, 512/64 at 4 MHz
		{0x11, 4000, 10752}, {0x18, 4000, 129032}, {0x95, 4000, 125000}, {0x96, 4000, 250000},
		{0x97, 4000, 500000},
		{0x71, 4000, 0}, {0x10, 4000, 0}, {0x1F, 4000, 0},
	} {
		if got := BitRate(c.fidi, c.clock); got != c.rate {
			t.Errorf("FiDi %02X at %d kHz: %d, want %d", c.fidi, c.clock, got, c.rate)
		}
	}
	var steps []byte
	for fidi, more := uint8(0x97), true; more; {
		if fidi, more = Slower(fidi); more {
			steps = append(steps, fidi)
		}
	}
	if !bytes.Equal(steps, []byte{0x96, 0x99, 0x95, 0x98, 0x94, 0x93, 0x92, 0x91}) {
		t.Errorf("stepping down: % X", steps)
	}
	if MaxClock(0x96) != 5000 || F(0xF1) != 0 || D(0x19) != 20 {
		t.Error("tables")
	}
}

func TestWaits(t *testing.T) {
	l := Line{FiDi: 0x11, Clock: 3720, WI: 10, BWI: 4, CWI: 13} // one etu is 100 us
	for _, c := range []struct {
		name string
		got  time.Duration
		want time.Duration
	}{
		{"etu", l.ETU(1), 100 * time.Microsecond},
		{"WT", l.WaitingTime(), 960 * time.Millisecond},
		{"BWT", l.BlockWaitingTime(), 1100*time.Microsecond + 1536*time.Millisecond},
		{"CWT", l.CharacterWaitingTime(), 8203 * 100 * time.Microsecond},
		{"characters", l.Characters(10), 12 * time.Millisecond},
		{"guard time", Line{FiDi: 0x11, Clock: 3720, ExtraGuard: 8}.Characters(10),
			20 * time.Millisecond},
		{"guard time 255 is the minimum", Line{FiDi: 0x11, Clock: 3720,
			ExtraGuard: 255}.Characters(10), 12 * time.Millisecond},
		{"reserved FiDi and no clock still give a wait", Line{FiDi: 0x70}.WaitingTime(), 997541899},
	} {
		if d := c.got - c.want; d > time.Microsecond || d < -time.Microsecond {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
}

func TestPPS(t *testing.T) {
	if got := AppendPPS(nil, 1, 0x11); !bytes.Equal(got, []byte{0xFF, 0x01, 0xFE}) {
		t.Errorf("% X", got)
	}
	request := AppendPPS(nil, 1, 0x96)
	if !bytes.Equal(request, []byte{0xFF, 0x11, 0x96, 0x78}) {
		t.Errorf("% X", request)
	}
	for _, c := range []struct {
		name, answer string
		fidi         uint8
		ok           bool
	}{
		{"the same", "FF 11 96 78", 0x96, true},
		{"without PPS1: the default", "FF 01 FE", 0x11, true},
		{"another protocol", "FF 00 FF", 0, false},
		{"another rate", "FF 11 95 7B", 0, false},
		{"wrong check byte", "FF 11 96 79", 0, false},
		{"a parameter that was not proposed", "FF 31 96 00 58", 0, false},
		{"PPS2 in place of PPS1", "FF 21 96 48", 0, false},
		{"too short", "FF 11", 0, false},
		{"nothing", "", 0, false},
		{"no PPS at all", "3B 00 3B", 0, false},
		{"PPS1 announced and left out", "FF 11 EE", 0, false},
	} {
		fidi, err := CheckPPS(request, unhex(t, c.answer))
		if fidi != c.fidi || (err == nil) != c.ok || err != nil && !errors.Is(err, ErrPPS) {
			t.Errorf("%s: %02X, %v", c.name, fidi, err)
		}
	}
}

// FuzzParse takes any bytes for an answer to reset, and interprets what comes out.
func FuzzParse(f *testing.F) {
	f.Add([]byte{0x3B, 0x80, 0x01, 0x81})
	f.Add([]byte{0x3B, 0xFF, 0x11, 0x22, 0x33, 0xF0, 0x11})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := Parse(b)
		i := a.Interpret()
		if i.IFSC < MinIFS || i.IFSC > MaxIFS || i.BWI > maxBWI || i.Offered == 0 {
			t.Fatalf("%+v", i)
		}
		if err == nil && (len(a.Historical())+a.Extra() > len(b) || !bytes.Equal(a.Bytes(), b)) {
			t.Fatalf("%d of %d bytes", len(a.Historical()), len(b))
		}
		l := Line{FiDi: i.FiDi, WI: i.WI, BWI: i.BWI, CWI: i.CWI, ExtraGuard: i.ExtraGuard}
		if l.WaitingTime() <= 0 || l.BlockWaitingTime() <= 0 || l.Characters(1) <= 0 {
			t.Fatalf("%+v", l)
		}
	})
}

// FuzzCheckPPS takes any bytes for a PPS response.
func FuzzCheckPPS(f *testing.F) {
	f.Add([]byte{0xFF, 0x11, 0x96, 0x78})
	f.Fuzz(func(t *testing.T, b []byte) {
		fidi, err := CheckPPS(AppendPPS(nil, 0, 0x18), b)
		if err == nil && fidi != 0x18 && fidi != DefaultFiDi {
			t.Fatalf("%02X", fidi)
		}
	})
}
