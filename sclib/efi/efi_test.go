//go:build !386 && !arm

package efi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"tamaccid/sclib"
	"tamaccid/uefi"
	"tamaccid/uefi/smartcard"
)

// producer is a driver as UEFI 2.11, 37.6 describes it, with the deviations that are known.
type producer struct {
	name      string
	removed   bool
	state     smartcard.State
	active    smartcard.Protocol // chosen since the last reset
	speaks    smartcard.Protocol
	connected bool
	log       []string

	statusOnly map[string]uefi.Status // what a member answers, whatever is asked
	noNoReset  bool                   // NORESET on a card with a chosen protocol fails
	noWarm     bool                   // warm reset fails
	notReady   bool                   // an empty slot is NOT_READY, not NO_MEDIA
}

func newProducer() *producer {
	return &producer{name: "ACME Reader 0", state: smartcard.Inactive, speaks: smartcard.T1, statusOnly: map[string]uefi.Status{}}
}

func (p *producer) call(entry, op string) error {
	if entry != "" {
		p.log = append(p.log, entry)
	}
	if p.removed {
		return smartcard.ErrRemoved
	}
	if status, ok := p.statusOnly[op]; ok {
		return &smartcard.Error{Op: op, Status: status}
	}
	return nil
}

func refuse(op string, status uefi.Status) error { return &smartcard.Error{Op: op, Status: status} }

func (p *producer) Connect(mode smartcard.AccessMode, action smartcard.Action, preferred smartcard.Protocol) (smartcard.Protocol, error) {
	if err := p.call(fmt.Sprintf("connect %d %d %d", mode, action, preferred), "connect"); err != nil {
		return 0, err
	}
	switch {
	case p.connected:
		return 0, refuse("Connect", uefi.AccessDenied)
	case mode == smartcard.AccessReader && (action != smartcard.NoReset || preferred != smartcard.Undefined):
		return 0, refuse("Connect", uefi.InvalidParameter)
	case mode == smartcard.AccessReader:
		p.connected = true
		return smartcard.Undefined, nil
	case p.state == smartcard.Absent && p.notReady:
		return 0, refuse("Connect", uefi.NotReady)
	case p.state == smartcard.Absent:
		return 0, refuse("Connect", uefi.NoMedia)
	case action == smartcard.NoReset && (p.state != smartcard.Active || p.noNoReset),
		action == smartcard.WarmReset && (p.state != smartcard.Active || p.noWarm):
		return 0, refuse("Connect", uefi.NotReady)
	}
	if action != smartcard.NoReset {
		p.active = smartcard.Undefined
	}
	if p.active != smartcard.Undefined && p.active&preferred == 0 || p.speaks&preferred == 0 {
		return 0, refuse("Connect", uefi.Unsupported)
	}
	if p.active == smartcard.Undefined {
		p.active = smartcard.T1
		if p.speaks&preferred&smartcard.T1 == 0 {
			p.active = smartcard.T0
		}
	}
	p.state, p.connected = smartcard.Active, true
	return p.active, nil
}

func (p *producer) Disconnect(action smartcard.Action) error {
	if err := p.call(fmt.Sprintf("disconnect %d", action), "disconnect"); err != nil {
		return err
	}
	switch action {
	case smartcard.Eject:
		return refuse("Disconnect", uefi.Unsupported)
	case smartcard.NoReset:
	default:
		if _, fails := p.statusOnly["power"]; fails {
			return refuse("Disconnect", p.statusOnly["power"])
		}
		p.active = smartcard.Undefined
	}
	if action == smartcard.Unpower && p.state == smartcard.Active {
		p.state = smartcard.Inactive
	}
	p.connected = false
	return nil
}

func (p *producer) Status() (smartcard.Status, error) {
	if err := p.call("", "status"); err != nil {
		return smartcard.Status{}, err
	}
	s := smartcard.Status{Name: p.name, State: p.state, Protocol: p.active}
	if p.state == smartcard.Active {
		s.ATR = []byte{0x3B, 0x00}
	}
	return s, nil
}

