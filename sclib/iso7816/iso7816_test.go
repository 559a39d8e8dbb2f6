package iso7816_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"tamaccid/sclib/iso7816"
)

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCommands(t *testing.T) {
	head := iso7816.Command{CLA: 0x00, INS: 0xA4, P1: 0x04, P2: 0x00}
	with := func(data []byte, ne int, extended bool) iso7816.Command {
		c := head
		c.Data, c.Ne, c.Extended = data, ne, extended
		return c
	}
	filler := func(n int) []byte { return bytes.Repeat([]byte{0x55}, n) }
	tests := []struct {
		name    string
		command iso7816.Command
		begin   string // of the encoding
		data    int    // filler bytes after it
		end     string
	}{
		{"case 1", with(nil, 0, false), "00A40400", 0, ""},
		{"case 2 short, 1 byte", with(nil, 1, false), "00A40400 01", 0, ""},
		{"case 2 short, 255 bytes", with(nil, 255, false), "00A40400 FF", 0, ""},
		{"case 2 short, 256 bytes", with(nil, 256, false), "00A40400 00", 0, ""},
		{"case 2 extended, 257 bytes", with(nil, 257, true), "00A40400 00 0101", 0, ""},
		{"case 2 extended, 65,535 bytes", with(nil, 65535, true), "00A40400 00 FFFF", 0, ""},
		{"case 2 extended, 65,536 bytes", with(nil, 65536, true), "00A40400 00 0000", 0, ""},
		{"case 2 extended though short would do", with(nil, 1, true), "00A40400 00 0001", 0, ""},
		{"case 3 short, 1 byte", with(filler(1), 0, false), "00A40400 01", 1, ""},
		{"case 3 short, 255 bytes", with(filler(255), 0, false), "00A40400 FF", 255, ""},
		{"case 3 extended, 256 bytes", with(filler(256), 0, true), "00A40400 00 0100", 256, ""},
		{"case 3 extended, 65,535 bytes", with(filler(65535), 0, true), "00A40400 00 FFFF", 65535,
			""},
		{"case 3 extended though short would do", with(filler(1), 0, true), "00A40400 00 0001", 1,
			""},
		{"case 4 short", with(filler(255), 256, false), "00A40400 FF", 255, "00"},
		{"case 4 extended for the data", with(filler(256), 1, true), "00A40400 00 0100", 256,
			"0001"},
		{"case 4 extended for the answer", with(filler(1), 257, true), "00A40400 00 0001", 1,
			"0101"},
		{"case 4 extended, the longest command", with(filler(65535), 65536, true),
			"00A40400 00 FFFF", 65535, "0000"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			want := append(append(unhex(t, test.begin), filler(test.data)...),
				unhex(t, test.end)...)
			got, err := test.command.Bytes()
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("encoded % .40X, %v", got, err)
			}
			back, err := iso7816.ParseCommand(want)
			if err != nil || back.CLA != 0 || back.INS != 0xA4 || back.P1 != 4 || back.P2 != 0 ||
				!bytes.Equal(back.Data, test.command.Data) || back.Ne != test.command.Ne ||
				back.Extended != test.command.Extended {
				t.Errorf("parsed %.100v, %v", back, err)
			}
		})
	}
}

func TestLengthsChooseTheEncoding(t *testing.T) {
	tests := []struct {
		name     string
		nc, ne   int
		extended bool
	}{
		{"short fits both", 255, 256, false},
		{"too much data for short", 256, 0, true},
		{"too much expected for short", 0, 257, true},
	}
	for _, test := range tests {
		encoded, err := iso7816.Command{Data: make([]byte, test.nc), Ne: test.ne}.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := iso7816.ParseCommand(encoded); err != nil ||
			back.Extended != test.extended {
			t.Errorf("%s: extended %v, %v", test.name, back.Extended, err)
		}
	}
}

