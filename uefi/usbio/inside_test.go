//go:build tamago

package usbio

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"
	"unsafe"

	_ "tamaccid/board/uefi"
	"tamaccid/ccid/usb"
	"tamaccid/uefi"
	"tamaccid/uefi/gate"
)

// These tests run inside firmware, on the first reader that is not open.

// Classes and messages of the device of the tests (USB CCID 1.1, 5.1, 6.1, 6.2).
const (
	classCCID     = 0x0b
	getSlotStatus = 0x65
	slotStatus    = 0x81
	header        = 10
)

// hang is more than a transfer can be late for being emulated on a busy machine (policy).
const hang = 30 * time.Second

// claim opens a reader for this image.
func claim(t *testing.T) *Transport {
	b, self := uefi.Boot(), uefi.ImageHandle()
	all, err := b.LocateHandles(&uefi.USBIOGUID)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range all {
		addr, err := b.OpenProtocol(h, &uefi.USBIOGUID, self, h, uefi.OpenByDriver)
		if err != nil {
			continue
		}
		t.Cleanup(func() { b.CloseProtocol(h, &uefi.USBIOGUID, self, h) })
		if d, err := uefi.USBIOAt(addr).InterfaceDescriptor(); err != nil || d[5] != classCCID {
			continue
		}
		tr, err := New(t.Context(), h, addr, Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { tr.Close() })
		return tr
	}
	t.Fatal("no reader on this machine, or its driver is loaded")
	return nil
}

// pipesOf finds the endpoints of a reader.
func pipesOf(t *testing.T, tr *Transport) (in, out, notify uint8) {
	for address, p := range tr.pipes {
		switch {
		case p.kind == usb.InterruptTransfer:
			notify = address
		case address&usb.DirIn != 0:
			in = address
		default:
			out = address
		}
	}
	if in == 0 || out == 0 {
		t.Fatalf("pipes %v", tr.pipes)
	}
	return in, out, notify
}

