package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tamaccid/sclib"
	"tamaccid/sclib/iso7816"
	"tamaccid/sclib/sclibtest"
)

var atr = []byte{0x3B, 0x80, 0x80, 0x01, 0x01}

// applet answers as the "Hello world!" applet does.
func applet(text string) func(command []byte) []byte {
	selected := false
	return func(command []byte) []byte {
		switch {
		case bytes.Equal(command, []byte{0x00, 0xA4, 0x04, 0x00, 0x0A, 0xA0, 0x00, 0x00, 0x00, 0x62,
			0x03, 0x01, 0x0C, 0x06, 0x01}):
			selected = true
			return []byte{0x90, 0x00}
		case selected && bytes.Equal(command, []byte{0, 0, 0, 0}):
			return append([]byte(text), 0x90, 0x00)
		}
		return []byte{0x6D, 0x00}
	}
}

func always(answer ...byte) func(command []byte) []byte {
	return func([]byte) []byte { return answer }
}

func TestRun(t *testing.T) {
	const selected = "Reader: Reader B\n" +
		"ATR:    3B 80 80 01 01\n" +
		"C-APDU: 00 A4 04 00 0A A0 00 00 00 62 03 01 0C 06 01\n"
	const conversation = selected +
		"R-APDU: 90 00\n" +
		"C-APDU: 00 00 00 00\n" +
		"R-APDU: 48 65 6C 6C 6F 20 77 6F 72 6C 64 21 90 00\n" +
		"Text:   Hello world!\n"
	hello := sclibtest.Card{ATR: atr, Answer: applet("Hello world!")}
	tests := []struct {
		name    string
		a, b    *sclibtest.Card // the cards in the two readers
		prepare func(a, b *sclibtest.Reader)
		output  string
		want    error
	}{
		{name: "the card is in the second reader", b: &hello, output: conversation},
		{name: "the card in the first reader is mute",
			a: &hello, b: &hello, prepare: func(a,
				b *sclibtest.Reader) {
				a.Fail("connect", sclib.ErrUnresponsiveCard)
			},
			output: conversation},
		{name: "no reader has a card", want: sclib.ErrNoCard},
		{name: "one reader is empty and one card is mute", b: &hello,
			prepare: func(a, b *sclibtest.Reader) { b.Fail("connect", sclib.ErrUnresponsiveCard) },
			want:    sclib.ErrUnresponsiveCard},
		{name: "one card is mute and one reader is empty", a: &hello,
			prepare: func(a, b *sclibtest.Reader) { a.Fail("connect", sclib.ErrUnresponsiveCard) },
			want:    sclib.ErrUnresponsiveCard},
		{name: "the card has no such applet",
			b: &sclibtest.Card{ATR: atr, Answer: always(0x6A, 0x82)}, want: iso7816.SWNotFound,
			output: selected + "R-APDU: 6A 82\n"},
		{name: "the card answers without a status word",
			b: &sclibtest.Card{ATR: atr, Answer: always(0x90)}, want: iso7816.ErrResponse,
			output: selected + "R-APDU: 90\n"},
		{name: "the applet has no text", b: &sclibtest.Card{ATR: atr, Answer: applet("")},
			want:   errNoText,
			output: strings.SplitAfter(conversation, "00 00 00 00\n")[0] + "R-APDU: 90 00\n"},
		{name: "a text with control characters",
			b: &sclibtest.Card{ATR: atr, Answer: applet("\x1b[2J\xff\u202eok")},
			output: strings.SplitAfter(conversation, "00 00 00 00\n")[0] +
				"R-APDU: 1B 5B 32 4A FF E2 80 AE 6F 6B 90 00\nText:   .[2J..ok\n"},
		{name: "an exchange fails", b: &hello,
			prepare: func(a, b *sclibtest.Reader) { b.Fail("transmit", sclib.ErrTimeout) },
			want:    sclib.ErrTimeout,
			output:  selected},
		{name: "the disconnect fails", b: &hello,
			prepare: func(a, b *sclibtest.Reader) { b.Fail("disconnect", sclib.ErrComm) },
			want:    sclib.ErrComm, output: conversation},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a, b := sclibtest.NewReader("Reader A"), sclibtest.NewReader("Reader B")
			for _, slot := range []struct {
				reader *sclibtest.Reader
				card   *sclibtest.Card
			}{{a, test.a}, {b, test.b}} {
				if slot.card != nil {
					slot.reader.Insert(*slot.card)
				}
			}
			if test.prepare != nil {
				test.prepare(a, b)
			}
			sc := sclib.New(sclibtest.NewBackend(a, b))
			var output bytes.Buffer
			err := run(t.Context(), &output, sc)
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if output.String() != test.output {
				t.Errorf("printed:\n%s\nwant:\n%s", &output, test.output)
			}
			if log := b.Log(); slices.ContainsFunc(log,
				func(entry string) bool { return strings.HasPrefix(entry, "transmit") }) &&
				log[len(log)-1] != "disconnect leave" {
				t.Errorf("the card was not disconnected: %q", log)
			}
			if err := sc.Release(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRunWithoutAReader(t *testing.T) {
	sc := sclib.New(sclibtest.NewBackend())
	defer sc.Release()
	var output bytes.Buffer
	if err := run(t.Context(), &output, sc); !errors.Is(err, sclib.ErrNoReaders) ||
		output.Len() != 0 {
		t.Errorf("%v, printed %q", err, &output)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	r := sclibtest.NewReader("Reader")
	ctx, cancel := context.WithCancel(t.Context())
	r.Insert(sclibtest.Card{ATR: atr,
		Answer: func([]byte) []byte { cancel(); return []byte{0x90, 0x00} }})
	sc := sclib.New(sclibtest.NewBackend(r))
	defer sc.Release()
	if err := run(ctx, new(bytes.Buffer), sc); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, connected := r.Connected(); connected {
		t.Error("the card was not disconnected")
	}
}

func TestAdvice(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"no reader", sclib.ErrNoReaders,
			"No smart card reader found.\n" +
				"Plug a reader in, see that its driver is loaded, and run this again."},
		{"no daemon", fmt.Errorf("%w: no socket", sclib.ErrNoService),
			"It failed: no smart card service is running: no socket.\n" +
				"Start the service and run this again."},
		{"no card", sclib.ErrNoCard,
			"There is no card in the reader.\n" +
				"Insert a card with the \"Hello world!\" applet and run this again."},
		{"another card", iso7816.SWNotFound,
			"The card refused with status 6A 82: file or application not found.\n" +
				"Insert a card with the \"Hello world!\" applet and run this again."},
		{"anything else", errNoText,
			"It failed: the card answered without a text.\n" +
				"Take the card out, insert it and run this again."},
	}
	for _, test := range tests {
		if got := advice(test.err); got != test.want {
			t.Errorf("%s: %q", test.name, got)
		}
	}
}
