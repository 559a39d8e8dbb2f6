package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"tamaccid/ccid"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
	"tamaccid/sclib"
	"tamaccid/sclib/native"
	"tamaccid/sclib/sclibtest"
)

// plug opens all readers of a virtual device, with a card of the catalogue in each slot, or none if
// kind is empty.
func plug(t *testing.T, m reader.Model, kind string) *sclib.Context {
	t.Helper()
	d := reader.NewDevice(m)
	b, err := native.New(native.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; d.Reader(n) != nil; n++ {
		for slot := range d.Reader(n).Slots() {
			if kind == "" {
				continue
			}
			c, err := card.Named(kind)
			if err != nil {
				t.Fatal(err)
			}
			d.Reader(n).Insert(slot, c)
		}
		transport, err := d.Open(d.Reader(n).Interface())
		if err != nil {
			t.Fatal(err)
		}
		r, err := ccid.Open(t.Context(), transport, ccid.Options{Unit: n})
		if err != nil {
			t.Fatal(err)
		}
		b.Add(r)
	}
	sc := sclib.New(b)
	t.Cleanup(func() { sc.Release() })
	return sc
}

func TestReports(t *testing.T) {
	tests := []struct {
		name    string
		level   reader.Level
		card    string
		options options
		want    string
	}{
		{"T=0 at TPDU level", reader.TPDU, "t0", options{}, `Reader:   tamaccid Virtual Reader 0
Card:     T=0, ATR 3B 08 74 61 6D 61 63 63 69 64
  hello world                                    ok, 2 exchanges
  case 1                                         ok, 2 exchanges
  case 2, all lengths 1 to 256                   ok, 256 exchanges
  case 3, all lengths 1 to 255                   ok, 255 exchanges
  case 4, all lengths 1 to 255, 255 to 1 back    ok, 255 exchanges
  a command that takes 0 units of time           ok, 1 exchange
  extended case 2, up to 65535                   ok, 3 exchanges; the rest left out: T=0 has no Le above 256
  extended case 3, up to 65535                   ok, 6 exchanges
  extended case 4, up to 65535 there and back    ok, 7 exchanges
Passed: 787 exchanges, 210335 bytes to the card, 138034 back; 1 step left out or cut short

1 reader: 1 passed, 0 failed, 0 without a card
`},
		{"T=1 at extended APDU level, at some lengths", reader.ExtendedAPDU, "t1",
			options{quick: true, units: 1}, `Reader:   tamaccid Virtual Reader 0
Card:     T=1, ATR 3B 88 81 31 FE 45 74 61 6D 61 63 63 69 64 97
  hello world                                    ok, 2 exchanges
  case 1                                         ok, 2 exchanges
  case 2, some lengths 1 to 256                  ok, 30 exchanges
  case 3, some lengths 1 to 255                  ok, 29 exchanges
  case 4, some lengths 1 to 255, 255 to 1 back   ok, 29 exchanges
  a command that takes 1 unit of time            ok, 1 exchange
  extended case 2, up to 65535                   ok, 6 exchanges
  extended case 3, up to 65535                   ok, 6 exchanges
  extended case 4, up to 65535 there and back    ok, 7 exchanges
Passed: 112 exchanges, 150012 bytes to the card, 148716 back

1 reader: 1 passed, 0 failed, 0 without a card
`},
		{"a reader of short APDUs, at some lengths", reader.ShortAPDU, "t1",
			options{quick: true}, `Reader:   tamaccid Virtual Reader 0
Card:     T=1, ATR 3B 88 81 31 FE 45 74 61 6D 61 63 63 69 64 97
  hello world                                    ok, 2 exchanges
  case 1                                         ok, 2 exchanges
  case 2, some lengths 1 to 256                  ok, 30 exchanges
  case 3, some lengths 1 to 255                  ok, 29 exchanges
  case 4, some lengths 1 to 255, 255 to 1 back   ok, 29 exchanges
  a command that takes 0 units of time           ok, 1 exchange
  extended case 2, up to 65535                   left out: the reader takes short APDUs only
  extended case 3, up to 65535                   left out: the reader takes short APDUs only
  extended case 4, up to 65535 there and back    left out: the reader takes short APDUs only
Passed: 93 exchanges, 9059 bytes to the card, 7878 back; 3 steps left out or cut short

1 reader: 1 passed, 0 failed, 0 without a card
`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w bytes.Buffer
				if err := run(t.Context(), &w, plug(t, reader.New(test.level), test.card),
					test.options); err != nil {
					t.Error(err)
				}
				if w.String() != test.want {
					t.Errorf("printed:\n%s\nwant:\n%s", &w, test.want)
				}
			})
		})
	}
}

func TestReadersOfTheCatalogue(t *testing.T) {
	for _, kind := range reader.Names() {
		for _, c := range []string{"t0", "t1", "t0t1"} {
			m, err := reader.Named(kind)
			if err != nil {
				t.Fatal(err)
			}
			if m.ZLP == reader.OmitZLP && c != "t0" {
				continue // takes a second for each answer that fills its packets
			}
			if only := m.Functions[len(m.Functions)-1].CCID.Protocols; only == reader.T0 &&
				c != "t0" || only == reader.T1 && c == "t0" {
				continue
			}
			t.Run(kind+" with card "+c, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var w bytes.Buffer
					if err := run(t.Context(), &w, plug(t, m, c),
						options{quick: true}); err != nil {
						t.Errorf("%v\n%s", err, &w)
					}
				})
			})
		}
	}
}

