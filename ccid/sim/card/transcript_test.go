package card

import (
	"encoding/hex"
	"strings"
	"testing"
)

// play executes a transcript, one line after the other:
//
//	> HEX        characters from the reader
//	< HEX        the card's answer; none without HEX
//	! cold HEX   a cold or warm reset and its answer
//	@ HEX        the rate from here on, as a TA1
//	# TEXT       a comment
func play(t *testing.T, c Card, transcript string) {
	t.Helper()
	rate := byte(DefaultRate)
	var got []byte
	for n, line := range strings.Split(strings.TrimSpace(transcript), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		arg := strings.TrimSpace(line[1:])
		switch line[0] {
		case '!':
			kind, want, _ := strings.Cut(arg, " ")
			got = c.Reset(kind == "cold", AnyClass)
			compare(t, n, got, want)
		case '@':
			rate = unhex(t, arg)[0]
		case '>':
			got = nil
			for _, b := range c.Send(rate, unhex(t, arg)) {
				got = append(got, b.Bytes...)
			}
		case '<':
			compare(t, n, got, arg)
		default:
			t.Fatalf("line %d of the transcript: %q", n, line)
		}
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return b
}

func compare(t *testing.T, line int, got []byte, want string) {
	t.Helper()
	if w := unhex(t, want); string(got) != string(w) {
		t.Fatalf("line %d: card sent % X, expected % X", line, got, w)
	}
}

func chip(o Options) *Chip {
	o.Applets = Applets()
	return New(o)
}

func TestCardAtT0(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    Options
		text string
	}{
		{name: "SELECT has an ACK before its data, the text is read by GET RESPONSE",
			o: Options{ATR: ATRT0},
			text: `
			! cold 3B 08 74 61 6D 61 63 63 69 64
			> 00 A4 04 00 0A
			< A4
			> A0 00 00 00 62 03 01 0C 06 01
			< 90 00
			> 00 00 00 00 00
			< 61 0C
			> 00 C0 00 00 0C
			< C0 48 65 6C 6C 6F 20 77 6F 72 6C 64 21 90 00`},
		{name: "a wrong Le is answered with the correct one", o: Options{ATR: ATRT0}, text: `
			! cold 3B 08 74 61 6D 61 63 63 69 64
			> 80 34 00 03 05
			< 6C 03
			> 80 34 00 03 03
			< 34 00 01 02 90 00`},
		{name: "a smaller Le gets the first part and the remaining length",
			o: Options{ATR: ATRT0},
			text: `
			! cold 3B 08 74 61 6D 61 63 63 69 64
			> 80 36 00 05 01
			< 36
			> 00
			< 61 05
			> 80 C0 00 00 02
			< C0 00 01 61 03
			> 80 C0 00 00 03
			< C0 02 03 04 90 00
			> 80 C0 00 00 01
			< 69 85`},
		{name: "single bytes in both directions",
			o: Options{ATR: ATRT0, T0: T0Options{OneByOne: true, Nulls: 1}},
			text: `
			! cold 3B 08 74 61 6D 61 63 63 69 64
			> 80 32 00 00 02
			< 60 CD
			> 00
			< CD
			> 01
			< 90 00
			> 80 34 00 02 02
			< 60 CB 00 CB 01 90 00`},
		{name: "unknown and invalid instructions get a status word at once",
			o: Options{ATR: ATRT0},
			text: `
			! cold 3B 08 74 61 6D 61 63 63 69 64
			> 80 FE 00 00 08
			< 6D 00
			> 80 6A 00 00 08
			< 6D 00
			> 00 A4 04 00 02
			< A4
			> 3F 00
			< 6A 82`},
		{name: "header characters one at a time", o: Options{ATR: ATRT0}, text: `
			! cold 3B 08 74 61 6D 61 63 63 69 64
			> 80
			<
			> 30 00
			<
			> 00 00
			< 90 00`},
		{name: "no answer at another rate, and an answer to PPS", o: Options{ATR: ATRBoth},
			text: `
			! cold 3B 98 96 80 31 FE 45 74 61 6D 61 63 63 69 64 10
			@ 96
			> 80 30 00 00 00
			<
			@ 11
			> FF 10 96 79
			< FF 10 96 79
			> 80 30 00 00 00
			<
			@ 96
			> 80 30 00 00 00
			< 90 00`},
		{name: "a too fast rate is answered without PPS1", o: Options{ATR: ATRBoth}, text: `
			! cold 3B 98 96 80 31 FE 45 74 61 6D 61 63 63 69 64 10
			> FF 11 97 79
			< FF 01 FE
			> 00 C1 01 FE 3E
			< 00 E1 01 FE 1E`},
		{name: "PPS only directly after a reset; a wrong PCK halts the card",
			o: Options{ATR: ATRBoth},
			text: `
			! cold 3B 98 96 80 31 FE 45 74 61 6D 61 63 63 69 64 10
			> FF 10 96 78
			<
			> 80 30 00 00 00
			<
			! cold 3B 98 96 80 31 FE 45 74 61 6D 61 63 63 69 64 10
			> 80 30 00 00 00
			< 90 00
			> FF 10 96 79 00
			< 6D 00`},
		{name: "an extended command in ENVELOPEs ends with its last byte",
			o: Options{ATR: ATRT0},
			text: `
			! cold 3B 08 74 61 6D 61 63 63 69 64
			> 00 C2 00 00 04
			< C2
			> 80 36 00 02
			< 90 00
			> 00 C2 00 00 06
			< C2
			> 00 00 01 00 00 00
			< 61 02
			> 00 C2 00 00 00
			< 61 02
			> 00 C0 00 00 02
			< C0 00 01 90 00`},
		{name: "wrong PINs are counted", o: Options{ATR: ATRT0}, text: `
			! cold 3B 08 74 61 6D 61 63 63 69 64
			> 00 20 00 00 08
			< 20
			> 31 31 31 31 00 00 00 00
			< 63 C2
			> 00 40 00 00 FF
			< 6C 08
			> 00 40 00 00 08
			< 40 31 31 31 31 00 00 00 00 90 00
			> 00 20 00 00 08
			< 20
			> 30 30 30 30 00 00 00 00
			< 90 00
			> 00 20 00 00 00
			< 90 00
			! warm 3B 08 74 61 6D 61 63 63 69 64
			> 00 20 00 00 00
			< 63 C3`},
	} {
		t.Run(tt.name, func(t *testing.T) { play(t, chip(tt.o), tt.text) })
	}
}

