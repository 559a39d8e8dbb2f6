package t1

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tamaccid/ccid/apdu"
)

// script is a card with a transcript. Each line is "> block" for what must be sent and "< block"
// for the answer, without redundancy code; "< !" before a block damages it, "< -" is silence, "< x"
// fails the link, and xN after a sent block is the extension expected with it.
type script struct {
	t     *testing.T
	lines []string
	at    int
	crc   bool
}

var errLink = errors.New("link down")

func (s *script) Exchange(_ context.Context, block []byte, extension uint8) ([]byte, error) {
	s.t.Helper()
	if s.at+1 >= len(s.lines) {
		s.t.Fatalf("unexpected block % X", block)
	}
	want, answer := s.lines[s.at], s.lines[s.at+1]
	s.at += 2
	want = strings.TrimPrefix(want, "> ")
	wantExtension := uint8(0)
	if body, x, found := strings.Cut(want, " x"); found {
		want = body
		fmt.Sscan(x, &wantExtension)
	}
	expected := appendEDC(unhex(s.t, want), s.crc)
	if !bytes.Equal(block, expected) || extension != wantExtension {
		s.t.Fatalf("line %d: sent % X (extension %d), want % X (%d)", s.at-1, block, extension,
			expected, wantExtension)
	}
	answer = strings.TrimPrefix(answer, "< ")
	switch {
	case answer == "-":
		return nil, fmt.Errorf("silence: %w", ErrNoBlock)
	case answer == "x":
		return nil, errLink
	case strings.HasPrefix(answer, "!"):
		b := appendEDC(unhex(s.t, answer[1:]), s.crc)
		b[len(b)-1] ^= 0x55
		return b, nil
	case strings.HasPrefix(answer, "="):
		return unhex(s.t, answer[1:]), nil
	}
	return appendEDC(unhex(s.t, answer), s.crc), nil
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTransmit(t *testing.T) {
	for _, c := range []struct {
		name    string
		config  Config
		command string // several commands: separated by ";"
		want    string // response, or error text
		lines   string
	}{
		{"one block each way", Config{}, "00A40000", "9000",
			"> 00 00 04 00A40000\n< 00 00 02 9000"},
		{"the second command has the other sequence number", Config{}, "00A40000;00B00000",
			"9000;6A82",
			"> 00 00 04 00A40000\n< 00 00 02 9000\n> 00 40 04 00B00000\n< 00 40 02 6A82"},
		{"CRC", Config{CRC: true}, "00A40000", "9000", "> 00 00 04 00A40000\n< 00 00 02 9000"},
		{"the host chains what does not fit IFSC", Config{IFSC: 3}, "0011223344556677", "9000",
			"> 00 20 03 001122\n< 00 90 00\n> 00 60 03 334455\n< 00 80 00\n> 00 00 02 6677\n" +
				"< 00 00 02 9000"},
		{"MaxINF counts where it is smaller than IFSC", Config{IFSC: 32, MaxINF: 4}, "0011223344",
			"9000",
			"> 00 20 04 00112233\n< 00 90 00\n> 00 40 01 44\n< 00 00 02 9000"},
		{"the card chains", Config{}, "00B00000", "01029000",
			"> 00 00 04 00B00000\n< 00 20 02 0102\n> 00 90 00\n< 00 40 02 9000"},
		{"the card asks for time, which multiplies the next wait only", Config{}, "00B00000",
			"9000",
			"> 00 00 04 00B00000\n< 00 C3 01 05\n> 00 E3 01 05 x5\n< 00 C3 01 00\n" +
				"> 00 E3 01 00 x1\n< 00 00 02 9000"},
		{"the card changes IFSC amid a chain", Config{IFSC: 4}, "00112233445566", "9000",
			"> 00 20 04 00112233\n< 00 C1 01 02\n> 00 E1 01 02\n< 00 90 00\n> 00 60 02 4455\n" +
				"< 00 80 00\n> 00 00 01 66\n< 00 00 02 9000"},
		{"IFSC of zero is refused as an invalid block", Config{}, "00B00000", "9000",
			"> 00 00 04 00B00000\n< 00 C1 01 00\n> 00 82 00\n< 00 00 02 9000"},
		{"IFSC of 255 is refused as an invalid block", Config{}, "00B00000", "9000",
			"> 00 00 04 00B00000\n< 00 C1 01 FF\n> 00 82 00\n< 00 00 02 9000"},

		{"rule 7.1: a damaged answer is asked for again with the reason", Config{}, "00B00000",
			"9000",
			"> 00 00 04 00B00000\n< ! 00 00 02 9000\n> 00 81 00\n< 00 00 02 9000"},
		{"rule 7.1: silence counts as damage", Config{}, "00B00000", "9000",
			"> 00 00 04 00B00000\n< -\n> 00 81 00\n< 00 00 02 9000"},
		{"rule 7.2: the request to repeat is repeated in the same words", Config{}, "00B00000",
			"9000",
			"> 00 00 04 00B00000\n< -\n> 00 81 00\n< ! 00 00 02 9000\n> 00 81 00\n< 00 00 02 9000"},
		{"the card has not got the command and asks for it", Config{}, "00B00000", "9000",
			"> 00 00 04 00B00000\n< 00 81 00\n> 00 00 04 00B00000\n< 00 00 02 9000"},
		{"both directions damaged: R, then the card asks for the command", Config{}, "00B00000",
			"9000",
			"> 00 00 04 00B00000\n< -\n> 00 81 00\n< 00 82 00\n> 00 00 04 00B00000\n" +
				"< 00 00 02 9000"},
		{"the card has got the command but not our request to repeat", Config{}, "00B00000", "9000",
			"> 00 00 04 00B00000\n< ! 00 00 02 9000\n> 00 81 00\n< 00 91 00\n> 00 81 00\n" +
				"< 00 00 02 9000"},
		{"a part of our chain is asked for again", Config{IFSC: 3}, "0011223344", "9000",
			"> 00 20 03 001122\n< 00 81 00\n> 00 20 03 001122\n< 00 90 00\n> 00 40 02 3344\n" +
				"< 00 00 02 9000"},
		{"an acknowledgement is lost amid our chain", Config{IFSC: 3}, "0011223344", "9000",
			"> 00 20 03 001122\n< -\n> 00 81 00\n< 00 90 00\n> 00 40 02 3344\n< 00 00 02 9000"},
		{"our acknowledgement is lost amid the card's chain", Config{}, "00B00000", "01029000",
			"> 00 00 04 00B00000\n< 00 20 02 0102\n> 00 90 00\n< 00 91 00\n> 00 90 00\n" +
				"< 00 40 02 9000"},
		{"a part of the card's chain is damaged", Config{}, "00B00000", "01029000",
			"> 00 00 04 00B00000\n< 00 20 02 0102\n> 00 90 00\n< ! 00 40 02 9000\n> 00 91 00\n" +
				"< 00 40 02 9000"},
		{"a part that comes twice is not taken twice", Config{}, "00B00000", "01029000",
			"> 00 00 04 00B00000\n< 00 20 02 0102\n> 00 90 00\n< 00 20 02 0102\n> 00 92 00\n" +
				"< 00 40 02 9000"},
		{"our answer to a time request is lost", Config{}, "00B00000", "9000",
			"> 00 00 04 00B00000\n< 00 C3 01 02\n> 00 E3 01 02 x2\n< 00 91 00\n> 00 E3 01 02\n" +
				"< 00 00 02 9000"},
		{"an answer amid our own chain is invalid", Config{IFSC: 3}, "0011223344", "9000",
			"> 00 20 03 001122\n< 00 00 02 6700\n> 00 82 00\n< 00 90 00\n> 00 40 02 3344\n" +
				"< 00 00 02 9000"},
		{"a response that was not asked for is invalid", Config{}, "00B00000", "9000",
			"> 00 00 04 00B00000\n< 00 E3 01 05\n> 00 82 00\n< 00 00 02 9000"},
		{"the card may not resynchronise", Config{}, "00B00000", "9000",
			"> 00 00 04 00B00000\n< 00 C0 00\n> 00 82 00\n< 00 00 02 9000"},
		{"shorter than prologue and epilogue is invalid", Config{}, "00B00000", "9000",
			"> 00 00 04 00B00000\n< =0000\n> 00 82 00\n< 00 00 02 9000"},
		{"LEN of 255 is invalid", Config{}, "00B00000", "9000",
			"> 00 00 04 00B00000\n< =0000FF00\n> 00 82 00\n< 00 00 02 9000"},
		{"reserved bits make a block invalid", Config{}, "00B00000", "9000",
			"> 00 00 04 00B00000\n< 00 01 02 9000\n> 00 82 00\n< 00 00 02 9000"},

		{"third damage: resynchronised, and the command is not sent again", Config{},
			"00B00000;00B00001", "t1: answer lost;9000",
			"> 00 00 04 00B00000\n< -\n> 00 81 00\n< -\n> 00 81 00\n< -\n> 00 C0 00\n< 00 E0 00\n" +
				"> 00 00 04 00B00001\n< 00 00 02 9000"},
		{"third damage amid our own chain: resynchronised, and the command starts over",
			Config{IFSC: 3}, "0011223344", "9000",
			"> 00 20 03 001122\n< -\n> 00 81 00\n< -\n> 00 81 00\n< -\n> 00 C0 00\n< 00 E0 00\n" +
				"> 00 20 03 001122\n< 00 90 00\n> 00 40 02 3344\n< 00 00 02 9000"},
		{"a command starts over once only", Config{IFSC: 3}, "0011223344", "t1: answer lost",
			"> 00 20 03 001122\n< -\n> 00 81 00\n< -\n> 00 81 00\n< -\n> 00 C0 00\n< 00 E0 00\n" +
				"> 00 20 03 001122\n< -\n> 00 81 00\n< -\n> 00 81 00\n< -\n> 00 C0 00\n< 00 E0 00"},
		{"rule 6.4: resynchronisation is tried three times", Config{}, "00B00000",
			"t1: card does not resynchronise",
			"> 00 00 04 00B00000\n< -\n> 00 81 00\n< -\n> 00 81 00\n< -\n> 00 C0 00\n< -\n" +
				"> 00 C0 00\n< 00 00 02 9000\n> 00 C0 00\n< -"},
		{"a dead session is tried again by the next call", Config{}, "00B00000;00B00001",
			"t1: card does not resynchronise;9000",
			"> 00 00 04 00B00000\n< -\n> 00 81 00\n< -\n> 00 81 00\n< -\n> 00 C0 00\n< -\n" +
				"> 00 C0 00\n< -\n> 00 C0 00\n< -\n" +
				"> 00 C0 00\n< 00 E0 00\n> 00 00 04 00B00001\n< 00 00 02 9000"},
		{"after a link error the next call resynchronises", Config{}, "00B00000;00B00001",
			"link down;9000",
			"> 00 00 04 00B00000\n< x\n> 00 C0 00\n< 00 E0 00\n> 00 00 04 00B00001\n" +
				"< 00 00 02 9000"},

		{"the card aborts our chain and gives the right to send back", Config{IFSC: 3},
			"0011223344;00B0", "t1: aborted by the card;9000",
			"> 00 20 03 001122\n< 00 C2 00\n> 00 E2 00\n< 00 90 00\n> 00 40 02 00B0\n" +
				"< 00 00 02 9000"},
		{"the card aborts our chain and answers", Config{IFSC: 3}, "0011223344;00B0", "6700;9000",
			"> 00 20 03 001122\n< 00 C2 00\n> 00 E2 00\n< 00 00 02 6700\n> 00 40 02 00B0\n" +
				"< 00 40 02 9000"},
		{"the card aborts its own chain", Config{}, "00B00000;00B00001",
			"t1: aborted by the card;9000",
			"> 00 00 04 00B00000\n< 00 20 02 0102\n> 00 90 00\n< 00 C2 00\n> 00 E2 00\n" +
				"< 00 90 00\n> 00 40 04 00B00001\n< 00 40 02 9000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &script{t: t, lines: strings.Split(c.lines, "\n"), crc: c.config.CRC}
			e := New(s, c.config)
			wants := strings.Split(c.want, ";")
			for i, command := range strings.Split(c.command, ";") {
				var r [258]byte
				n, err := e.Transmit(context.Background(), unhex(t, command), r[:])
				got := fmt.Sprintf("%X", r[:n])
				if err != nil {
					got = err.Error()
				}
				if got != wants[i] {
					t.Fatalf("command %d: %q, want %q", i, got, wants[i])
				}
			}
			if s.at != len(s.lines) {
				t.Fatalf("%d lines were not reached", len(s.lines)-s.at)
			}
		})
	}
}

