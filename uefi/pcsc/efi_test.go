//go:build !386 && !arm

package pcsc

import (
	"context"
	"errors"
	"slices"
	"testing"

	"tamaccid/sclib"
	"tamaccid/uefi"
	"tamaccid/uefi/smartcard"
)

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