func (p *producer) Transmit(command, response []byte) (int, error) {
	if err := p.call("transmit", "transmit"); err != nil {
		return 0, err
	}
	switch {
	case p.state == smartcard.Absent && !p.notReady:
		return 0, refuse("Transmit", uefi.NoMedia)
	case p.state != smartcard.Active:
		return 0, refuse("Transmit", uefi.NotReady)
	}
	return copy(response, []byte{0x90, 0x00}), nil
}

func (p *producer) Control(code uint32, in, out []byte) (int, error) {
	if err := p.call("control", "control"); err != nil {
		return 0, err
	}
	if code != smartcard.GetFeatureRequest {
		return 0, refuse("Control", uefi.Unsupported)
	}
	if len(out) < 6 {
		return 6, smartcard.ErrShortResponse
	}
	return copy(out, []byte{6, 4, 6, 0, 0x33, 0x42}), nil
}

func (p *producer) GetAttrib(id uint32) ([]byte, error) {
	if err := p.call("getattrib", "getattrib"); err != nil {
		return nil, err
	}
	if sclib.Attrib(id) != sclib.AttrVendorName {
		return nil, refuse("GetAttrib", uefi.Unsupported)
	}
	return []byte("ACME"), nil
}

func newReader(p *producer, takeOver bool) *reader {
	return &reader{device: p, name: p.name, takeOver: takeOver}
}

func TestConnect(t *testing.T) {
	const anyProtocol = sclib.ProtocolAny
	tests := []struct {
		name      string
		set       func(p *producer)
		takeOver  bool
		mode      sclib.ShareMode
		protocols sclib.Protocol
		reset     sclib.Disposition
		log       []string
		active    sclib.Protocol
		want      error
	}{
		{name: "a card without power is powered", set: func(p *producer) {},
			mode: sclib.ShareShared, protocols: anyProtocol, log: []string{"connect 2 1 3"}, active: sclib.ProtocolT1},
		{name: "a card with power goes on as it is", set: func(p *producer) { p.state, p.active = smartcard.Active, smartcard.T1 },
			mode: sclib.ShareShared, protocols: anyProtocol, log: []string{"connect 2 0 3"}, active: sclib.ProtocolT1},
		{name: "a driver that cannot go on with a card gets a cold reset",
			set:  func(p *producer) { p.state, p.active, p.noNoReset = smartcard.Active, smartcard.T1, true },
			mode: sclib.ShareShared, protocols: anyProtocol, log: []string{"connect 2 0 3", "connect 2 1 3"}, active: sclib.ProtocolT1},
		{name: "another protocol than the one in use needs a cold reset",
			set: func(p *producer) {
				p.state, p.active, p.speaks = smartcard.Active, smartcard.T1, smartcard.T0|smartcard.T1
			},
			mode: sclib.ShareShared, protocols: sclib.ProtocolT0, log: []string{"connect 2 0 1", "connect 2 1 1"}, active: sclib.ProtocolT0},
		{name: "a warm reset", set: func(p *producer) { p.state = smartcard.Active },
			mode: sclib.ShareExclusive, protocols: anyProtocol, reset: sclib.ResetCard, log: []string{"connect 2 2 3"}, active: sclib.ProtocolT1},
		{name: "a warm reset that fails becomes a cold one", set: func(p *producer) { p.state, p.noWarm = smartcard.Active, true },
			mode: sclib.ShareShared, protocols: anyProtocol, reset: sclib.ResetCard,
			log: []string{"connect 2 2 3", "connect 2 1 3"}, active: sclib.ProtocolT1},
		{name: "a cold reset", set: func(p *producer) { p.state = smartcard.Active },
			mode: sclib.ShareShared, protocols: anyProtocol, reset: sclib.UnpowerCard, log: []string{"connect 2 1 3"}, active: sclib.ProtocolT1},
		{name: "the reader alone", set: func(p *producer) { p.state = smartcard.Absent },
			mode: sclib.ShareDirect, log: []string{"connect 1 0 0"}},
		{name: "no card", set: func(p *producer) { p.state = smartcard.Absent },
			mode: sclib.ShareShared, protocols: anyProtocol, log: []string{"connect 2 1 3"}, want: sclib.ErrNoCard},
		{name: "no card, and a driver that says not ready", set: func(p *producer) { p.state, p.notReady = smartcard.Absent, true },
			mode: sclib.ShareShared, protocols: anyProtocol, log: []string{"connect 2 1 3"}, want: sclib.ErrNoCard},
		{name: "no card, and a driver that says device error",
			set:  func(p *producer) { p.state, p.statusOnly["connect"] = smartcard.Absent, uefi.DeviceError },
			mode: sclib.ShareShared, protocols: anyProtocol, log: []string{"connect 2 1 3"}, want: sclib.ErrNoCard},
		{name: "a mute card", set: func(p *producer) { p.statusOnly["connect"] = uefi.NotReady },
			mode: sclib.ShareShared, protocols: anyProtocol, log: []string{"connect 2 1 3"}, want: sclib.ErrUnresponsiveCard},
		{name: "a card that speaks something else", set: func(p *producer) { p.speaks = smartcard.T0 },
			mode: sclib.ShareShared, protocols: sclib.ProtocolT1, log: []string{"connect 2 1 2"}, want: sclib.ErrProtocolMismatch},
		{name: "a reader that another program has", set: func(p *producer) { p.connected = true },
			mode: sclib.ShareShared, protocols: anyProtocol, log: []string{"connect 2 1 3"}, want: sclib.ErrSharing},
		{name: "a reader that another program has and keeps its card in use", set: func(p *producer) { p.connected, p.state = true, smartcard.Active },
			mode: sclib.ShareShared, protocols: anyProtocol, log: []string{"connect 2 0 3"}, want: sclib.ErrSharing},
		{name: "a reader that is taken over", set: func(p *producer) { p.connected = true }, takeOver: true,
			mode: sclib.ShareShared, protocols: anyProtocol, log: []string{"connect 2 1 3", "disconnect 0", "connect 2 1 3"}, active: sclib.ProtocolT1},
		{name: "a reader that cannot be taken over", set: func(p *producer) { p.statusOnly["connect"] = uefi.AccessDenied }, takeOver: true,
			mode: sclib.ShareShared, protocols: anyProtocol, log: []string{"connect 2 1 3", "disconnect 0", "connect 2 1 3"}, want: sclib.ErrSharing},
		{name: "a reader that has gone", set: func(p *producer) { p.removed = true },
			mode: sclib.ShareShared, protocols: anyProtocol, reset: sclib.UnpowerCard, log: []string{"connect 2 1 3"}, want: sclib.ErrReaderUnavailable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newProducer()
			test.set(p)
			active, err := newReader(p, test.takeOver).Connect(t.Context(), test.mode, test.protocols, test.reset)
			if !errors.Is(err, test.want) || active != test.active {
				t.Errorf("got %v, %v; want %v, %v", active, err, test.active, test.want)
			}
			if !slices.Equal(p.log, test.log) {
				t.Errorf("the driver saw %q, want %q", p.log, test.log)
			}
		})
	}
}