func TestLongAnswerIsReadToItsEnd(t *testing.T) {
	s := &script{t: t,
		lines: strings.Split("> 00 00 04 00B00000\n< 00 20 02 0102\n> 00 90 00\n< 00 40 02 9000\n"+
			"> 00 40 04 00B00000\n< 00 00 02 9000", "\n")}
	e := New(s, Config{})
	r := []byte{0xEE, 0xEE, 0xEE, 0xEE}
	var short *apdu.ShortBufferError
	if _, err := e.Transmit(context.Background(), []byte{0, 0xB0, 0, 0}, r[:3]); !errors.As(err,
		&short) || short.Need != 4 {
		t.Fatalf("%v", err)
	}
	if r[3] != 0xEE {
		t.Fatal("written past the buffer")
	}
	if n, err := e.Transmit(context.Background(), []byte{0, 0xB0, 0, 0}, r); err != nil || n != 2 {
		t.Fatalf("the next call: %d, %v", n, err)
	}
}

func TestIFSD(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines string
		want  int
		lost  bool
	}{
		{"the card agrees", "> 00 C1 01 FE\n< 00 E1 01 FE", 254, false},
		{"a damaged answer is asked for again",
			"> 00 C1 01 FE\n< ! 00 E1 01 FE\n> 00 C1 01 FE\n< 00 E1 01 FE", 254, false},
		{"the card asks for time first",
			"> 00 C1 01 FE\n< 00 C3 01 02\n> 00 E3 01 02 x2\n< 00 E1 01 FE", 254, false},
		{"both sides ask at once", "> 00 C1 01 FE\n< 00 C1 01 40\n> 00 E1 01 40\n< 00 E1 01 FE",
			254, false},
		{"a card that does not support it keeps 32",
			"> 00 C1 01 FE\n< 00 82 00\n> 00 C1 01 FE\n< 00 82 00\n> 00 C1 01 FE\n< 00 82 00", 32,
			true},
		{"an answer with another size is none",
			"> 00 C1 01 FE\n< 00 E1 01 20\n> 00 C1 01 FE\n< 00 E1 01 FE", 254, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &script{t: t, lines: strings.Split(c.lines, "\n")}
			e := New(s, Config{})
			if err := e.NegotiateIFSD(context.Background(), 254); err != nil ||
				e.IFSD() != c.want || e.lost != c.lost {
				t.Fatalf("%d, lost %v, %v", e.IFSD(), e.lost, err)
			}
			if s.at != len(s.lines) {
				t.Fatalf("%d lines were not reached", len(s.lines)-s.at)
			}
		})
	}
}