func TestReaderInside(t *testing.T) {
	tr, ctx := claim(t), context.Background()
	in, out, notify := pipesOf(t, tr)
	d := tr.Device()
	t.Logf("%q %q %q at %s, %v, %d bytes of configuration", d.Manufacturer, d.Product, d.Serial,
		d.Path, d.Speed, len(d.Config))

	t.Run("is described", func(t *testing.T) {
		if d.Product == "" || !strings.Contains(d.Path, "USB(") || d.Speed == usb.SpeedUnknown {
			t.Error("something is missing")
		}
		i, err := usb.FindInterface(d.Config, d.Interface, d.AltSetting)
		if err != nil || i.Class != classCCID || len(i.Other) == 0 ||
			len(i.Endpoints) != len(tr.pipes) {
			t.Errorf("%+v, %v", i, err)
		}
	})
	t.Run("is found to be there", func(t *testing.T) {
		if tr.present() != there {
			t.Error("GET_STATUS does not find it")
		}
	})
	t.Run("answers a message", func(t *testing.T) {
		for seq := byte(0); seq < 20; seq++ {
			if n, err := tr.Out(ctx, out, []byte{getSlotStatus, 0, 0, 0, 0, 0, seq, 0, 0, 0},
				time.Second); n != header || err != nil {
				t.Fatalf("%d, %v", n, err)
			}
			var buf [512]byte
			n, err := tr.In(ctx, in, buf[:], time.Second)
			if n != header || err != nil || buf[0] != slotStatus || buf[6] != seq {
				t.Fatalf("%d, %v, % x", n, err, buf[:n])
			}
		}
	})
	t.Run("is silent without a command", func(t *testing.T) {
		buf := make([]byte, 512)
		for _, limit := range []time.Duration{20 * time.Millisecond,
			firstWait + laterWait + 100*time.Millisecond} {
			began := time.Now()
			n, err := tr.In(ctx, in, buf, limit)
			took := time.Since(began)
			if n != 0 || !errors.Is(err, usb.ErrTimeout) || took < limit || took > limit+hang {
				t.Errorf("%d, %v after %v of %v", n, err, took, limit)
			}
		}
	})
	t.Run("answers after a silence", func(t *testing.T) {
		tr.Out(ctx, out, []byte{getSlotStatus, 0, 0, 0, 0, 0, 77, 0, 0, 0}, time.Second)
		var buf [64]byte
		if n, err := tr.In(ctx, in, buf[:], time.Second); n != header || err != nil ||
			buf[6] != 77 {
			t.Errorf("%d, %v, % x", n, err, buf[:n])
		}
	})
	t.Run("gives a short data stage its true length", func(t *testing.T) {
		big := make([]byte, 255)
		n, err := tr.Control(ctx, usb.Setup{RequestType: usb.DirIn,
			Request: usb.RequestGetDescriptor, Value: usb.TypeConfiguration << 8, Length: 255}, big,
			time.Second)
		if n != len(d.Config) || err != nil || string(big[:n]) != string(d.Config) {
			t.Errorf("%d, %v", n, err)
		}
	})
	t.Run("stalls an unknown request", func(t *testing.T) {
		for range 3 {
			_, err := tr.Control(ctx, usb.Setup{RequestType: usb.DirIn | usb.TypeVendor,
				Request: 0xaa, Length: 8}, make([]byte, 8), time.Second)
			if !errors.Is(err, usb.ErrStall) {
				t.Errorf("%v", err)
			}
		}
		if _, err := tr.Control(ctx, getStatus, make([]byte, 2), time.Second); err != nil {
			t.Errorf("the next request: %v", err)
		}
	})
	t.Run("has an interrupt endpoint that may be polled", func(t *testing.T) {
		if notify == 0 {
			t.Skip("it has none")
		}
		buf := make([]byte, tr.pipes[notify].packet)
		for range 3 {
			if n, err := tr.In(ctx, notify, buf, 20*time.Millisecond); err != nil &&
				!errors.Is(err, usb.ErrTimeout) {
				t.Errorf("%d, %v", n, err)
			}
		}
	})
	t.Run("is asked without allocations", func(t *testing.T) {
		message, buf := []byte{getSlotStatus, 0, 0, 0, 0, 0, 1, 0, 0, 0}, make([]byte, 512)
		began := time.Now()
		const rounds = 200
		got := testing.AllocsPerRun(rounds, func() {
			tr.Out(ctx, out, message, time.Second)
			tr.In(ctx, in, buf, time.Second)
		})
		t.Logf("%v a round trip", time.Since(began)/(rounds+1))
		if got != 0 {
			t.Errorf("%v allocations", got)
		}
	})
	t.Run("is given back by Close", func(t *testing.T) {
		tr.Close()
		if _, err := tr.In(ctx, in, make([]byte, 64), time.Second); err != usb.ErrGone {
			t.Error(err)
		}
	})
}

// TestRecord calls what firmware calls with a message of an interrupt endpoint.
func TestRecord(t *testing.T) {
	b := new(ring)
	call := func(data []byte, result uefi.USBResult) {
		st := gate.Call(recordPC(), uintptr(unsafe.Pointer(unsafe.SliceData(data))),
			uintptr(len(data)), uintptr(unsafe.Pointer(b)), uintptr(result))
		if uefi.Status(st) != uefi.Success {
			t.Errorf("status %v", uefi.Status(st))
		}
	}
	long := make([]byte, 2*ringData)
	for i := range long {
		long[i] = byte(i + 1)
	}
	l := &Transport{listener: &listener{ring: b, on: true}}
	for _, n := range []int{1, 2, 4, ringData - 1, ringData, ringData + 1, 2 * ringData} {
		call(long[:n], uefi.USBNoError)
		seen := 0
		l.Notifications(func(got []byte) {
			seen++
			if want := long[:min(n, ringData)]; !bytes.Equal(got, want) {
				t.Errorf("%d bytes: % x", n, got)
			}
		})
		if seen != 1 {
			t.Errorf("%d bytes: %d messages", n, seen)
		}
	}
	call(nil, uefi.USBNoError)
	for i := range 3 * ringSlots {
		call([]byte{0x50, byte(i)}, uefi.USBNoError)
	}
	var last, seen int
	l.Notifications(func(got []byte) { last, seen = int(got[1]), seen+1 })
	if last != 3*ringSlots-1 || seen != ringSlots {
		t.Errorf("%d messages, the last one is %d", seen, last)
	}
	call(long[:2], uefi.USBStall)
	if b.failed != uint32(uefi.USBStall) || b.taken != b.written {
		t.Errorf("after a failure: %+v", b.failed)
	}
	gate.Call(recordPC(), uintptr(unsafe.Pointer(&long[0])), 2, 0, 0) // without a ring
}