func TestConnectAgainMakesANewConnection(t *testing.T) {
	p := newProducer()
	r := newReader(p, false)
	for _, reset := range []sclib.Disposition{sclib.LeaveCard, sclib.LeaveCard, sclib.ResetCard, sclib.UnpowerCard} {
		if _, err := r.Connect(t.Context(), sclib.ShareShared, sclib.ProtocolAny, reset); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"connect 2 1 3", "disconnect 0", "connect 2 0 3", "disconnect 0", "connect 2 2 3", "disconnect 0", "connect 2 1 3"}
	if !slices.Equal(p.log, want) {
		t.Errorf("the driver saw %q", p.log)
	}
}

func TestDisconnect(t *testing.T) {
	tests := []struct {
		name        string
		set         func(p *producer)
		disposition sclib.Disposition
		log         []string
		want        error
		stays       bool
	}{
		{name: "the card is left alone", set: func(p *producer) {}, disposition: sclib.LeaveCard, log: []string{"disconnect 0"}},
		{name: "the card is reset", set: func(p *producer) {}, disposition: sclib.ResetCard, log: []string{"disconnect 2"}},
		{name: "the card loses power", set: func(p *producer) {}, disposition: sclib.UnpowerCard, log: []string{"disconnect 3"}},
		{name: "a reader that cannot eject stays connected", set: func(p *producer) {}, disposition: sclib.EjectCard,
			log: []string{"disconnect 4"}, want: sclib.ErrUnsupportedFeature, stays: true},
		{name: "a reset that fails gives the reader back", set: func(p *producer) { p.statusOnly["power"] = uefi.DeviceError },
			disposition: sclib.ResetCard, log: []string{"disconnect 2", "disconnect 0"}, want: sclib.ErrComm},
		{name: "a reset of a card that has gone is no failure",
			set:         func(p *producer) { p.state, p.statusOnly["power"] = smartcard.Absent, uefi.DeviceError },
			disposition: sclib.ResetCard, log: []string{"disconnect 2", "disconnect 0"}},
		{name: "a reader that has gone is no failure", set: func(p *producer) { p.removed = true },
			disposition: sclib.UnpowerCard, log: []string{"disconnect 3"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newProducer()
			r := newReader(p, false)
			if _, err := r.Connect(t.Context(), sclib.ShareShared, sclib.ProtocolAny, sclib.LeaveCard); err != nil {
				t.Fatal(err)
			}
			p.log = nil
			test.set(p)
			if err := r.Disconnect(t.Context(), test.disposition); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if !slices.Equal(p.log, test.log) {
				t.Errorf("the driver saw %q, want %q", p.log, test.log)
			}
			if !p.removed && p.connected != test.stays || r.connected != test.stays {
				t.Errorf("connected: driver %v, reader %v", p.connected, r.connected)
			}
		})
	}
}

