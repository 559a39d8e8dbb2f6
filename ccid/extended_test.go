package ccid

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"tamaccid/ccid/internal/pipe"
)

// TestChaining plays a reader of extended APDUs with messages of 10 + 8 bytes. Lines are "parameter
// payload" of what is sent, and "chain parameter payload" of the answer.
func TestChaining(t *testing.T) {
	const room = 8
	for _, c := range []struct {
		name    string
		command string
		lines   string
		want    string
		err     error
		stale   bool
	}{
		{"all in one message", "00010203", "0000 00010203|00 9000", "9000", nil, false},
		{"as long as a message", "00010203 03 AABBCC", "0000 0001020303AABBCC|00 9000", "9000", nil,
			false},
		{"two parts", "00010203 04 AABBCCDD", "0001 0001020304AABBCC|10 |0002 DD|00 9000", "9000",
			nil, false},
		{"three parts", "00010203 0C 111111111111111111111111",
			"0001 000102030C111111|10 |0003 1111111111111111|10 |0002 11|00 9000", "9000", nil,
			false},
		{"an answer in two parts", "00010203", "0000 00010203|01 41|0010 |02 9000", "419000", nil,
			false},
		{"an answer in four parts", "00010203",
			"0000 00010203|01 41|0010 |03 42|0010 |03 43|0010 |02 9000", "4142439000", nil, false},
		{"a reader that sends bChainParameter 1 twice", "00010203",
			"0000 00010203|01 41|0010 |01 42|0010 |00 9000", "41429000", nil, false},
		{"an empty part amid an answer", "00010203", "0000 00010203|01 41|0010 |03 |0010 |02 9000",
			"419000", nil, false},
		{"both ways", "00010203 04 AABBCCDD",
			"0001 0001020304AABBCC|10 |0002 DD|01 41|0010 |02 9000", "419000", nil, false},
		{"the card refuses half-way", "00010203 04 AABBCCDD", "0001 0001020304AABBCC|00 6700",
			"6700", nil, false},
		{"a chain parameter that means nothing", "00010203", "0000 00010203|07 41", "", ErrProtocol,
			true},
		{"a chain parameter that means nothing with a whole answer", "00010203",
			"0000 00010203|07 9000", "9000", nil, false},
		{"a chain parameter that means nothing amid an answer", "00010203",
			"0000 00010203|01 41|0010 |07 429000", "", ErrProtocol, true},
		{"a chain parameter that means nothing amid a command", "00010203 04 AABBCCDD",
			"0001 0001020304AABBCC|07 ", "", ErrProtocol, true},
		{"empty parts without end", "00010203",
			"0000 00010203|01 41" + strings.Repeat("|0010 |03 ", maxEmptyParts+1), "", ErrProtocol,
			true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lines := strings.Split(c.lines, "|")
				at := 0
				d := class(FeatureExtendedAPDU | FeatureAutoPPS)
				d.MaxMessageLength = pipe.HeaderSize + room
				healthy := ordinary(atrT0, nil)
				f := newFake(d, func(f *fake, m []byte) [][]byte {
					if pipe.MessageType(m[0]) != pipe.XfrBlock {
						return healthy(f, m)
					}
					if at+1 >= len(lines) {
						t.Errorf("unexpected % X", m)
						return nil
					}
					got := fmt.Sprintf("%02X%02X %X", m[9], m[8], m[pipe.HeaderSize:])
					if got != lines[at] {
						t.Errorf("sent %q, want %q", got, lines[at])
					}
					chain, payload, _ := strings.Cut(lines[at+1], " ")
					at += 2
					return [][]byte{respond(m, pipe.DataBlock, 0, 0, unhex(t, chain)[0],
						unhex(t, payload)...)}
				})
				s := connected(t, f, Options{})
				var r [64]byte
				n, err := s.Transmit(context.Background(), unhex(t, c.command), r[:])
				if fmt.Sprintf("%X", r[:n]) != c.want || !errors.Is(err, c.err) || c.err == nil &&
					err != nil {
					t.Errorf("% X, %v", r[:n], err)
				}
				if at != len(lines) || s.pipe.Stale() != c.stale {
					t.Errorf("%d of %d lines, stale %v", at, len(lines), s.pipe.Stale())
				}
			})
		})
	}
}

func TestAnswerThatNeverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parts := 0
		f := newFake(class(FeatureExtendedAPDU|FeatureAutoPPS), nil)
		healthy := ordinary(atrT0, nil)
		f.answer = func(f *fake, m []byte) [][]byte {
			if pipe.MessageType(m[0]) == pipe.XfrBlock {
				parts++
				return [][]byte{respond(m, pipe.DataBlock, 0, 0, pipe.ChainGoesOn,
					make([]byte, 261)...)}
			}
			return healthy(f, m)
		}
		s := connected(t, f, Options{})
		var r [64]byte
		if _, err := s.Transmit(context.Background(), []byte{0, 1, 2, 3}, r[:]); !errors.Is(err,
			ErrProtocol) || parts > 65538/261+2 {
			t.Fatal(parts, err)
		}
	})
}

func TestTooLongForTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := class(FeatureShortAPDU | FeatureAutoParameters)
		d.MaxMessageLength = 100
		f := newFake(d, ordinary(atrT0, func(_, _ []byte) []byte { return []byte{0x90, 0} }))
		s := connected(t, f, Options{})
		var r [4]byte
		for _, n := range []int{90, 91} {
			command := append([]byte{0, 1, 2, 3, byte(n - 5)}, make([]byte, n-5)...)
			if _, err := s.Transmit(context.Background(), command, r[:]); (n > 90) != errors.Is(err,
				ErrTooLong) {
				t.Errorf("%d bytes: %v", n, err)
			}
		}
		for _, n := range []int{0, 3, 65545} {
			if _, err := s.Transmit(context.Background(), make([]byte, n), r[:]); !errors.Is(err,
				ErrInvalid) {
				t.Errorf("%d bytes: %v", n, err)
			}
		}
	})
}

// TestLongMessages reads answers that need several transfers, and those that end where a packet
// ends.
func TestLongMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := class(FeatureExtendedAPDU | FeatureAutoPPS)
		d.MaxMessageLength = 65554
		for _, n := range []int{2, 53, 54, 55, 118, 310, 374, 375, 65524, 65526, 65527, 65538} {
			answer := bytes.Repeat([]byte{0xA5}, n)
			f := newFake(d, ordinary(atrT0, func(_, _ []byte) []byte { return answer }))
			inner := f.answer
			f.answer = func(f *fake, m []byte) [][]byte {
				all := inner(f, m)
				if len(all[0])%64 == 0 {
					all = append(all, []byte{}) // the zero-length packet, left for the next read
				}
				return all
			}
			s := connected(t, f, Options{})
			r := make([]byte, 65538)
			for range 2 {
				got, err := s.Transmit(context.Background(), []byte{0, 1, 2, 3}, r)
				if err != nil || !bytes.Equal(r[:got], answer) {
					t.Fatalf("%d bytes: %d, %v", n, got, err)
				}
			}
		}
	})
}

// TestReadsAreWholePackets checks the size of every read.
func TestReadsAreWholePackets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, packet := range []byte{8, 64} {
			d := class(FeatureExtendedAPDU | FeatureAutoPPS)
			d.MaxMessageLength = 300
			f := &strictFake{fake: newFake(d,
				ordinary(atrT0, func(_, _ []byte) []byte { return make([]byte, 290) })), t: t,
				packet: int(packet)}
			f.dev.Config = configBytes(0x0B, 0, classBytes(d), bulkEndpoints(packet)...)
			r, err := Open(context.Background(), f, Options{Timing: quick})
			if err != nil {
				t.Fatal(err)
			}
			s := r.Slots()[0]
			if _, err := s.Connect(context.Background(), T0, ColdReset); err != nil {
				t.Fatal(err)
			}
			var b [400]byte
			if n, err := s.Transmit(context.Background(), []byte{0, 0, 0, 0}, b[:]); n != 290 ||
				err != nil {
				t.Fatal(n, err)
			}
		}
	})
}