func TestResynchronisationAgreesOnIFSDAgain(t *testing.T) {
	s := &script{t: t, lines: strings.Split("> 00 C1 01 FE\n< 00 E1 01 FE\n> 00 00 01 00\n< x\n"+
		"> 00 C0 00\n< 00 E0 00\n> 00 C1 01 FE\n< 00 E1 01 FE\n> 00 00 01 00\n< 00 00 02 9000",
		"\n")}
	e := New(s, Config{})
	ctx := context.Background()
	if err := e.NegotiateIFSD(ctx, 254); err != nil {
		t.Fatal(err)
	}
	var r [4]byte
	if _, err := e.Transmit(ctx, []byte{0}, r[:]); !errors.Is(err, errLink) {
		t.Fatal(err)
	}
	if n, err := e.Transmit(ctx, []byte{0}, r[:]); n != 2 || err != nil || e.IFSD() != 254 {
		t.Fatal(n, err)
	}
}

func TestSecureEntry(t *testing.T) {
	t.Run("the block that the reader sent is counted", func(t *testing.T) {
		s := &script{t: t,
			lines: strings.Split("> 00 E3 01 03 x3\n< 00 00 02 9000\n> 00 40 01 00\n"+
				"< 00 40 02 9000", "\n")}
		e := New(s, Config{})
		if p := e.Prologue(13); p != [3]byte{0, 0, 13} {
			t.Fatalf("% X", p)
		}
		var r [4]byte
		n, err := e.Complete(context.Background(), appendEDC([]byte{0, 0xC3, 1, 3}, false), r[:])
		if err != nil || n != 2 {
			t.Fatal(n, err)
		}
		if _, err := e.Transmit(context.Background(), []byte{0}, r[:]); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a block that the reader built is never sent again", func(t *testing.T) {
		s := &script{t: t, lines: strings.Split("> 00 C0 00\n< 00 E0 00", "\n")}
		e := New(s, Config{})
		var r [4]byte
		_, err := e.Complete(context.Background(), appendEDC([]byte{0, 0x81, 0}, false), r[:])
		if !errors.Is(err, ErrLost) {
			t.Fatal(err)
		}
	})
}