// applets answers short commands as the test card does, and changes one answer.
func applets(name string, change func(answer []byte) []byte) func(command []byte) []byte {
	selected := byte(0)
	return func(command []byte) []byte {
		ok := []byte{0x90, 0x00}
		answer := func(data []byte) []byte {
			if data = append(append([]byte(nil), data...), ok...); command[1] == insCase4 &&
				name == "case 4" ||
				command[1] == insCase2 && name == "case 2" || command[1] == insCase3 &&
				name == "case 3" {
				return change(data)
			}
			return data
		}
		switch {
		case command[1] == 0xA4:
			selected = command[len(command)-1]
			return ok
		case selected == helloAID[len(helloAID)-1] && len(command) == 4:
			return answer([]byte(helloText))
		case command[1] == insCase2, command[1] == insCase4:
			return answer(counting[:int(command[2])<<8|int(command[3])])
		}
		return answer(nil)
	}
}

func TestFaults(t *testing.T) {
	cut := func(answer []byte) []byte { return answer[1:] }
	tests := []struct {
		name    string
		in      string
		change  func(answer []byte) []byte
		prepare func(r *sclibtest.Reader)
		want    string // a part of the report
	}{
		{name: "a byte of an answer is wrong", in: "case 2", change: func(answer []byte) []byte {
			if len(answer) > 102 {
				answer[100] ^= 0x80
			}
			return answer
		},
			want: "Failed: case 2, all lengths 1 to 256: 101 bytes: " +
				"byte 100 came back as E4, not 64"},
		{name: "an answer is too short", in: "case 4", change: cut,
			want: "Failed: case 4, all lengths 1 to 255, 255 to 1 back: 1 byte: " +
				"254 bytes came back, not 255"},
		{name: "an unexpected answer", in: "case 3",
			change: func(answer []byte) []byte { return append([]byte{7}, answer...) },
			want:   "Failed: case 3, all lengths 1 to 255: 1 byte: 1 byte came back, not 0"},
		{name: "another status", in: "case 3",
			change: func([]byte) []byte { return []byte{0x6A, 0x80} },
			want: "Failed: case 3, all lengths 1 to 255: 1 byte: " +
				"status 6A 80: wrong data (with 0 bytes)"},
		{name: "no status at all", in: "case 3",
			change: func([]byte) []byte { return []byte{0x90} },
			want: "Failed: case 3, all lengths 1 to 255: 1 byte: " +
				"not a response APDU: it has no status word: 90"},
		{name: "the reader fails",
			prepare: func(r *sclibtest.Reader) { r.Fail("transmit", sclib.ErrComm) },
			want: `Failed: hello world: transmit to the card in "Faulty": ` +
				"communication with the card failed"},
		{name: "the card is mute", prepare: func(r *sclibtest.Reader) {
			r.Fail("connect",
				sclib.ErrUnresponsiveCard)
		},
			want: `Failed: connect to "Faulty": the card does not answer`},
		{name: "the disconnect fails",
			prepare: func(r *sclibtest.Reader) { r.Fail("disconnect", sclib.ErrComm) },
			want:    `Failed: disconnect`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			faulty, sound := sclibtest.NewReader("Faulty"), sclibtest.NewReader("Sound")
			faulty.Insert(sclibtest.Card{ATR: card.ATRT1, Answer: applets(test.in, test.change)})
			sound.Insert(sclibtest.Card{ATR: card.ATRT1, Answer: applets("", nil)})
			if test.prepare != nil {
				test.prepare(faulty)
			}
			sc := sclib.New(sclibtest.NewBackend(faulty, sound))
			defer sc.Release()
			var w bytes.Buffer
			if err := run(t.Context(), &w, sc, options{}); !errors.Is(err, errNotPassed) {
				t.Errorf("got %v", err)
			}
			for _, want := range []string{test.want, "\nPassed: 771 exchanges",
				"2 readers: 1 passed, 1 failed, 0 without a card\n",
				"left out: the reader does not report extended APDUs\n"} {
				if !strings.Contains(w.String(), want) {
					t.Errorf("did not print %q:\n%s", want, &w)
				}
			}
		})
	}
}

