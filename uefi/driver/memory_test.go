//go:build !tamago

package driver

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"tamaccid/baremetal/usbhost/usbtest"
	"tamaccid/uefi"
	"tamaccid/uefi/gate"
)

// short makes a driver without memory; full and left are whether the reserve can be filled, and
// whether there is room without that.
func short(t *testing.T, full bool, left *atomic.Bool) {
	fillReserve, room = func() bool { return full }, left.Load
	t.Cleanup(func() { fillReserve, room = gate.Refill, gate.Room })
}

func TestACallIsRefusedWithoutMemory(t *testing.T) {
	for _, c := range []struct {
		name       string
		full, left bool
		want       uefi.Status
	}{
		{name: "the reserve is full", full: true, left: true, want: uefi.Success},
		{name: "firmware refuses, and enough is left", left: true, want: uefi.Success},
		{name: "firmware refuses, and too little is left", want: uefi.OutOfResources},
	} {
		t.Run(c.name, func(t *testing.T) {
			var left atomic.Bool
			left.Store(c.left)
			short(t, c.full, &left)
			began := false
			st := withMemory(func(*gate.Args) uefi.Status {
				began = true
				return uefi.Success
			})(gate.NewArgs())
			if st != c.want || began != (c.want == uefi.Success) {
				t.Errorf("status %v, want %v; begun: %v", st, c.want, began)
			}
		})
	}
}

func TestAReaderWaitsForMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var left atomic.Bool
		short(t, false, &left)
		fw, d := newDirect(t)
		f := fw.plugHost()
		f.virtual.Plug(1, usbtest.Reader(withSlots(1)))
		must(t, d.locked(d.start, 0, uintptr(f.Handle), 0))
		later()
		if n := len(fw.readerHandles()); n != 0 {
			t.Errorf("%d readers without memory", n)
		}
		left.Store(true)
		later()
		if n := len(fw.readerHandles()); n != 1 {
			t.Errorf("%d readers with memory", n)
		}
		check(t, d.stopHost(f))
	})
}

func TestAReaderThatWaitsForMemoryGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var left atomic.Bool
		short(t, false, &left)
		fw, d := newDirect(t)
		f := fw.plugHost()
		f.virtual.Plug(1, usbtest.Reader(withSlots(1)))
		must(t, d.locked(d.start, 0, uintptr(f.Handle), 0))
		later()
		f.virtual.Unplug(1)
		later()
		left.Store(true)
		later()
		if n := len(fw.readerHandles()); n != 0 {
			t.Errorf("%d readers, the only one has gone", n)
		}
		check(t, d.stopHost(f))
	})
}

func TestStartWithoutMemoryNamesTheCause(t *testing.T) {
	if st := driverStatus(&startError{uefi.OutOfResources}); st != uefi.OutOfResources {
		t.Error(st)
	}
	if st := driverStatus(&startError{uefi.NotFound}); st != uefi.DeviceError {
		t.Error(st)
	}
}

// A reader whose Start fails with EFI_UNSUPPORTED, as for an alternate setting that firmware does
// not select, is no host controller.
func TestAFailureIsNotTheAnswerToSupported(t *testing.T) {
	err := &startError{fmt.Errorf("wrapped: %w", uefi.Unsupported)}
	if notSupported(err) || driverStatus(err) != uefi.DeviceError {
		t.Errorf("not supported: %v, status %v", notSupported(err), driverStatus(err))
	}
	if !notSupported(fmt.Errorf("wrapped: %w", uefi.Unsupported)) {
		t.Error("EFI_UNSUPPORTED of Supported counts as a failure")
	}
}

// A protocol that stays open would keep this driver from the reader, or for a child that has gone,
// Stop from the controller.
func TestFirmwareIsAskedAgainToCloseAProtocol(t *testing.T) {
	fw, d, u := started(t, 2)
	asked, refused := 0, 0
	fw.Refuse = func(service string, _ uefi.Handle, _ uefi.GUID) uefi.Status {
		if service != "close" {
			return uefi.Success
		}
		if asked++; asked%2 == 1 {
			refused++
			return uefi.NotFound
		}
		return uefi.Success
	}
	must(t, d.stopOn(u.Handle, d.slots(u.Handle)[1]))
	must(t, d.stopOn(u.Handle))
	if len(fw.Opened) != 0 || refused != 2 {
		t.Errorf("open: %v; refused: %d", fw.Opened, refused)
	}
	if err := d.supportsInterface(u.Handle); err != nil || len(fw.Opened) != 0 {
		t.Errorf("Supported: %v; open: %v", err, fw.Opened)
	}
}