func TestInvalidCommands(t *testing.T) {
	for name, command := range map[string]iso7816.Command{
		"more data than a length field holds": {Data: make([]byte, 65536)},
		"too many expected bytes":             {Ne: 65537},
		"a negative expectation":              {Ne: -1},
	} {
		if got, err := command.Append([]byte{1, 2}); !errors.Is(err, iso7816.ErrLength) ||
			!bytes.Equal(got, []byte{1, 2}) {
			t.Errorf("%s: % .40X, %v", name, got, err)
		}
	}
	for name, encoded := range map[string]string{
		"nothing":                        "",
		"three bytes":                    "00A404",
		"less data than Lc":              "00A40400 05 01020304",
		"more data than Lc and Le allow": "00A40400 01 010203",
		"an extended mark alone with Lc": "00A40400 00 01",
		"an extended Lc of zero":         "00A40400 00 0000 00",
		"less data than extended Lc":     "00A40400 00 0005 01020304",
	} {
		if _, err := iso7816.ParseCommand(unhex(t, encoded)); !errors.Is(err, iso7816.ErrCommand) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSelect(t *testing.T) {
	aid := unhex(t, "A0000000620301 0C0601")
	got, err := iso7816.Select(aid).Bytes()
	if want := unhex(t, "00A404000A A0000000620301 0C0601"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("% X, %v", got, err)
	}
}

func TestResponses(t *testing.T) {
	tests := []struct {
		name     string
		response []byte
		data     string
		sw       iso7816.StatusWord
		bad      bool
	}{
		{name: "text", response: []byte("Hello world!\x90\x00"), data: "Hello world!", sw: 0x9000},
		{name: "a status word alone", response: []byte{0x6A, 0x82}, sw: 0x6A82},
		{name: "nothing", response: nil, bad: true},
		{name: "half a status word", response: []byte{0x90}, bad: true},
		{name: "the longest", response: append(make([]byte, 65536), 0x90, 0),
			data: string(make([]byte, 65536)), sw: 0x9000},
		{name: "one byte more", response: make([]byte, 65539), bad: true},
	}
	for _, test := range tests {
		r, err := iso7816.ParseResponse(test.response)
		if test.bad {
			if !errors.Is(err, iso7816.ErrResponse) {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		if err != nil || string(r.Data) != test.data || r.SW != test.sw {
			t.Errorf("%s: %.20q %v, %v", test.name, r.Data, r.SW, err)
		}
		if back := r.Append(nil); !bytes.Equal(back, test.response) {
			t.Errorf("%s: encoded % .40X", test.name, back)
		}
	}
}

func TestStatusWords(t *testing.T) {
	tests := []struct {
		sw          iso7816.StatusWord
		text        string
		ok, warning bool
	}{
		{0x9000, "success", true, false},
		{0x6110, "16 more bytes available", true, false},
		{0x6100, "256 more bytes available", true, false},
		{0x6C00, "wrong expected length, 256 bytes available", false, false},
		{0x6282, "end of file or record reached before the expected length", false, true},
		{0x62FF, "warning, card state unchanged", false, true},
		{0x63C3, "verification failed, 3 tries left", false, true},
		{0x63C1, "verification failed, 1 try left", false, true},
		{0x63C0, "verification failed, 0 tries left", false, true},
		{0x63D0, "warning, card state changed", false, true},
		{0x6982, "security status not satisfied", false, false},
		{0x69FF, "command not allowed", false, false},
		{0x6A82, "file or application not found", false, false},
		{0x6D00, "instruction not supported or invalid", false, false},
		{0x9001, "not a status of ISO/IEC 7816-4", false, false},
		{0x0000, "not a status of ISO/IEC 7816-4", false, false},
	}
	for _, test := range tests {
		if test.sw.Text() != test.text || test.sw.OK() != test.ok ||
			test.sw.Warning() != test.warning {
			t.Errorf("%v: %q, ok %v, warning %v", test.sw, test.sw.Text(), test.sw.OK(),
				test.sw.Warning())
		}
	}
	if got := iso7816.StatusWord(
		0x6A82).Error(); got != "status 6A 82: file or application not found" {
		t.Error(got)
	}
	if err := (iso7816.Response{SW: 0x9000}).Err(); err != nil {
		t.Error(err)
	}
	if err := (iso7816.Response{SW: 0x6982}).Err(); err != iso7816.SWSecurityStatus {
		t.Error(err)
	}
	if _, ok := iso7816.StatusWord(0x6300).TriesLeft(); ok {
		t.Error("63 00 has no counter")
	}
}

// fixed is a card with one answer. It keeps a copy of the command.
type fixed struct {
	answer  []byte
	err     error
	command []byte
}

func (c *fixed) Transmit(_ context.Context, command []byte) ([]byte, error) {
	c.command = bytes.Clone(command)
	return c.answer, c.err
}

func TestExchange(t *testing.T) {
	down := errors.New("unplugged")
	for _, c := range []struct {
		name   string
		answer string
		err    error
		data   string
		want   error
	}{
		{"data and success", "41 42 90 00", nil, "41 42", nil},
		{"success alone", "90 00", nil, "", nil},
		{"another status", "6A 82", nil, "", iso7816.SWNotFound},
		{"data beside another status", "41 61 05", nil, "41", iso7816.StatusWord(0x6105)},
		{"half a status word", "90", nil, "", iso7816.ErrResponse},
		{"nothing", "", nil, "", iso7816.ErrResponse},
		{"a failed exchange", "90 00", down, "", down},
	} {
		t.Run(c.name, func(t *testing.T) {
			card := &fixed{answer: unhex(t, c.answer), err: c.err}
			data, err := iso7816.Exchange(t.Context(), card, iso7816.Command{INS: 0xB0, Ne: 2})
			if !errors.Is(err, c.want) || c.want == nil && err != nil ||
				!bytes.Equal(data, unhex(t, c.data)) {
				t.Errorf("% X, %v", data, err)
			}
			if !bytes.Equal(card.command, []byte{0, 0xB0, 0, 0, 2}) {
				t.Errorf("sent % X", card.command)
			}
		})
	}
	card := &fixed{}
	if _, err := iso7816.Exchange(t.Context(), card,
		iso7816.Command{Ne: iso7816.MaxNe + 1}); err == nil || card.command != nil {
		t.Errorf("an invalid command: %v, sent % X", err, card.command)
	}
}

// keeper keeps the command without a copy.
type keeper struct{ command []byte }

func (k *keeper) Transmit(_ context.Context, command []byte) ([]byte, error) {
	k.command = command
	return []byte{0x90, 0x00}, nil
}

func TestExchangeWipesTheCommand(t *testing.T) {
	verify := iso7816.Command{INS: 0x20, P2: 0x80, Data: []byte("31415926"), Ne: 256}
	card := &keeper{}
	if _, err := iso7816.Exchange(t.Context(), card, verify); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(card.command, make([]byte, 14)) {
		t.Errorf("left: % X", card.command)
	}
	for _, extended := range []bool{false, true} {
		verify.Extended = extended
		if n := testing.AllocsPerRun(10, func() { _, _ = verify.Bytes() }); n != 1 {
			t.Errorf("the command was put into %v buffers, extended %v", n, extended)
		}
	}
}

// FuzzCommand checks that a command that can be parsed is encoded to the same bytes.
func FuzzCommand(f *testing.F) {
	f.Add([]byte{0, 0xA4, 4, 0, 2, 0xA0, 0, 0})
	f.Add([]byte{0, 0xA4, 4, 0, 0, 0, 2, 0xA0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := iso7816.ParseCommand(b)
		if err != nil {
			return
		}
		if back, err := c.Bytes(); err != nil || !bytes.Equal(back, b) {
			t.Errorf("% X became % X, %v", b, back, err)
		}
	})
}