// function answers each block by a function.
type function func(block []byte) []byte

func (l function) Exchange(_ context.Context, block []byte, _ uint8) ([]byte, error) {
	return l(block), nil
}

func TestCardsWithoutEnd(t *testing.T) {
	seq := byte(0)
	for _, c := range []struct {
		name string
		card function
		want error
	}{
		{"time requests without end",
			func([]byte) []byte { return appendEDC([]byte{0, 0xC3, 1, 1}, false) }, ErrLimit},
		{"IFS requests without end",
			func([]byte) []byte { return appendEDC([]byte{0, 0xC1, 1, 32}, false) }, ErrCard},
		{"abort requests without end",
			func([]byte) []byte { return appendEDC([]byte{0, 0xC2, 0}, false) }, ErrCard},
		{"a chain of empty blocks", func([]byte) []byte {
			seq ^= 0x40
			return appendEDC([]byte{0, 0x20 | seq ^ 0x40, 0}, false)
		}, ErrCard},
		{"an answer longer than any", func([]byte) []byte {
			seq ^= 0x40
			return appendEDC(append([]byte{0, 0x20 | seq ^ 0x40, 254}, make([]byte, 254)...), false)
		}, ErrCard},
		{"requests to repeat without end",
			func([]byte) []byte { return appendEDC([]byte{0, 0x81, 0}, false) }, ErrDead},
	} {
		t.Run(c.name, func(t *testing.T) {
			seq = 0
			e := New(c.card, Config{Limit: time.Minute})
			var r [300]byte
			if _, err := e.Transmit(context.Background(), []byte{0, 0, 0, 0}, r[:]); !errors.Is(err,
				c.want) {
				t.Fatalf("%v, want %v", err, c.want)
			}
		})
	}
}

