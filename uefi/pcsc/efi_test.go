//go:build !386 && !arm && !tamago

package pcsc

import (
	"context"
	"errors"
	"slices"
	"testing"

	"tamaccid/sclib"
	"tamaccid/uefi"
	"tamaccid/uefi/smartcard"
	"tamaccid/uefi/uefitest"
)

func TestReaders(t *testing.T) {
	fw := uefitest.New(t)
	backend := &Backend{}
	names := func() (names []string, readers []sclib.Reader) {
		t.Helper()
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

	first, second := fw.PlugSmartCard(), fw.PlugSmartCard()
	first.Name, second.Name = "First", "Second"
	both, before := names()
	expect("two instances", both, "First", "Second")
	_, after := names()
	if !slices.Equal(before, after) {
		t.Error("readers that stayed are others")
	}

	first.Plug()
	_, replugged := names()
	if replugged[0] == before[0] || replugged[1] != before[1] {
		t.Error("a reader that was plugged in again on the same handle is the same, " +
			"or the other changed")
	}

	installed := fw.Handles[second.Handle]
	second.Unplug()
	if _, err := replugged[1].Status(t.Context()); !errors.Is(err, sclib.ErrReaderUnavailable) {
		t.Fatal(err)
	}
	gone, _ := names()
	expect("a reader that has gone", gone, "First")
	fw.Handles[second.Handle] = installed
	_, back := names()
	if back[1] == before[1] {
		t.Error("a reader that had gone is the same")
	}

	second.Plug()
	asked := 0
	fw.Refuse = func(service string, h uefi.Handle, _ uefi.GUID) uefi.Status {
		if service == "handle protocol" && h == second.Handle {
			if asked++; asked > 1 {
				return uefi.Unsupported
			}
		}
		return uefi.Success
	}
	gone, _ = names()
	expect("an instance that goes before it is opened", gone, "First")
	fw.Refuse = nil

	first.Unplug()
	second.Unplug()
	broken, nameless := fw.PlugSmartCard(), fw.PlugSmartCard()
	broken.Refuse["status"] = uefi.DeviceError
	nameless.Name = ""
	odd, _ := names()
	expect("readers without a name", odd, "Smart card reader", "Smart card reader")

	fw.Refuse = uefitest.Only("locate handles", uefi.OutOfResources)
	if _, err := backend.Readers(t.Context()); !errors.Is(err, sclib.ErrNoService) ||
		!errors.Is(err, uefi.OutOfResources) {
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
	p := plug(t)
	sc := sclib.New(&Backend{})
	ctx := t.Context()
	card, err := sc.Connect(ctx, p.Name, sclib.ShareShared, sclib.ProtocolAny)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := card.Transmit(ctx, []byte{0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	p.State, p.Active = smartcard.Absent, smartcard.Undefined
	if _, err := card.Transmit(ctx, []byte{0, 0, 0, 0}); !errors.Is(err, sclib.ErrRemovedCard) {
		t.Errorf("after removal: %v", err)
	}
	p.State = smartcard.Inactive
	if err := card.Reconnect(ctx, sclib.ShareShared, sclib.ProtocolAny,
		sclib.LeaveCard); err != nil {
		t.Errorf("after reinsertion: %v", err)
	}
	if _, err := card.Transmit(ctx, []byte{0, 0, 0, 0}); err != nil {
		t.Error(err)
	}
	uefitest.Check(t, card.Disconnect(sclib.UnpowerCard))
	uefitest.Check(t, sc.Release())
	want := []string{"connect 2 1 3", "transmit", "transmit", "disconnect 0", "connect 2 1 3",
		"transmit", "disconnect 3"}
	if !slices.Equal(p.Log, want) {
		t.Errorf("the driver saw %q", p.Log)
	}
}
