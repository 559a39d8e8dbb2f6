package t0

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"tamaccid/ccid/apdu"
)

// script is a card with a transcript: "> TPDU" must be sent, "< response" comes back. NxHH is N
// bytes HH.
type script struct {
	t     *testing.T
	lines []string
	at    int
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	var out []byte
	for _, word := range strings.Fields(s) {
		var n int
		if count, hh, found := strings.Cut(word, "x"); found {
			fmt.Sscan(count, &n)
			b, _ := hex.DecodeString(hh)
			out = append(out, bytes.Repeat(b, n)...)
			continue
		}
		b, err := hex.DecodeString(word)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b...)
	}
	return out
}

func (s *script) Exchange(_ context.Context, tpdu []byte) ([]byte, error) {
	s.t.Helper()
	if s.at+1 >= len(s.lines) {
		s.t.Fatalf("unexpected TPDU % X", tpdu)
	}
	want := unhex(s.t, strings.TrimPrefix(s.lines[s.at], ">"))
	answer := unhex(s.t, strings.TrimPrefix(s.lines[s.at+1], "<"))
	s.at += 2
	if !bytes.Equal(tpdu, want) {
		s.t.Fatalf("line %d: sent % X, want % X", s.at-1, tpdu, want)
	}
	return answer, nil
}

func TestTransmit(t *testing.T) {
	for _, c := range []struct{ name, command, want, lines string }{
		{"case 1: P3 is zero", "00010203", "9000", "> 0001020300\n< 9000"},
		{"case 1 with an answer to fetch", "00000000", "4142 9000",
			"> 0000000000\n< 6102\n> 00C0000002\n< 4142 9000"},
		{"case 1 with an answer of another length", "00000000", "4142 9000",
			"> 0000000000\n< 6C02\n> 0000000002\n< 4142 9000"},
		{"case 2: P3 is Le", "00B0000002", "4142 9000", "> 00B0000002\n< 4142 9000"},
		{"case 2: Le of zero is 256", "00B0000000", "256xAA 9000", "> 00B0000000\n< 256xAA 9000"},
		{"case 2: wrong length, SW2 is the right one", "00B0000000", "4142 9000",
			"> 00B0000000\n< 6C02\n> 00B0000002\n< 4142 9000"},
		{"case 2: wrong length, more than was asked for is cut", "00B0000001", "41 9000",
			"> 00B0000001\n< 6C02\n> 00B0000002\n< 4142 9000"},
		{"case 2: wrong length twice ends there", "00B0000000", "6C03",
			"> 00B0000000\n< 6C02\n> 00B0000002\n< 6C03"},
		{"case 2: the rest is fetched", "00B0000000", "4142 43 9000",
			"> 00B0000000\n< 4142 6101\n> 00C0000001\n< 43 9000"},
		{"case 2: not more than Le is fetched", "00B0000003", "4142 43 6105",
			"> 00B0000003\n< 4142 6110\n> 00C0000001\n< 43 6105"},
		{"case 3: P3 is Lc", "00D60000 02 AABB", "9000", "> 00D60000 02 AABB\n< 9000"},
		{"case 3: 61XX is the program's", "00D60000 02 AABB", "6110", "> 00D60000 02 AABB\n< 6110"},
		{"case 3: data in the answer is kept", "00A40400 02 AABB", "41 9000",
			"> 00A40400 02 AABB\n< 41 9000"},
		{"case 4: Le is not sent, the answer fetched", "00A40400 02 AABB 00", "4142 9000",
			"> 00A40400 02 AABB\n< 6102\n> 00C0000002\n< 4142 9000"},
		{"case 4: at most Le is fetched", "00A40400 02 AABB 01", "41 6101",
			"> 00A40400 02 AABB\n< 6102\n> 00C0000001\n< 41 6101"},
		{"case 4: GET RESPONSE with a corrected length", "00A40400 02 AABB 00", "41 9000",
			"> 00A40400 02 AABB\n< 6110\n> 00C0000010\n< 6C01\n> 00C0000001\n< 41 9000"},
		{"case 4: 9000 is followed by GET RESPONSE", "00A40400 02 AABB 05", "41 9000",
			"> 00A40400 02 AABB\n< 9000\n> 00C0000005\n< 41 9000"},
		{"case 4: 9000 stays where there is nothing to get", "00A40400 02 AABB 05", "9000",
			"> 00A40400 02 AABB\n< 9000\n> 00C0000005\n< 6D00"},
		{"case 4: an error ends it", "00A40400 02 AABB 00", "6A82", "> 00A40400 02 AABB\n< 6A82"},
		{"GET RESPONSE keeps the channel and drops the chaining bit", "13A40400 01 AA 00",
			"41 9000",
			"> 13A40400 01 AA\n< 6101\n> 03C0000001\n< 41 9000"},
		{"GET RESPONSE keeps a proprietary class", "90A40400 01 AA 00", "41 9000",
			"> 90A40400 01 AA\n< 6101\n> 90C0000001\n< 41 9000"},
		{"case 2 extended, short enough", "00B00000 000010", "41 9000", "> 00B0000010\n< 41 9000"},
		{"case 2 extended: fetched piece by piece", "00B00000 000201", "256xAA 256xBB CC 9000",
			"> 00B0000000\n< 256xAA 6100\n> 00C0000000\n< 256xBB 6110\n> 00C0000001\n< CC 9000"},
		{"case 3 extended, short enough", "00D60000 000002 AABB", "9000",
			"> 00D60000 02 AABB\n< 9000"},
		{"case 3 extended: ENVELOPE", "00D60000 000100 256xAA", "9000",
			"> 00C20000 FF 00D60000000100 248xAA\n< 9000\n> 00C20000 08 8xAA\n< 9000"},
		{"case 3 extended: a card without ENVELOPE", "00D60000 000100 256xAA", "6D00",
			"> 00C20000 FF 00D60000000100 248xAA\n< 6D00"},
		{"case 4 extended: ENVELOPE, then GET RESPONSE", "00D60000 0000F8 248xAA 0000", "4142 9000",
			"> 00D60000 F8 248xAA\n< 6102\n> 00C0000002\n< 4142 9000"},
		{"case 4 extended, long", "00D60000 000100 256xAA 0000", "4142 9000",
			"> 00C20000 FF 00D60000000100 248xAA\n< 9000\n> 00C20000 0A 8xAA 0000\n< 6102\n" +
				"> 00C0000002\n< 4142 9000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &script{t: t, lines: strings.Split(c.lines, "\n")}
			r := make([]byte, 65538)
			n, err := New(s).Transmit(context.Background(), unhex(t, c.command), r)
			if err != nil || !bytes.Equal(r[:n], unhex(t, c.want)) {
				t.Fatalf("% X, %v, want %s", r[:n], err, c.want)
			}
			if s.at != len(s.lines) {
				t.Fatalf("%d lines were not reached", len(s.lines)-s.at)
			}
		})
	}
}