func TestCharacterT0(t *testing.T) {
	for _, c := range []struct {
		name    string
		command string
		lines   string // "expected characters sent|received"
		want    string
		err     error
	}{
		{"no data", "00010203", "1 0001020300|90|1 |00", "9000", nil},
		{"NULL first", "00010203", "1 0001020300|60|1 |60|1 |90|1 |00", "9000", nil},
		{"all data to the card", "00D60203 02 AABB", "1 00D6020302|D6|1 AABB|90|1 |00", "9000",
			nil},
		{"data to the card one by one", "00D60203 02 AABB", "1 00D6020302|29|1 AA|29|1 BB|90|1 |00",
			"9000", nil},
		{"data to the card, one and then all", "00D60203 03 AABBCC",
			"1 00D6020303|29|1 AA|D6|1 BBCC|90|1 |00", "9000", nil},
		{"all data from the card", "00B00203 02", "1 00B0020302|B0|3 |414290|1 |00", "41429000",
			nil},
		{"data from the card one by one", "00B00203 02", "1 00B0020302|4F|2 |414F|2 |4290|1 |00",
			"41429000", nil},
		{"data from the card in pieces", "00B00203 03", "1 00B0020303|B0|4 |41|3 |4243|1 |90|1 |00",
			"4142439000", nil},
		{"an error of the card", "00B00203 02", "1 00B0020302|6D|1 |00", "6D00", nil},
		// libccid 56ab8ab: the procedure bytes ask for more than there is room for.
		{"more asked for than P3", "00B00203 01", "1 00B0020301|B0|2 |41B0", "", ErrProtocol},
		{"more wanted than there is", "00D60203 01 AA", "1 00D6020301|D6|1 AA|D6", "", ErrProtocol},
		{"a procedure byte that means nothing", "00B00203 01", "1 00B0020301|33", "", ErrProtocol},
		{"nothing, twice", "00B00203 01", "1 00B0020301||1 |", "", ErrProtocol},
		{"more than was expected", "00B00203 01", "1 00B0020301|B0B0B0", "", ErrProtocol},
		{"no second status byte", "00B00203 01", "1 00B0020301|90|1 |", "", ErrProtocol},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lines := strings.Split(c.lines, "|")
				at := 0
				healthy := ordinary(atrT0, nil)
				f := newFake(class(FeatureAutoParameters), func(f *fake, m []byte) [][]byte {
					if pipe.MessageType(m[0]) != pipe.XfrBlock {
						return healthy(f, m)
					}
					if at+1 >= len(lines) {
						t.Errorf("unexpected % X", m)
						return [][]byte{respond(m, pipe.DataBlock, pipe.StatusFailed, pipe.CodeMute,
							0)}
					}
					if got := fmt.Sprintf("%d %X", int(m[8])|int(m[9])<<8,
						m[pipe.HeaderSize:]); got != lines[at] {
						t.Errorf("sent %q, want %q", got, lines[at])
					}
					at += 2
					return [][]byte{respond(m, pipe.DataBlock, 0, 0, 0, unhex(t, lines[at-1])...)}
				})
				s := connected(t, f, Options{})
				var r [258]byte
				n, err := s.Transmit(context.Background(), unhex(t, c.command), r[:])
				if fmt.Sprintf("%X", r[:n]) != c.want || !errors.Is(err, c.err) || c.err == nil &&
					err != nil {
					t.Errorf("% X, %v", r[:n], err)
				}
				if at != len(lines) {
					t.Errorf("%d of %d lines", at, len(lines))
				}
			})
		})
	}
}

func TestNULLsWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		healthy := ordinary(atrT0, func(_, _ []byte) []byte { return []byte{procedureNull} })
		s := connected(t, newFake(class(FeatureAutoParameters), healthy), Options{})
		var r [4]byte
		if _, err := s.Transmit(context.Background(), []byte{0, 0, 0, 0}, r[:]); !errors.Is(err,
			ErrTimeout) {
			t.Fatal(err)
		}
	})
}

func TestSplitReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []int
		healthy := ordinary(atrT0, nil)
		f := newFake(class(FeatureAutoParameters), func(f *fake, m []byte) [][]byte {
			if pipe.MessageType(m[0]) != pipe.XfrBlock {
				return healthy(f, m)
			}
			n := int(m[8]) | int(m[9])<<8
			asked = append(asked, n)
			switch {
			case len(m) > pipe.HeaderSize:
				return [][]byte{respond(m, pipe.DataBlock, 0, 0, 0, 0xB0)}
			case len(asked) < 4:
				return [][]byte{respond(m, pipe.DataBlock, 0, 0, 0,
					append(make([]byte, n-1), 0x90)...)}
			}
			return [][]byte{respond(m, pipe.DataBlock, 0, 0, 0, 0)}
		})
		f.dev.Descriptor = deviceBytes(0x0B97, 0x7762, 0x0111)
		s := connected(t, f, Options{})
		var r [258]byte
		// 53 bytes and the next procedure byte would make a message of 64.
		if n, err := s.Transmit(context.Background(), []byte{0, 0xB0, 0, 0, 53},
			r[:]); err != nil || n != 55 || !slices.Equal(asked, []int{1, 53, 1, 1}) {
			t.Fatal(n, err, asked)
		}
	})
}
