package sclib_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"tamaccid/sclib"
	"tamaccid/sclib/sclibtest"
)

var atr = []byte{0x3B, 0x80, 0x01, 0x81}

// echo answers every command with itself and 90 00.
func echo(command []byte) []byte { return append(slices.Clone(command), 0x90, 0x00) }

// reader returns a reader with a card, and a context over it.
func reader(t *testing.T) (*sclibtest.Reader, *sclib.Context) {
	t.Helper()
	r := sclibtest.NewReader("Test reader")
	r.Insert(sclibtest.Card{ATR: atr, Answer: echo})
	return r, over(t, sclibtest.NewBackend(r))
}

func over(t *testing.T, b *sclibtest.Backend) *sclib.Context {
	t.Helper()
	sc := sclib.New(b)
	t.Cleanup(func() { sc.Release() })
	return sc
}

func connect(t *testing.T, sc *sclib.Context, mode sclib.ShareMode) *sclib.Card {
	t.Helper()
	card, err := sc.Connect(t.Context(), "Test reader", mode, sclib.ProtocolAny)
	if err != nil {
		t.Fatal(err)
	}
	return card
}

func want(t *testing.T, err error, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("got %v, want %v", err, target)
	}
}

func TestListReaders(t *testing.T) {
	first, second := sclibtest.NewReader("Reader"), sclibtest.NewReader("Reader")
	other, nameless := sclibtest.NewReader("Other"), sclibtest.NewReader("")
	b := sclibtest.NewBackend()
	sc := over(t, b)
	steps := []struct {
		name  string
		do    func()
		want  []string
		error error
	}{
		{name: "no reader is an error", do: func() {}, error: sclib.ErrNoReaders},
		{name: "readers of one name get numbers", do: func() { b.Attach(first); b.Attach(second) },
			want: []string{"Reader", "Reader (2)"}},
		{name: "the numbered one keeps its name after the other is unplugged",
			do: func() { b.Detach(first) }, want: []string{"Reader (2)"}},
		{name: "the free name is used again",
			do:   func() { b.Attach(sclibtest.NewReader("Reader")) },
			want: []string{"Reader (2)", "Reader"}},
		{name: "another name needs no number", do: func() { b.Attach(other) },
			want: []string{"Reader (2)", "Reader", "Other"}},
		{name: "a reader without a name gets a number too", do: func() { b.Attach(nameless) },
			want: []string{"Reader (2)", "Reader", "Other", "Reader (3)"}},
		{name: "a name cannot control a terminal",
			do:   func() { b.Attach(sclibtest.NewReader("\x1b[2JL\u00e9ser\xff\u202e")) },
			want: []string{"Reader (2)", "Reader", "Other", "Reader (3)", ".[2JL\u00e9ser.."}},
		{name: "a failing backend is an error with a code",
			do: func() { b.Fail(errors.New("defective bus")) }, error: sclib.ErrUnknown},
	}
	for _, step := range steps {
		step.do()
		names, err := sc.ListReaders(t.Context())
		if !slices.Equal(names, step.want) || !errors.Is(err, step.error) {
			t.Errorf("%s: got %q, %v", step.name, names, err)
		}
	}
}

func TestConnectRefusesInvalidArguments(t *testing.T) {
	tests := []struct {
		name      string
		reader    string
		mode      sclib.ShareMode
		preferred sclib.Protocol
		want      sclib.Error
	}{
		{"a reader that is not attached", "Other reader", sclib.ShareShared, sclib.ProtocolAny,
			sclib.ErrUnknownReader},
		{"share mode zero", "Test reader", 0, sclib.ProtocolAny, sclib.ErrInvalidValue},
		{"an unknown share mode", "Test reader", 4, sclib.ProtocolAny, sclib.ErrInvalidValue},
		{"a card without a protocol", "Test reader", sclib.ShareShared, sclib.ProtocolUndefined,
			sclib.ErrInvalidValue},
		{"a protocol that the card does not offer", "Test reader", sclib.ShareShared,
			sclib.ProtocolT0, sclib.ErrProtocolMismatch},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, sc := reader(t)
			_, err := sc.Connect(t.Context(), test.reader, test.mode, test.preferred)
			want(t, err, test.want)
			if _, connected := r.Connected(); connected {
				t.Error("the reader stayed connected")
			}
		})
	}
}

