package sclib_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"tamaccid/sclib"
	"tamaccid/sclib/sclibtest"
)

func TestTransmit(t *testing.T) {
	long := bytes.Repeat([]byte{0xA5}, sclib.MaxResponse)
	tests := []struct {
		name    string
		command []byte
		answer  []byte
		want    error
	}{
		{name: "a status word alone", command: []byte{0, 0xA4, 4, 0}, answer: []byte{0x90, 0}},
		{name: "an error status is an answer", command: []byte{0, 0xA4, 4, 0},
			answer: []byte{0x6A, 0x82}},
		{name: "an answer although none was expected", command: []byte{0, 0, 0, 0},
			answer: []byte("Hello world!\x90\x00")},
		{name: "the longest answer", command: []byte{0, 0xB0, 0, 0, 0, 0, 0}, answer: long},
		{name: "an answer that is too long", command: []byte{0, 0xB0, 0, 0, 0},
			answer: append(slices.Clone(long), 0), want: sclib.ErrInsufficientBuffer},
		{name: "the longest command", command: make([]byte, sclib.MaxCommand),
			answer: []byte{0x90, 0}},
		{name: "a command that is too long", command: make([]byte, sclib.MaxCommand+1),
			want: sclib.ErrInvalidParameter},
		{name: "an empty command", command: []byte{}, want: sclib.ErrInvalidParameter},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, sc := reader(t)
			var seen []byte
			r.Insert(sclibtest.Card{ATR: atr, Answer: func(command []byte) []byte {
				seen = slices.Clone(command)
				return test.answer
			}})
			answer, err := connect(t, sc, sclib.ShareShared).Transmit(t.Context(), test.command)
			if test.want != nil {
				want(t, err, test.want)
				return
			}
			if err != nil || !bytes.Equal(answer, test.answer) || !bytes.Equal(seen, test.command) {
				t.Errorf("the card received %d bytes, the program %d bytes, %v", len(seen),
					len(answer), err)
			}
		})
	}
}

func TestAnswersBelongToTheCaller(t *testing.T) {
	_, sc := reader(t)
	card := connect(t, sc, sclib.ShareShared)
	first, err := card.Transmit(t.Context(), []byte{1, 2, 3, 4})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := card.Transmit(t.Context(), []byte{5, 6, 7, 8}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, []byte{1, 2, 3, 4, 0x90, 0}) {
		t.Errorf("the first answer became % X", first)
	}
}

func TestStatus(t *testing.T) {
	_, sc := reader(t)
	card := connect(t, sc, sclib.ShareShared)
	status, err := card.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if status.Reader != "Test reader" || status.Protocol != sclib.ProtocolT1 ||
		!bytes.Equal(status.ATR, atr) ||
		!status.State.Has(sclib.CardPresent|sclib.CardPowered|sclib.CardSpecific) {
		t.Errorf("got %+v", status)
	}
	if active, err := card.ActiveProtocol(t.Context()); err != nil || active != sclib.ProtocolT1 {
		t.Errorf("active protocol %v, %v", active, err)
	}
}

