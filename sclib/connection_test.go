package sclib_test

import (
	"errors"
	"slices"
	"testing"

	"tamaccid/sclib"
	"tamaccid/sclib/sclibtest"
)

func TestSharing(t *testing.T) {
	tests := []struct {
		name          string
		first, second sclib.ShareMode
		want          error
	}{
		{"two shared handles", sclib.ShareShared, sclib.ShareShared, nil},
		{"shared beside exclusive", sclib.ShareExclusive, sclib.ShareShared, sclib.ErrSharing},
		{"exclusive beside exclusive", sclib.ShareExclusive, sclib.ShareExclusive,
			sclib.ErrSharing},
		{"direct beside exclusive", sclib.ShareExclusive, sclib.ShareDirect, sclib.ErrSharing},
		{"exclusive beside shared", sclib.ShareShared, sclib.ShareExclusive, sclib.ErrSharing},
		{"exclusive beside direct", sclib.ShareDirect, sclib.ShareExclusive, sclib.ErrSharing},
		{"direct beside shared", sclib.ShareShared, sclib.ShareDirect, nil},
		{"shared beside direct", sclib.ShareDirect, sclib.ShareShared, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, sc := reader(t)
			first := connect(t, sc, test.first)
			second, err := sc.Connect(t.Context(), "Test reader", test.second, sclib.ProtocolAny)
			if !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			if err != nil {
				// It works after the first handle has disconnected.
				if err := first.Disconnect(sclib.LeaveCard); err != nil {
					t.Fatal(err)
				}
				second = connect(t, sc, test.second)
			}
			for _, card := range []*sclib.Card{first, second} {
				if _, err := card.Status(t.Context()); err != nil &&
					(card == second || test.want == nil) {
					t.Error(err)
				}
			}
		})
	}
}