func TestCardAtT1(t *testing.T) {
	const reset = "! cold 3B 88 81 31 FE 45 74 61 6D 61 63 63 69 64 97\n"
	for _, tt := range []struct {
		name string
		o    Options
		text string
	}{
		{name: "hello world in one block", text: `
			> 00 00 0F 00 A4 04 00 0A A0 00 00 00 62 03 01 0C 06 01 6E
			< 00 00 02 90 00 92
			> 00 40 04 00 00 00 00 44
			< 00 40 0E 48 65 6C 6C 6F 20 77 6F 72 6C 64 21 90 00 FF`},
		{name: "each part of a chained command is acknowledged", text: `
			> 00 20 03 80 36 00 95
			< 00 90 00 90
			> 00 40 04 04 01 00 00 41
			< 00 00 06 00 01 02 03 90 00 96`},
		{name: "parts are at most IFSD long, one for each acknowledgement",
			o: Options{T1: T1Options{Block: 4}},
			text: `
			> 00 00 05 80 34 00 06 06 B1
			< 00 20 04 00 01 02 03 24
			> 00 90 00 90
			< 00 40 04 04 05 90 00 D5`},
		{name: "an R block with its own number repeats a block",
			o: Options{T1: T1Options{Block: 4}},
			text: `
			> 00 00 05 80 34 00 06 06 B1
			< 00 20 04 00 01 02 03 24
			> 00 81 00 81
			< 00 20 04 00 01 02 03 24
			> 00 90 00 90
			< 00 40 04 04 05 90 00 D5`},
		{name: "R blocks for a wrong EDC and other errors; a repetition is accepted", text: `
			> 00 00 04 80 30 00 00 B5
			< 00 81 00 81
			> 00 00 04 80 30 00 00 B4
			< 00 00 02 90 00 92
			> 00 00 04 80 30 00 00 B4
			< 00 92 00 92
			> 00 40 04 80 30 00 00 F4
			< 00 40 02 90 00 D2`},
		{name: "a wrong LEN, reserved bits and an IFS of 0 are refused", text: `
			> 00 00 05 80 30 00 00 B5
			< 00 82 00 82
			> 00 01 00 01
			< 00 82 00 82
			> 00 C1 01 00 C0
			< 00 82 00 82`},
		{name: "S(IFS request) and S(RESYNCH request) are accepted", text: `
			> 00 C1 01 FE 3E
			< 00 E1 01 FE 1E
			> 00 00 04 80 30 00 00 B4
			< 00 00 02 90 00 92
			> 00 C0 00 C0
			< 00 E0 00 E0
			> 00 00 04 80 30 00 00 B4
			< 00 00 02 90 00 92`},
		{name: "S(IFS request) and S(WTX request) before the answer",
			o: Options{T1: T1Options{WTX: 1, WTXMultiplier: 3, IFSRequest: 0x40}},
			text: `
			> 00 00 04 80 30 00 00 B4
			< 00 C1 01 40 80
			> 00 E1 01 40 A0
			< 00 C3 01 03 C1
			> 00 E3 01 03 E1
			< 00 00 02 90 00 92`},
		{name: "an S(WTX request) is repeated after an R block",
			o: Options{T1: T1Options{WTX: 1}},
			text: `
			> 00 00 04 80 30 00 00 B4
			< 00 C3 01 01 C3
			> 00 81 00 81
			< 00 C3 01 01 C3
			> 00 E3 01 02 E0
			< 00 92 00 92
			> 00 E3 01 01 E3
			< 00 00 02 90 00 92`},
		{name: "S(ABORT request) drops the chain", o: Options{T1: T1Options{Block: 4}}, text: `
			> 00 00 05 80 34 00 06 06 B1
			< 00 20 04 00 01 02 03 24
			> 00 C2 00 C2
			< 00 E2 00 E2
			> 00 40 04 80 30 00 00 F4
			< 00 40 02 90 00 D2`},
		{name: "the card aborts a chain and returns the right to send",
			o: Options{T1: T1Options{AbortChain: 1}},
			text: `
			> 00 20 03 80 36 00 95
			< 00 C2 00 C2
			> 00 E2 00 E2
			< 00 90 00 90
			> 00 40 04 80 30 00 00 F4
			< 00 00 02 90 00 92`},
		{name: "the answer has the source address as destination", text: `
			> 21 00 04 80 30 00 00 95
			< 12 00 02 90 00 80`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.ATR = ATRT1
			play(t, chip(tt.o), reset+tt.text)
		})
	}
}

func TestRecordedCRCs(t *testing.T) {
	// Recorded blocks that real cards have answered, or sent.
	for _, block := range []string{
		"00 C1 01 FE 54 4E", "00 E1 01 FE 57 75", "00 00 05 00 A4 00 00 00 B8 DA", "00 90 00 20 6E",
		"00 80 00 B5 FF", "00 00 00 39 33",
	} {
		b := unhex(t, block)
		if !CheckEDC(b, true) {
			t.Errorf("%s: CRC is %04X", block, CRC(b[:len(b)-2]))
		}
		b[1] ^= 0x10
		if CheckEDC(b, true) {
			t.Errorf("%s with one bit changed passes", block)
		}
	}
}
