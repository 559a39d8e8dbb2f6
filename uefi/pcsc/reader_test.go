//go:build !386 && !arm && !tamago

package pcsc

import (
	"errors"
	"slices"
	"testing"

	"tamaccid/sclib"
	"tamaccid/uefi"
	"tamaccid/uefi/smartcard"
	"tamaccid/uefi/uefitest"
)

// plug is firmware with a reader.
func plug(t *testing.T) *uefitest.SmartCard {
	p := uefitest.New(t).PlugSmartCard()
	p.Attrib[uint32(sclib.AttrVendorName)] = []byte("ACME")
	return p
}

func newReader(t *testing.T, p *uefitest.SmartCard, takeOver bool) *reader {
	device, err := smartcard.Open(p.Handle)
	if err != nil {
		t.Fatal(err)
	}
	return &reader{device: device, name: p.Name, takeOver: takeOver}
}

func TestConnect(t *testing.T) {
	const anyProtocol = sclib.ProtocolAny
	tests := []struct {
		name      string
		set       func(p *uefitest.SmartCard)
		takeOver  bool
		mode      sclib.ShareMode
		protocols sclib.Protocol
		reset     sclib.Disposition
		log       []string
		active    sclib.Protocol
		want      error
	}{
		{name: "a card without power is powered", set: func(p *uefitest.SmartCard) {},
			mode: sclib.ShareShared, protocols: anyProtocol, log: []string{"connect 2 1 3"},
			active: sclib.ProtocolT1},
		{name: "a card with power goes on as it is",
			set: func(p *uefitest.SmartCard) {
				p.State, p.Active = smartcard.Active, smartcard.T1
			},
			mode: sclib.ShareShared, protocols: anyProtocol, log: []string{"connect 2 0 3"},
			active: sclib.ProtocolT1},
		{name: "a driver that cannot go on with a card gets a cold reset",
			set: func(p *uefitest.SmartCard) {
				p.State, p.Active, p.NoNoReset = smartcard.Active, smartcard.T1, true
			},
			mode: sclib.ShareShared, protocols: anyProtocol,
			log: []string{"connect 2 0 3", "connect 2 1 3"}, active: sclib.ProtocolT1},
		{name: "another protocol than the one in use needs a cold reset",
			set: func(p *uefitest.SmartCard) {
				p.State, p.Active, p.Offers = smartcard.Active, smartcard.T1,
					smartcard.T0|smartcard.T1
			},
			mode: sclib.ShareShared, protocols: sclib.ProtocolT0,
			log: []string{"connect 2 0 1", "connect 2 1 1"}, active: sclib.ProtocolT0},
		{name: "a warm reset", set: func(p *uefitest.SmartCard) { p.State = smartcard.Active },
			mode: sclib.ShareExclusive, protocols: anyProtocol, reset: sclib.ResetCard,
			log: []string{"connect 2 2 3"}, active: sclib.ProtocolT1},
		{name: "a warm reset that fails becomes a cold one",
			set:  func(p *uefitest.SmartCard) { p.State, p.NoWarm = smartcard.Active, true },
			mode: sclib.ShareShared, protocols: anyProtocol, reset: sclib.ResetCard,
			log: []string{"connect 2 2 3", "connect 2 1 3"}, active: sclib.ProtocolT1},
		{name: "a cold reset", set: func(p *uefitest.SmartCard) { p.State = smartcard.Active },
			mode: sclib.ShareShared, protocols: anyProtocol, reset: sclib.UnpowerCard,
			log: []string{"connect 2 1 3"}, active: sclib.ProtocolT1},
		{name: "the reader alone", set: func(p *uefitest.SmartCard) { p.State = smartcard.Absent },
			mode: sclib.ShareDirect, log: []string{"connect 1 0 0"}},
		{name: "no card", set: func(p *uefitest.SmartCard) { p.State = smartcard.Absent },
			mode: sclib.ShareShared, protocols: anyProtocol, log: []string{"connect 2 1 3"},
			want: sclib.ErrNoCard},
		{name: "no card, and a driver that returns not ready",
			set:  func(p *uefitest.SmartCard) { p.State, p.NotReady = smartcard.Absent, true },
			mode: sclib.ShareShared, protocols: anyProtocol, log: []string{"connect 2 1 3"},
			want: sclib.ErrNoCard},
		{name: "no card, and a driver that returns device error",
			set: func(p *uefitest.SmartCard) {
				p.State, p.Refuse["connect"] = smartcard.Absent, uefi.DeviceError
			},
			mode: sclib.ShareShared, protocols: anyProtocol, log: []string{"connect 2 1 3"},
			want: sclib.ErrNoCard},
		{name: "a mute card",
			set:  func(p *uefitest.SmartCard) { p.Refuse["connect"] = uefi.NotReady },
			mode: sclib.ShareShared, protocols: anyProtocol, log: []string{"connect 2 1 3"},
			want: sclib.ErrUnresponsiveCard},
		{name: "a card with another protocol",
			set:  func(p *uefitest.SmartCard) { p.Offers = smartcard.T0 },
			mode: sclib.ShareShared, protocols: sclib.ProtocolT1, log: []string{"connect 2 1 2"},
			want: sclib.ErrProtocolMismatch},
		{name: "a reader that another program has",
			set:  func(p *uefitest.SmartCard) { p.Connected = true },
			mode: sclib.ShareShared, protocols: anyProtocol, log: []string{"connect 2 1 3"},
			want: sclib.ErrSharing},
		{name: "a reader that another program has and keeps its card in use",
			set:  func(p *uefitest.SmartCard) { p.Connected, p.State = true, smartcard.Active },
			mode: sclib.ShareShared, protocols: anyProtocol, log: []string{"connect 2 0 3"},
			want: sclib.ErrSharing},
		{name: "a reader that is taken over",
			set: func(p *uefitest.SmartCard) { p.Connected = true }, takeOver: true,
			mode: sclib.ShareShared, protocols: anyProtocol,
			log:    []string{"connect 2 1 3", "disconnect 0", "connect 2 1 3"},
			active: sclib.ProtocolT1},
		{name: "a reader that cannot be taken over",
			set: func(p *uefitest.SmartCard) {
				p.Refuse["connect"] = uefi.AccessDenied
			}, takeOver: true,
			mode: sclib.ShareShared, protocols: anyProtocol,
			log:  []string{"connect 2 1 3", "disconnect 0", "connect 2 1 3"},
			want: sclib.ErrSharing},
		{name: "a reader that has gone", set: func(p *uefitest.SmartCard) { p.Unplug() },
			mode: sclib.ShareShared, protocols: anyProtocol, reset: sclib.UnpowerCard,
			want: sclib.ErrReaderUnavailable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := plug(t)
			r := newReader(t, p, test.takeOver)
			test.set(p)
			active, err := r.Connect(t.Context(), test.mode, test.protocols, test.reset)
			if !errors.Is(err, test.want) || active != test.active {
				t.Errorf("got %v, %v; want %v, %v", active, err, test.active, test.want)
			}
			if !slices.Equal(p.Log, test.log) {
				t.Errorf("the driver saw %q, want %q", p.Log, test.log)
			}
		})
	}
}