// constant answers every TPDU the same.
type constant []byte

func (l constant) Exchange(context.Context, []byte) ([]byte, error) { return l, nil }

func TestCardsWithoutEnd(t *testing.T) {
	command := []byte{0, 0xB0, 0, 0, 0, 0, 0} // case 2 extended, 65,536 bytes
	r := make([]byte, 65538)
	for _, c := range []struct {
		name string
		card []byte
		want int
	}{
		// CVE-2025-49010 (OpenSC): GET RESPONSE without an end.
		{"61 00 without data ends at the second", []byte{0x61, 0}, 2},
		{"61 01 with data ends at Le", []byte{0xAA, 0x61, 0x01}, 65538},
		{"6C 00 ends at the second", []byte{0x6C, 0}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, err := New(constant(c.card)).Transmit(context.Background(), command, r)
			if n != c.want || err != nil {
				t.Fatal(n, err)
			}
		})
	}
	for _, b := range [][]byte{nil, {0x90}} {
		if _, err := New(constant(b)).Transmit(context.Background(), command, r); !errors.Is(err,
			ErrCard) {
			t.Fatalf("response of %d bytes: %v", len(b), err)
		}
	}
}

func TestLongAnswerIsCounted(t *testing.T) {
	r := []byte{1, 2, 3, 4, 5}
	var short *apdu.ShortBufferError
	m := New(constant{1, 2, 3, 0x90, 0})
	_, err := m.Transmit(context.Background(), []byte{0, 0xB0, 0, 0, 3},
		r[:4])
	if !errors.As(err, &short) || short.Need != 5 || r[4] != 5 {
		t.Fatal(err, r)
	}
}

func TestNotACommand(t *testing.T) {
	if _, err := New(constant{0x90, 0}).Transmit(context.Background(), []byte{0, 0xB0, 0, 0, 3, 1},
		nil); !errors.Is(err, ErrCommand) {
		t.Fatal(err)
	}
}

// FuzzMachine plays a card that sends whatever the fuzzer likes; every call must end, within the
// buffers.
func FuzzMachine(f *testing.F) {
	f.Add([]byte{0, 0xA4, 4, 0, 2, 1, 2, 0}, []byte{2, 0x61, 2, 4, 1, 2, 0x90, 0})
	f.Fuzz(func(t *testing.T, command, input []byte) {
		calls := 0
		card := exchange(func() []byte {
			if calls++; calls > 70000 {
				t.Fatal("no end")
			}
			if len(input) == 0 {
				return nil
			}
			n := min(int(input[0]), len(input)-1)
			b := input[1 : 1+n]
			if len(input) > 64 { // some inputs go round, so that answers last
				input = input[1+n:]
			}
			return b
		})
		var r [40]byte
		n, err := New(card).Transmit(context.Background(), command, r[:])
		if n < 0 || n > len(r) || err == nil && n < 2 {
			t.Fatal(n, err)
		}
	})
}

type exchange func() []byte

func (e exchange) Exchange(context.Context, []byte) ([]byte, error) { return e(), nil }