func TestCRC(t *testing.T) {
	// The code of 00 C1 01 FE as cards send it.
	if v := crc16([]byte{0x00, 0xC1, 0x01, 0xFE}); v != 0x544E {
		t.Fatalf("%04X", v)
	}
}

// FuzzEngine plays a card that sends whatever the fuzzer likes; every call must end, within the
// buffers.
func FuzzEngine(f *testing.F) {
	f.Add([]byte{0, 0, 2, 0x90, 0, 0x92}, true)
	f.Add([]byte{4, 0, 0x81, 0, 0x81, 6, 0, 0, 2, 0x90, 0, 0x92}, false)
	f.Fuzz(func(t *testing.T, input []byte, fix bool) {
		calls := 0
		card := function(func([]byte) []byte {
			if calls++; calls > 200000 {
				t.Fatal("no end")
			}
			if len(input) == 0 {
				return nil
			}
			n := min(int(input[0]), len(input)-1)
			b := append([]byte(nil), input[1:1+n]...)
			input = input[1+n:]
			// a whole block with its redundancy code, so that the fuzzer reaches more states
			if fix && len(b) >= 3 {
				b[2] = byte(len(b) - 3)
				b = appendEDC(b, false)
			}
			return b
		})
		e := New(card, Config{IFSC: 5, Limit: time.Second})
		var r [16]byte
		for range 3 {
			n, err := e.Transmit(context.Background(), []byte("0123456789"), r[:])
			if n < 0 || n > len(r) || err != nil && n != 0 {
				t.Fatal(n, err)
			}
		}
	})
}