func TestCallsOfTheBackendsReader(t *testing.T) {
	command := []byte{0, 0, 0, 0}
	tests := []struct {
		name string
		do   func(t *testing.T, sc *sclib.Context)
		want []string
	}{
		{"one handle", func(t *testing.T, sc *sclib.Context) {
			card := connect(t, sc, sclib.ShareExclusive)
			card.Transmit(t.Context(), command)
			card.Disconnect(sclib.UnpowerCard)
		}, []string{"connect exclusive leave", "transmit 00 00 00 00", "disconnect unpower"}},
		{"the second handle joins, the last one disconnects",
			func(t *testing.T, sc *sclib.Context) {
				first := connect(t, sc, sclib.ShareShared)
				second := connect(t, sc, sclib.ShareShared)
				first.Disconnect(sclib.LeaveCard)
				second.Disconnect(sclib.ResetCard)
			}, []string{"connect shared leave", "disconnect reset"}},
		{"shared after direct", func(t *testing.T, sc *sclib.Context) {
			first, second := connect(t, sc, sclib.ShareDirect), connect(t, sc, sclib.ShareShared)
			first.Disconnect(sclib.LeaveCard)
			second.Disconnect(sclib.LeaveCard)
		}, []string{"connect direct leave", "connect shared leave", "disconnect leave"}},
		{"a reset while others stay", func(t *testing.T, sc *sclib.Context) {
			connect(t, sc, sclib.ShareShared)
			connect(t, sc, sclib.ShareShared).Disconnect(sclib.UnpowerCard)
		}, []string{"connect shared leave", "connect shared unpower"}},
		{"a handle whose card was reset leaves it alone", func(t *testing.T, sc *sclib.Context) {
			first, second := connect(t, sc, sclib.ShareShared), connect(t, sc, sclib.ShareShared)
			second.Disconnect(sclib.ResetCard)
			first.Disconnect(sclib.UnpowerCard)
		}, []string{"connect shared leave", "connect shared reset", "disconnect leave"}},
		{"a refused eject still ends the connection", func(t *testing.T, sc *sclib.Context) {
			err := connect(t, sc, sclib.ShareShared).Disconnect(sclib.EjectCard)
			want(t, err, sclib.ErrUnsupportedFeature)
		}, []string{"connect shared leave", "disconnect eject", "disconnect leave"}},
		{"an invalid disposition still ends the connection", func(t *testing.T, sc *sclib.Context) {
			err := connect(t, sc, sclib.ShareShared).Disconnect(99)
			want(t, err, sclib.ErrInvalidValue)
		}, []string{"connect shared leave", "disconnect leave"}},
		{"the second disconnect does nothing", func(t *testing.T, sc *sclib.Context) {
			card := connect(t, sc, sclib.ShareShared)
			card.Disconnect(sclib.LeaveCard)
			want(t, card.Disconnect(sclib.LeaveCard), sclib.ErrInvalidHandle)
		}, []string{"connect shared leave", "disconnect leave"}},
		{"reconnect changes the share mode", func(t *testing.T, sc *sclib.Context) {
			card := connect(t, sc, sclib.ShareShared)
			if err := card.Reconnect(t.Context(), sclib.ShareExclusive, sclib.ProtocolAny,
				sclib.ResetCard); err != nil {
				t.Fatal(err)
			}
			_, err := sc.Connect(t.Context(), "Test reader", sclib.ShareShared, sclib.ProtocolAny)
			want(t, err, sclib.ErrSharing)
		}, []string{"connect shared leave", "connect exclusive reset"}},
		{"reconnect to direct keeps the card for the others",
			func(t *testing.T, sc *sclib.Context) {
				first := connect(t, sc, sclib.ShareShared)
				second := connect(t, sc, sclib.ShareShared)
				if err := first.Reconnect(t.Context(), sclib.ShareDirect, 0,
					sclib.LeaveCard); err != nil {
					t.Fatal(err)
				}
				if _, err := second.Transmit(t.Context(), command); err != nil {
					t.Error(err)
				}
			}, []string{"connect shared leave", "transmit 00 00 00 00"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, sc := reader(t)
			test.do(t, sc)
			if log := r.Log(); !slices.Equal(log, test.want) {
				t.Errorf("got %q, want %q", log, test.want)
			}
		})
	}
}

func TestReconnectRefusesInvalidArguments(t *testing.T) {
	_, sc := reader(t)
	card := connect(t, sc, sclib.ShareShared)
	connect(t, sc, sclib.ShareShared)
	tests := []struct {
		name      string
		mode      sclib.ShareMode
		protocols sclib.Protocol
		reset     sclib.Disposition
		want      error
	}{
		{"no share mode", 0, sclib.ProtocolAny, sclib.LeaveCard, sclib.ErrInvalidValue},
		{"no protocol", sclib.ShareShared, 0, sclib.LeaveCard, sclib.ErrInvalidValue},
		{"eject first", sclib.ShareShared, sclib.ProtocolAny, sclib.EjectCard,
			sclib.ErrInvalidValue},
		{"exclusive beside another handle", sclib.ShareExclusive, sclib.ProtocolAny,
			sclib.LeaveCard, sclib.ErrSharing},
	}
	for _, test := range tests {
		if err := card.Reconnect(t.Context(), test.mode, test.protocols,
			test.reset); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	if _, err := card.Transmit(t.Context(), []byte{0, 0, 0, 0}); err != nil {
		t.Errorf("a refused Reconnect changed the handle: %v", err)
	}
}

func TestDisconnectFromAnUnpluggedReader(t *testing.T) {
	r := sclibtest.NewReader("Test reader")
	r.Insert(sclibtest.Card{ATR: atr, Answer: echo})
	b := sclibtest.NewBackend(r)
	sc := over(t, b)
	card := connect(t, sc, sclib.ShareShared)
	b.Detach(r)
	if err := card.Disconnect(sclib.UnpowerCard); err != nil {
		t.Error(err)
	}
}