func TestMissingParts(t *testing.T) {
	tests := []struct {
		name    string
		kind    string
		options options
		want    error
		output  string
	}{
		{"no card", "", options{}, sclib.ErrNoCard,
			"No card.\n\n1 reader: 0 passed, 0 failed, 1 without a card\n"},
		{"no reader of that name", "t0", options{reader: "Other"}, sclib.ErrUnknownReader, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w bytes.Buffer
				err := run(t.Context(), &w, plug(t, reader.New(reader.TPDU), test.kind),
					test.options)
				if !errors.Is(err, test.want) || !strings.HasSuffix(w.String(), test.output) {
					t.Errorf("got %v, printed:\n%s", err, &w)
				}
				if text := advice(err); strings.HasPrefix(text, "It failed") {
					t.Errorf("advice %q", text)
				}
			})
		})
	}
	t.Run("a reader without a card does not affect the others", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			empty, full := sclibtest.NewReader("Empty"), sclibtest.NewReader("Full")
			full.Insert(sclibtest.Card{ATR: card.ATRT1, Answer: applets("", nil)})
			sc := sclib.New(sclibtest.NewBackend(empty, full))
			defer sc.Release()
			var w bytes.Buffer
			if err := run(t.Context(), &w, sc, options{quick: true}); err != nil ||
				!strings.HasSuffix(w.String(),
					"2 readers: 1 passed, 0 failed, 1 without a card\n") {
				t.Errorf("%v\n%s", err, &w)
			}
		})
	})
	t.Run("a card without the applets", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := sclibtest.NewReader("Reader")
			r.Insert(sclibtest.Card{ATR: card.ATRT1,
				Answer: func([]byte) []byte { return []byte{0x6A, 0x82} }})
			sc := sclib.New(sclibtest.NewBackend(r))
			defer sc.Release()
			var w bytes.Buffer
			if err := run(t.Context(), &w, sc, options{}); !errors.Is(err, errNotPassed) ||
				!strings.Contains(w.String(),
					"Failed: hello world: status 6A 82: file or application not found (with 0 bytes)\n") {
				t.Errorf("%v\n%s", err, &w)
			}
		})
	})
	t.Run("a card without extended length fields, and without an echo", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := sclibtest.NewReader("Reader")
			short := applets("", nil)
			r.Insert(sclibtest.Card{ATR: card.ATRT1, Answer: func(command []byte) []byte {
				switch {
				case len(command) > 6 && command[4] == 0:
					return []byte{0x67, 0x00}
				case bytes.HasSuffix(command, echoAID):
					return []byte{0x6A, 0x82}
				}
				return short(command)
			}})
			r.HandleControl(sclib.CMIoctlGetFeatureRequest,
				func([]byte) []byte { return []byte{0x12, 4, 0x42, 0x33, 0, 0x12} })
			r.HandleControl(0x42330012,
				func([]byte) []byte { return []byte{9, 1, 0, 10, 4, 0, 0, 1, 0} })
			sc := sclib.New(sclibtest.NewBackend(r))
			defer sc.Release()
			var w bytes.Buffer
			if err := run(t.Context(), &w, sc, options{quick: true}); err != nil ||
				strings.Count(w.String(), "left out: the card takes short APDUs only\n") != 2 ||
				strings.Count(w.String(), "left out: the card has no echo applet\n") != 1 {
				t.Errorf("%v\n%s", err, &w)
			}
		})
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	a, b := sclibtest.NewReader("A"), sclibtest.NewReader("B")
	ctx, cancel := context.WithCancel(t.Context())
	ends := func([]byte) []byte { cancel(); return []byte{0x90, 0x00} }
	a.Insert(sclibtest.Card{ATR: card.ATRT1, Answer: ends})
	b.Insert(sclibtest.Card{ATR: card.ATRT1, Answer: ends})
	sc := sclib.New(sclibtest.NewBackend(a, b))
	defer sc.Release()
	var w bytes.Buffer
	if err := run(ctx, &w, sc, options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if strings.Contains(w.String(), "Reader:   B") {
		t.Errorf("it continued:\n%s", &w)
	}
}

func TestCommandLines(t *testing.T) {
	tests := []struct {
		name      string
		arguments []string
		want      options
		bad       string
	}{
		{name: "nothing", want: options{units: 1}},
		{name: "a reader", arguments: []string{"Reader 1"},
			want: options{units: 1, reader: "Reader 1"}},
		{name: "everything", arguments: []string{"-time", "20", "-quick", "Reader"},
			want: options{quick: true, units: 20, reader: "Reader"}},
		{name: "two readers", arguments: []string{"A", "B"}, bad: "one reader"},
		{name: "a reader without a name", arguments: []string{""}, bad: "one reader"},
		{name: "no such option", arguments: []string{"-slow"}, bad: `no option "-slow"`},
		{name: "a time without a number", arguments: []string{"-time"}, bad: "needs a number"},
		{name: "more time than fits", arguments: []string{"-time", "256"}, bad: "0 to 255"},
	}
	for _, test := range tests {
		o, err := parse(test.arguments)
		switch {
		case test.bad == "" && (err != nil || o != test.want):
			t.Errorf("%s: %+v, %v", test.name, o, err)
		case test.bad != "" && (err == nil || !strings.Contains(err.Error(), test.bad)):
			t.Errorf("%s: %v", test.name, err)
		}
	}
	names := []string{"Reader", "Reader 2", "Other"}
	for name, want := range map[string]string{"": "Reader,Reader 2,Other", "Reader": "Reader",
		"ther": "Other", "ead": "Reader,Reader 2", "X": ""} {
		o := options{reader: name}
		if got := strings.Join(o.chosen(names), ","); got != want {
			t.Errorf("%q chooses %q", name, got)
		}
	}
}