func TestCardEvents(t *testing.T) {
	type world struct {
		r        *sclibtest.Reader
		b        *sclibtest.Backend
		sc       *sclib.Context
		card     *sclib.Card
		transmit func() error
	}
	other := sclibtest.Card{ATR: []byte{0x3B, 0x00}, Answer: echo}
	same := sclibtest.Card{ATR: atr, Answer: echo}
	tests := []struct {
		name string
		do   func(t *testing.T, w world)
		want error // of the next Transmit
		heal error // of a Reconnect after that
	}{
		{name: "nothing happened", do: func(t *testing.T, w world) {}},
		{name: "the card was removed", do: func(t *testing.T, w world) { w.r.Remove() },
			want: sclib.ErrRemovedCard, heal: sclib.ErrNoCard},
		{name: "the card was removed while it answered", do: func(t *testing.T, w world) {
			w.r.Insert(sclibtest.Card{ATR: atr,
				Answer: func([]byte) []byte { w.r.Remove(); return []byte{0x90, 0} }})
			if err := w.card.Reconnect(t.Context(), sclib.ShareShared, sclib.ProtocolAny,
				sclib.LeaveCard); err != nil {
				t.Fatal(err)
			}
		}, want: sclib.ErrRemovedCard, heal: sclib.ErrNoCard},
		{name: "the removal was seen, then the card was inserted again",
			do: func(t *testing.T, w world) {
				w.r.Remove()
				want(t, w.transmit(), sclib.ErrRemovedCard)
				w.r.Insert(same)
			}, want: sclib.ErrRemovedCard},
		{name: "the card was removed and inserted again, unseen",
			do:   func(t *testing.T, w world) { w.r.Insert(same) },
			want: sclib.ErrUnpoweredCard},
		{name: "another handle found another card", do: func(t *testing.T, w world) {
			if _, err := w.card.Status(t.Context()); err != nil { // the ATR is known now
				t.Fatal(err)
			}
			w.r.Insert(other)
			second := connect(t, w.sc, sclib.ShareShared) // powers the card: its ATR is known
			if _, err := second.Status(t.Context()); err != nil &&
				!errors.Is(err, sclib.ErrRemovedCard) {
				t.Fatal(err)
			}
		}, want: sclib.ErrRemovedCard},
		{name: "another handle disconnected with a reset", do: func(t *testing.T, w world) {
			if err := connect(t, w.sc, sclib.ShareShared).Disconnect(sclib.ResetCard); err != nil {
				t.Fatal(err)
			}
		}, want: sclib.ErrResetCard},
		{name: "another handle reset the card at the end of its transaction",
			do: func(t *testing.T, w world) {
				second := connect(t, w.sc, sclib.ShareShared)
				if err := second.BeginTransaction(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := second.EndTransaction(t.Context(), sclib.ResetCard); err != nil {
					t.Fatal(err)
				}
				if _, err := second.Transmit(t.Context(), []byte{0, 0, 0, 0}); err != nil {
					t.Errorf("the handle that asked for the reset: %v", err)
				}
			}, want: sclib.ErrResetCard},
		{name: "another handle reconnected with a cold reset", do: func(t *testing.T, w world) {
			second := connect(t, w.sc, sclib.ShareShared)
			if err := second.Reconnect(t.Context(), sclib.ShareShared, sclib.ProtocolAny,
				sclib.UnpowerCard); err != nil {
				t.Fatal(err)
			}
		}, want: sclib.ErrResetCard},
		{name: "another handle's reset failed", do: func(t *testing.T, w world) {
			second := connect(t, w.sc, sclib.ShareShared)
			w.r.Fail("connect", sclib.ErrUnresponsiveCard)
			err := second.Reconnect(t.Context(), sclib.ShareShared, sclib.ProtocolAny,
				sclib.ResetCard)
			want(t, err, sclib.ErrUnresponsiveCard)
			w.r.Fail("connect", nil)
		}, want: sclib.ErrResetCard},
		{name: "another handle's reset failed and its next try worked",
			do: func(t *testing.T, w world) {
				second := connect(t, w.sc, sclib.ShareShared)
				w.r.Fail("connect", sclib.ErrUnresponsiveCard)
				err := second.Reconnect(t.Context(), sclib.ShareShared, sclib.ProtocolAny,
					sclib.ResetCard)
				want(t, err, sclib.ErrUnresponsiveCard)
				w.r.Fail("connect", nil)
				if err := second.Reconnect(t.Context(), sclib.ShareShared, sclib.ProtocolAny,
					sclib.LeaveCard); err != nil {
					t.Fatal(err)
				}
			}, want: sclib.ErrResetCard},
		{name: "another handle chose another protocol", do: func(t *testing.T, w world) {
			w.r.Insert(sclibtest.Card{ATR: atr, Answer: echo, Protocols: sclib.ProtocolAny})
			for _, protocol := range []sclib.Protocol{sclib.ProtocolT1, sclib.ProtocolT0} {
				card := w.card
				if protocol == sclib.ProtocolT0 {
					card = connect(t, w.sc, sclib.ShareShared)
				}
				if err := card.Reconnect(t.Context(), sclib.ShareShared, protocol,
					sclib.LeaveCard); err != nil {
					t.Fatal(err)
				}
			}
		}, want: sclib.ErrResetCard},
		{name: "the card was inserted again and another handle powered it",
			do: func(t *testing.T, w world) {
				w.r.Insert(same)
				connect(t, w.sc, sclib.ShareShared)
			}, want: sclib.ErrResetCard},
		{name: "the card was inserted again, unseen, and another handle powered it",
			do: func(t *testing.T, w world) {
				w.r.Silence(true)
				w.r.Insert(same)
				want(t, w.transmit(), sclib.ErrUnpoweredCard)
				connect(t, w.sc, sclib.ShareShared)
			}, want: sclib.ErrResetCard},
		{name: "the card was removed and Status noticed it", do: func(t *testing.T, w world) {
			w.r.Remove()
			_, err := w.card.Status(t.Context())
			want(t, err, sclib.ErrRemovedCard)
			w.r.Insert(same)
		}, want: sclib.ErrRemovedCard},
		{name: "another program reset the card", do: func(t *testing.T, w world) {
			w.r.Fail("transmit", sclib.ErrResetCard)
			want(t, w.transmit(), sclib.ErrResetCard)
			w.r.Fail("transmit", nil)
		}, want: sclib.ErrResetCard},
		{name: "another handle left the card alone", do: func(t *testing.T, w world) {
			if err := connect(t, w.sc, sclib.ShareShared).Disconnect(sclib.LeaveCard); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "an exchange failed", do: func(t *testing.T, w world) {
			w.r.Fail("transmit", sclib.ErrComm)
			want(t, w.transmit(), sclib.ErrComm)
			w.r.Fail("transmit", nil)
		}},
		{name: "the reader was unplugged", do: func(t *testing.T, w world) { w.b.Detach(w.r) },
			want: sclib.ErrReaderUnavailable, heal: sclib.ErrReaderUnavailable},
		{name: "the reader reports no state", do: func(t *testing.T, w world) {
			w.r.Silence(true)
			if status, err := w.card.Status(t.Context()); err != nil ||
				status.State != sclib.CardUnknown {
				t.Fatalf("%v, %v", status, err)
			}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := world{r: sclibtest.NewReader("Test reader")}
			w.r.Insert(same)
			w.b = sclibtest.NewBackend(w.r)
			w.sc = over(t, w.b)
			w.card = connect(t, w.sc, sclib.ShareShared)
			w.transmit = func() error {
				_, err := w.card.Transmit(t.Context(), []byte{0, 0, 0, 0})
				return err
			}
			test.do(t, w)
			for range 2 { // the error stays until Reconnect
				if err := w.transmit(); !errors.Is(err, test.want) {
					t.Fatalf("got %v, want %v", err, test.want)
				}
			}
			err := w.card.Reconnect(t.Context(), sclib.ShareShared, sclib.ProtocolAny,
				sclib.LeaveCard)
			if !errors.Is(err, test.heal) {
				t.Fatalf("reconnect: got %v, want %v", err, test.heal)
			}
			if test.heal == nil && w.transmit() != nil &&
				!strings.Contains(test.name, "while it answered") {
				t.Errorf("after reconnect: %v", w.transmit())
			}
			if err := w.card.Disconnect(sclib.LeaveCard); err != nil {
				t.Errorf("disconnect: %v", err)
			}
		})
	}
}

func TestAnErrorNamesOperationReaderAndCause(t *testing.T) {
	r, sc := reader(t)
	card := connect(t, sc, sclib.ShareShared)
	cause := errors.New("EFI_CRC_ERROR")
	r.Fail("transmit", cause)
	_, err := card.Transmit(t.Context(), []byte{0, 0, 0, 0})
	want(t, err, cause)
	want(t, err, sclib.ErrUnknown)
	if err.Error() != `transmit to the card in "Test reader": unknown error: EFI_CRC_ERROR` {
		t.Error(err)
	}
	r.Fail("transmit", nil)
	r.Remove()
	_, err = card.Transmit(t.Context(), []byte{0, 0, 0, 0})
	if err.Error() != `transmit to the card in "Test reader": the card was removed` {
		t.Error(err)
	}
}

func TestControlAndGetAttrib(t *testing.T) {
	r, sc := reader(t)
	r.HandleControl(sclib.CMIoctlGetFeatureRequest,
		func(in []byte) []byte { return append([]byte{6, 4}, in...) })
	r.SetAttrib(sclib.AttrVendorName, []byte("ACME"))
	for _, mode := range []sclib.ShareMode{sclib.ShareShared, sclib.ShareDirect} {
		card := connect(t, sc, mode)
		if answer, err := card.Control(t.Context(), sclib.CMIoctlGetFeatureRequest,
			[]byte{9}); err != nil || !bytes.Equal(answer, []byte{6, 4, 9}) {
			t.Errorf("control: % X, %v", answer, err)
		}
		_, err := card.Control(t.Context(), sclib.CtlCode(1), nil)
		want(t, err, sclib.ErrUnsupportedFeature)
		if value, err := card.GetAttrib(t.Context(), sclib.AttrVendorName); err != nil ||
			string(value) != "ACME" {
			t.Errorf("attribute: %q, %v", value, err)
		}
		_, err = card.GetAttrib(t.Context(), sclib.AttrMaxInput)
		want(t, err, sclib.ErrUnsupportedFeature)
	}
}