func TestStatus(t *testing.T) {
	tests := []struct {
		name  string
		set   func(p *producer)
		state sclib.State
		want  error
	}{
		{"no card", func(p *producer) { p.state = smartcard.Absent }, sclib.StateAbsent, nil},
		{"a card without power", func(p *producer) {}, sclib.StatePresent | sclib.StateSwallowed, nil},
		{"a card with power", func(p *producer) { p.state = smartcard.Active },
			sclib.StatePresent | sclib.StatePowered | sclib.StateNegotiable, nil},
		{"a card with a protocol", func(p *producer) { p.state, p.active = smartcard.Active, smartcard.T1 },
			sclib.StatePresent | sclib.StatePowered | sclib.StateSpecific, nil},
		{"a driver that does not know", func(p *producer) { p.state = smartcard.Unknown }, sclib.StateUnknown, nil},
		{"a state that does not exist", func(p *producer) { p.state = 77 }, sclib.StateUnknown, nil},
		{"a reader that fails", func(p *producer) { p.statusOnly["status"] = uefi.DeviceError }, 0, sclib.ErrComm},
		{"a reader that has gone", func(p *producer) { p.removed = true }, 0, sclib.ErrReaderUnavailable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newProducer()
			test.set(p)
			status, err := newReader(p, false).Status(t.Context())
			if !errors.Is(err, test.want) || status.State != test.state {
				t.Errorf("got %v, %v", status, err)
			}
		})
	}
}

func TestTheProtocolIsWhatConnectSaid(t *testing.T) {
	p := newProducer()
	r := newReader(p, false)
	if _, err := r.Connect(t.Context(), sclib.ShareShared, sclib.ProtocolAny, sclib.LeaveCard); err != nil {
		t.Fatal(err)
	}
	p.active = smartcard.T0 // a known driver reports T=1 as 1, which is T=0
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
			"control":   func(r *reader) error { _, err := r.Control(t.Context(), 1, nil, nil); return err },
			"getattrib": func(r *reader) error { _, err := r.GetAttrib(t.Context(), 1, nil); return err },
		}
		for op, call := range calls {
			p := newProducer()
			p.state, p.statusOnly[op] = test.state, test.status
			err := call(newReader(p, false))
			if !errors.Is(err, test.want) || !errors.Is(err, test.status) {
				t.Errorf("%s with %v while the card is %v: %v", op, test.status, test.state, err)
			}
		}
	}
}

func TestShortBuffers(t *testing.T) {
	r := newReader(newProducer(), false)
	if _, err := r.GetAttrib(t.Context(), sclib.AttrVendorName, make([]byte, 3)); !errors.Is(err, sclib.ErrInsufficientBuffer) {
		t.Error(err)
	}
	n, err := r.Control(t.Context(), sclib.CMIoctlGetFeatureRequest, nil, make([]byte, 5))
	if n != 0 || !errors.Is(err, sclib.ErrInsufficientBuffer) {
		t.Error(n, err)
	}
}