func TestConnectAgainMakesANewConnection(t *testing.T) {
	p := plug(t)
	r := newReader(t, p, false)
	for _, reset := range []sclib.Disposition{sclib.LeaveCard, sclib.LeaveCard, sclib.ResetCard,
		sclib.UnpowerCard} {
		if _, err := r.Connect(t.Context(), sclib.ShareShared, sclib.ProtocolAny,
			reset); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"connect 2 1 3", "disconnect 0", "connect 2 0 3", "disconnect 0",
		"connect 2 2 3", "disconnect 0", "connect 2 1 3"}
	if !slices.Equal(p.Log, want) {
		t.Errorf("the driver saw %q", p.Log)
	}
}

func TestDisconnect(t *testing.T) {
	tests := []struct {
		name        string
		set         func(p *uefitest.SmartCard)
		disposition sclib.Disposition
		log         []string
		want        error
		stays       bool
		gone        bool
	}{
		{name: "the card is left alone", set: func(p *uefitest.SmartCard) {},
			disposition: sclib.LeaveCard, log: []string{"disconnect 0"}},
		{name: "the card is reset", set: func(p *uefitest.SmartCard) {},
			disposition: sclib.ResetCard, log: []string{"disconnect 2"}},
		{name: "the card loses power", set: func(p *uefitest.SmartCard) {},
			disposition: sclib.UnpowerCard, log: []string{"disconnect 3"}},
		{name: "a reader that cannot eject stays connected", set: func(p *uefitest.SmartCard) {},
			disposition: sclib.EjectCard,
			log:         []string{"disconnect 4"}, want: sclib.ErrUnsupportedFeature, stays: true},
		{name: "a reset that fails gives the reader back",
			set:         func(p *uefitest.SmartCard) { p.Refuse["power"] = uefi.DeviceError },
			disposition: sclib.ResetCard, log: []string{"disconnect 2", "disconnect 0"},
			want: sclib.ErrComm},
		{name: "a reset of a card that has gone is no failure",
			set: func(p *uefitest.SmartCard) {
				p.State, p.Refuse["power"] = smartcard.Absent, uefi.DeviceError
			},
			disposition: sclib.ResetCard, log: []string{"disconnect 2", "disconnect 0"}},
		{name: "a reader that has gone is no failure",
			set:         func(p *uefitest.SmartCard) { p.Unplug() },
			disposition: sclib.UnpowerCard, gone: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := plug(t)
			r := newReader(t, p, false)
			if _, err := r.Connect(t.Context(), sclib.ShareShared, sclib.ProtocolAny,
				sclib.LeaveCard); err != nil {
				t.Fatal(err)
			}
			p.Log = nil
			test.set(p)
			if err := r.Disconnect(t.Context(), test.disposition); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if !slices.Equal(p.Log, test.log) {
				t.Errorf("the driver saw %q, want %q", p.Log, test.log)
			}
			if !test.gone && p.Connected != test.stays || r.connected != test.stays {
				t.Errorf("connected: driver %v, reader %v", p.Connected, r.connected)
			}
		})
	}
}