func TestConnectWithoutACard(t *testing.T) {
	r, sc := reader(t)
	r.Remove()
	_, err := sc.Connect(t.Context(), "Test reader", sclib.ShareShared, sclib.ProtocolAny)
	want(t, err, sclib.ErrNoCard)
	card := connect(t, sc, sclib.ShareDirect)
	if _, err := card.Transmit(t.Context(), []byte{0, 0, 0, 0}); !errors.Is(err,
		sclib.ErrProtocolMismatch) {
		t.Errorf("an APDU over a direct connection: %v", err)
	}
	status, err := card.Status(t.Context())
	if err != nil || status.State != sclib.CardAbsent {
		t.Errorf("status of an empty reader: %v, %v", status.State, err)
	}
	// An inserted card does not affect a direct handle, and the next handle uses it.
	r.Insert(sclibtest.Card{ATR: atr, Answer: echo})
	second := connect(t, sc, sclib.ShareShared)
	if _, err := second.Transmit(t.Context(), []byte{0, 0, 0, 0}); err != nil {
		t.Error(err)
	}
	if _, err := card.Status(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRelease(t *testing.T) {
	tests := []struct {
		name string
		do   func(t *testing.T, sc *sclib.Context)
		log  []string
	}{
		{"nothing was connected", func(t *testing.T, sc *sclib.Context) {}, nil},
		{"a card that is still connected is not reset", func(t *testing.T, sc *sclib.Context) {
			connect(t, sc, sclib.ShareShared)
		}, []string{"connect shared leave", "disconnect leave"}},
		{"two handles are one connection", func(t *testing.T, sc *sclib.Context) {
			connect(t, sc, sclib.ShareShared)
			connect(t, sc, sclib.ShareShared)
		}, []string{"connect shared leave", "disconnect leave"}},
		{"a card in a transaction is reset", func(t *testing.T, sc *sclib.Context) {
			if err := connect(t, sc, sclib.ShareShared).BeginTransaction(t.Context()); err != nil {
				t.Fatal(err)
			}
		}, []string{"connect shared leave", "disconnect reset"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := sclibtest.NewReader("Test reader")
			r.Insert(sclibtest.Card{ATR: atr, Answer: echo})
			b := sclibtest.NewBackend(r)
			sc := sclib.New(b)
			test.do(t, sc)
			if err := sc.Release(); err != nil {
				t.Error(err)
			}
			if log := r.Log(); !slices.Equal(log, test.log) {
				t.Errorf("the reader's calls: %q", log)
			}
			if !b.Closed() {
				t.Error("the backend was not closed")
			}
		})
	}
}

func TestReleaseOfAnUnpluggedReader(t *testing.T) {
	r := sclibtest.NewReader("Test reader")
	r.Insert(sclibtest.Card{ATR: atr, Answer: echo})
	b := sclibtest.NewBackend(r)
	sc := sclib.New(b)
	card := connect(t, sc, sclib.ShareShared)
	b.Detach(r)
	_, err := card.Transmit(t.Context(), []byte{0, 0, 0, 0})
	want(t, err, sclib.ErrReaderUnavailable)
	if err := sc.Release(); err != nil {
		t.Error(err)
	}
}

func TestCallsAfterRelease(t *testing.T) {
	_, sc := reader(t)
	card := connect(t, sc, sclib.ShareShared)
	if err := sc.Release(); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	calls := map[string]func() error{
		"ListReaders": func() error { _, err := sc.ListReaders(ctx); return err },
		"Connect": func() error {
			_, err := sc.Connect(ctx, "Test reader", sclib.ShareShared, sclib.ProtocolAny)
			return err
		},
		"GetStatusChange": func() error {
			return sc.GetStatusChange(ctx, []sclib.ReaderState{{Reader: "Test reader"}})
		},
		"Transmit": func() error {
			_, err := card.Transmit(ctx, []byte{0, 0, 0, 0})
			return err
		},
		"Status":     func() error { _, err := card.Status(ctx); return err },
		"Disconnect": func() error { return card.Disconnect(sclib.LeaveCard) },
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, sclib.ErrServiceStopped) {
			t.Errorf("%s: %v", name, err)
		}
	}
	want(t, sc.Release(), sclib.ErrInvalidHandle)
}

func TestAnEndedContextStopsACall(t *testing.T) {
	r, sc := reader(t)
	card := connect(t, sc, sclib.ShareShared)
	r.Log()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := card.Transmit(canceled, []byte{0, 0, 0, 0})
	want(t, err, sclib.ErrCanceled)
	want(t, err, context.Canceled)
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	_, err = card.Transmit(late, []byte{0, 0, 0, 0})
	want(t, err, sclib.ErrTimeout)
	want(t, err, context.DeadlineExceeded)
	if log := r.Log(); log != nil {
		t.Errorf("the reader's calls: %q", log)
	}
	// Disconnect works without a context.
	if err := card.Disconnect(sclib.LeaveCard); err != nil {
		t.Error(err)
	}
}