// machine is firmware with instances of the protocol.
type machine struct {
	found  []instance
	device map[instance]device
	err    error
}

func (m *machine) instances() ([]instance, error) { return m.found, m.err }

func (m *machine) open(i instance) (device, error) {
	if d, ok := m.device[i]; ok {
		return d, nil
	}
	return nil, smartcard.ErrRemoved
}

func TestReaders(t *testing.T) {
	first, second, broken, nameless := newProducer(), newProducer(), newProducer(), newProducer()
	first.name, second.name = "First", "Second"
	broken.statusOnly["status"] = uefi.DeviceError
	nameless.name = ""
	a, aAgain, b := instance{1, 100}, instance{1, 200}, instance{2, 300}
	m := &machine{device: map[instance]device{a: first, b: second}}
	backend := &Backend{firmware: m}
	names := func() (names []string, readers []sclib.Reader) {
		readers, err := backend.Readers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range readers {
			names = append(names, r.Name())
		}
		return names, readers
	}
	expect := func(what string, got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", what, got, want)
		}
	}
	none, _ := names()
	expect("no instance", none)

	m.found = []instance{a, b}
	both, before := names()
	expect("two instances", both, "First", "Second")
	_, after := names()
	if !slices.Equal(before, after) {
		t.Error("readers that stayed are others")
	}

	m.found = []instance{aAgain, b}
	m.device[aAgain] = first
	_, replugged := names()
	if replugged[0] == before[0] || replugged[1] != before[1] {
		t.Error("a reader that was plugged in again on the same handle is the same, or the other changed")
	}

	second.removed = true
	if _, err := replugged[1].Status(t.Context()); !errors.Is(err, sclib.ErrReaderUnavailable) {
		t.Fatal(err)
	}
	gone, _ := names()
	expect("an instance that cannot be asked", gone, "First")
	second.removed = false
	_, back := names()
	if back[1] == before[1] {
		t.Error("a reader that had gone is the same")
	}

	m.device[instance{3, 1}], m.device[instance{4, 1}] = broken, nameless
	m.found = []instance{{3, 1}, {4, 1}, {5, 1}}
	odd, _ := names()
	expect("readers that do not tell a name", odd, "Smart card reader", "Smart card reader")

	m.err = uefi.OutOfResources
	if _, err := backend.Readers(t.Context()); !errors.Is(err, sclib.ErrNoService) || !errors.Is(err, uefi.OutOfResources) {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := backend.Readers(ended); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestWithSclib runs the life of a card through both layers.
func TestWithSclib(t *testing.T) {
	p := newProducer()
	m := &machine{found: []instance{{1, 1}}, device: map[instance]device{{1, 1}: p}}
	sc := sclib.New(&Backend{firmware: m})
	ctx := t.Context()
	card, err := sc.Connect(ctx, p.name, sclib.ShareShared, sclib.ProtocolAny)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := card.Transmit(ctx, []byte{0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	p.state, p.active = smartcard.Absent, smartcard.Undefined
	if _, err := card.Transmit(ctx, []byte{0, 0, 0, 0}); !errors.Is(err, sclib.ErrRemovedCard) {
		t.Errorf("after removal: %v", err)
	}
	p.state = smartcard.Inactive
	if err := card.Reconnect(ctx, sclib.ShareShared, sclib.ProtocolAny, sclib.LeaveCard); err != nil {
		t.Errorf("after reinsertion: %v", err)
	}
	if _, err := card.Transmit(ctx, []byte{0, 0, 0, 0}); err != nil {
		t.Error(err)
	}
	if err := card.Disconnect(sclib.UnpowerCard); err != nil {
		t.Error(err)
	}
	if err := sc.Release(); err != nil {
		t.Error(err)
	}
	want := []string{"connect 2 1 3", "transmit", "transmit", "disconnect 0", "connect 2 1 3", "transmit", "disconnect 3"}
	if !slices.Equal(p.log, want) {
		t.Errorf("the driver saw %q", p.log)
	}
}