func TestStatus(t *testing.T) {
	tests := []struct {
		name  string
		set   func(p *uefitest.SmartCard)
		state sclib.CardState
		want  error
	}{
		{"no card", func(p *uefitest.SmartCard) { p.State = smartcard.Absent }, sclib.CardAbsent,
			nil},
		{"a card without power", func(p *uefitest.SmartCard) {},
			sclib.CardPresent | sclib.CardSwallowed, nil},
		{"a card with power", func(p *uefitest.SmartCard) { p.State = smartcard.Active },
			sclib.CardPresent | sclib.CardPowered | sclib.CardNegotiable, nil},
		{"a card with a protocol",
			func(p *uefitest.SmartCard) { p.State, p.Active = smartcard.Active, smartcard.T1 },
			sclib.CardPresent | sclib.CardPowered | sclib.CardSpecific, nil},
		{"a driver without a state", func(p *uefitest.SmartCard) { p.State = smartcard.Unknown },
			sclib.CardUnknown, nil},
		{"a state that does not exist", func(p *uefitest.SmartCard) { p.State = 77 },
			sclib.CardUnknown, nil},
		{"a reader that fails",
			func(p *uefitest.SmartCard) { p.Refuse["status"] = uefi.DeviceError }, 0,
			sclib.ErrComm},
		{"a reader that has gone", func(p *uefitest.SmartCard) { p.Unplug() }, 0,
			sclib.ErrReaderUnavailable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := plug(t)
			r := newReader(t, p, false)
			test.set(p)
			status, err := r.Status(t.Context())
			if !errors.Is(err, test.want) || status.State != test.state {
				t.Errorf("got %v, %v", status, err)
			}
		})
	}
}

func TestTheProtocolIsThatOfConnect(t *testing.T) {
	p := plug(t)
	r := newReader(t, p, false)
	if _, err := r.Connect(t.Context(), sclib.ShareShared, sclib.ProtocolAny,
		sclib.LeaveCard); err != nil {
		t.Fatal(err)
	}
	p.Active = smartcard.T0 // a known driver reports T=1 as 1, which is T=0
	if status, err := r.Status(t.Context()); err != nil || status.Protocol != sclib.ProtocolT1 {
		t.Errorf("%v, %v", status.Protocol, err)
	}
}

func TestErrorsOfExchanges(t *testing.T) {
	tests := []struct {
		status uefi.Status
		state  smartcard.State
		want   sclib.Error
	}{
		{uefi.NoMedia, smartcard.Absent, sclib.ErrNoCard},
		{uefi.NotReady, smartcard.Inactive, sclib.ErrUnpoweredCard},
		{uefi.NotReady, smartcard.Absent, sclib.ErrNoCard},
		{uefi.DeviceError, smartcard.Active, sclib.ErrComm},
		{uefi.DeviceError, smartcard.Absent, sclib.ErrNoCard},
		{uefi.ProtocolError, smartcard.Active, sclib.ErrComm},
		{uefi.Timeout, smartcard.Active, sclib.ErrTimeout},
		{uefi.AccessDenied, smartcard.Active, sclib.ErrSharing},
		{uefi.Unsupported, smartcard.Active, sclib.ErrUnsupportedFeature},
		{uefi.BufferTooSmall, smartcard.Active, sclib.ErrInsufficientBuffer},
		{uefi.InvalidParameter, smartcard.Active, sclib.ErrInvalidParameter},
		{uefi.OutOfResources, smartcard.Active, sclib.ErrNoMemory},
		{uefi.CRCError, smartcard.Active, sclib.ErrUnknown},
	}
	for _, test := range tests {
		calls := map[string]func(r *reader) error{
			"transmit": func(r *reader) error {
				_, err := r.Transmit(t.Context(), []byte{0, 0, 0, 0}, make([]byte, 2))
				return err
			},
			"control": func(r *reader) error {
				_, err := r.Control(t.Context(), 1, nil, nil)
				return err
			},
			"getattrib": func(r *reader) error {
				_, err := r.GetAttrib(t.Context(), 1, nil)
				return err
			},
		}
		for op, call := range calls {
			p := plug(t)
			p.State, p.Refuse[op] = test.state, test.status
			err := call(newReader(t, p, false))
			if !errors.Is(err, test.want) || !errors.Is(err, test.status) {
				t.Errorf("%s with %v while the card is %v: %v", op, test.status, test.state, err)
			}
		}
	}
}

func TestShortBuffers(t *testing.T) {
	p := plug(t)
	r := newReader(t, p, false)
	if _, err := r.GetAttrib(t.Context(), sclib.AttrVendorName, make([]byte, 3)); !errors.Is(err,
		sclib.ErrInsufficientBuffer) {
		t.Error(err)
	}
	n, err := r.Control(t.Context(), sclib.CMIoctlGetFeatureRequest, nil, make([]byte, 5))
	if n != 0 || !errors.Is(err, sclib.ErrInsufficientBuffer) {
		t.Error(n, err)
	}
}
