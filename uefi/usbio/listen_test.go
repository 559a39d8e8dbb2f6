//go:build !tamago

package usbio

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/ccid/usb"
	"tamaccid/uefi"
	"tamaccid/uefi/uefitest"
)

func (t *Transport) all() (got [][]byte) {
	t.Notifications(func(b []byte) { got = append(got, slices.Clone(b)) })
	return got
}

func TestNotificationsAreHandedOutInTheirOrderAndOnce(t *testing.T) {
	f := reader(t)
	tr := f.open()
	uefitest.Must(t, tr.Listen(2))
	if got := fmt.Sprint(f.Log); got != "[poll 81 true, 16 bytes each 255 ms]" {
		t.Error(got)
	}
	if got := tr.all(); got != nil {
		t.Errorf("nothing was sent: % x", got)
	}
	for range 3 * ringSlots {
		f.send(0x50, 3)
		f.send(0x50, 2)
		if got := fmt.Sprintf("% x", tr.all()); got != "[50 03 50 02]" {
			t.Fatal(got)
		}
	}
	if got := tr.all(); got != nil {
		t.Errorf("handed out twice: % x", got)
	}
	tr.Close()
	if f.ring() != nil {
		t.Error("firmware polls on after Close")
	}
}

func TestTheNewestNotificationIsKeptWhenThereAreTooMany(t *testing.T) {
	f := reader(t)
	tr := f.open()
	uefitest.Must(t, tr.Listen(2))
	for i := range byte(3 * ringSlots) {
		f.send(0x50, i)
	}
	var got [][]byte
	missed := tr.Notifications(func(b []byte) { got = append(got, slices.Clone(b)) })
	if !missed || len(got) != ringSlots || got[0][1] != 0 || got[ringSlots-1][1] != 3*ringSlots-1 {
		t.Errorf("% x", got)
	}
}

func TestNoNotificationIsMissedWhileThereIsRoom(t *testing.T) {
	f := reader(t)
	tr := f.open()
	uefitest.Must(t, tr.Listen(2))
	for range 3 {
		for i := range byte(ringSlots - 1) {
			f.send(0x50, i)
		}
		if tr.Notifications(func([]byte) {}) {
			t.Error("missed one")
		}
	}
}

// A driver that could not be stopped goes on.
func TestNotificationsFromBeforeTheEndOfPollingAreHandedOutWhenItBeginsAnew(t *testing.T) {
	f := reader(t)
	tr := f.open()
	for range 2 {
		uefitest.Must(t, tr.Listen(2))
		f.send(0x50, 2)
		uefitest.Must(t, tr.Unlisten())
	}
	uefitest.Must(t, tr.Listen(2))
	if got := fmt.Sprintf("% x", tr.all()); got != "[50 02 50 02]" {
		t.Error(got)
	}
}

func TestAnInterruptEndpointThatFirmwarePollsIsNotReadBeside(t *testing.T) {
	f := reader(t)
	tr := f.open()
	uefitest.Must(t, tr.Listen(2))
	if n, err := tr.In(t.Context(), 0x81, make([]byte, 16), time.Second); n != 0 ||
		!errors.Is(err, usb.ErrTimeout) {
		t.Errorf("%d, %v", n, err)
	}
}

func TestPollingGoesOnAfterAFailureButNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := reader(t)
		tr := f.open()
		f.control = func(uefi.USBRequest, []byte) answer { return answer{} }
		uefitest.Must(t, tr.Listen(2))
		for i := range maxFailures {
			f.ring().failed = uint32(uefi.USBStall)
			f.Log = nil
			tr.all()
			want := []string{"poll 81 false, 0 bytes each 0 ms",
				"control 02 01 0000 0081 0 in 500 ms", "poll 81 true, 16 bytes each 255 ms"}
			if got := f.Log; !slices.Equal(got, want) {
				t.Fatalf("failure %d: %s", i+1, got)
			}
		}
		f.send(0x50, 1)
		if got := tr.all(); len(got) != 1 {
			t.Error("no message after failures")
		}
		for range maxFailures + 1 {
			if f.ring() == nil {
				t.Fatal("given up too early: a message came in between")
			}
			f.ring().failed = uint32(uefi.USBSystem)
			tr.all()
		}
		if f.ring() != nil || f.Polls != 2*maxFailures+1 {
			t.Errorf("polling was started %d times", f.Polls)
		}
		if tr.all() != nil {
			t.Error("news of an endpoint that is left alone")
		}
		tr.Close()
	})
}

func TestPollingThatFirmwareDoesNotEnd(t *testing.T) {
	for _, c := range []struct {
		name   string
		status uefi.Status
		device answer // to GET_STATUS
		want   error  // nil: the polling has ended
	}{
		{name: "no transfer is registered", status: uefi.NotFound},
		{name: "firmware refuses", status: uefi.DeviceError, device: answer{Data: []byte{0, 0}},
			want: uefi.DeviceError},
		{name: "an unknown device address", status: uefi.InvalidParameter,
			device: answer{Data: []byte{0, 0}}, want: uefi.InvalidParameter},
		{name: "firmware refuses, the device does not answer yet", status: uefi.DeviceError,
			device: uefitest.Silent, want: uefi.DeviceError},
		{name: "firmware refuses, the device has gone", status: uefi.DeviceError,
			device: answer{Status: uefi.DeviceError, Result: uefi.USBTimeout}, want: usb.ErrGone},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := reader(t)
				f.control = func(uefi.USBRequest, []byte) answer { return c.device }
				tr := f.open()
				uefitest.Must(t, tr.Listen(2))
				f.PollStatus = c.status
				for range 2 {
					if err := tr.Unlisten(); !errors.Is(err, c.want) {
						t.Fatalf("error %v, want %v", err, c.want)
					}
				}
				if c.want == nil {
					return
				}
				if tr.listener.ring != f.ring() || !tr.listener.on {
					t.Error("the memory that firmware writes to is not referenced")
				}
				f.send(0x50, 3)
				if got := fmt.Sprintf("% x", tr.all()); got != "[50 03]" {
					t.Errorf("a message that came afterwards: %s", got)
				}
				f.PollStatus = uefi.Success
				if err := tr.Close(); err != nil || f.ring() != nil {
					t.Errorf("another try: %v", err)
				}
			})
		})
	}
}

func TestPollingThatFirmwareDoesNotEndIsNotBegunTwice(t *testing.T) {
	f := reader(t)
	f.control = func(uefi.USBRequest, []byte) answer { return answer{Data: []byte{0, 0}} }
	tr := f.open()
	uefitest.Must(t, tr.Listen(2))
	f.PollStatus = uefi.DeviceError
	for range 2 * maxFailures {
		f.ring().failed = uint32(uefi.USBSystem)
		tr.all()
	}
	if f.Polls != 1 {
		t.Errorf("polling was started %d times", f.Polls)
	}
	f.PollStatus = uefi.Success
	f.ring().failed = uint32(uefi.USBSystem)
	tr.all()
	if f.Polls != 2 || f.ring() == nil {
		t.Errorf("polling was started %d times", f.Polls)
	}
	tr.Close()
}

func TestListenWhereItCannotBe(t *testing.T) {
	t.Run("firmware cannot poll", func(t *testing.T) {
		f := reader(t)
		f.PollStatus = uefi.Unsupported
		tr := f.open()
		if err := tr.Listen(2); err != error(uefi.Unsupported) {
			t.Error(err)
		}
		f.streams = []answer{{Data: []byte{0x50, 3}}}
		if n, err := tr.In(t.Context(), 0x81, make([]byte, 16), time.Second); n != 2 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		f.Log = nil
		tr.Close()
		if len(f.Log) != 0 {
			t.Errorf("ended what was not begun: %v", f.Log)
		}
	})
	t.Run("there is no interrupt endpoint", func(t *testing.T) {
		f := reader(t)
		f.Endpoints = f.Endpoints[1:]
		if err := f.open().Listen(2); !errors.Is(err, ErrUsage) {
			t.Error(err)
		}
	})
	t.Run("the transport is closed", func(t *testing.T) {
		f := reader(t)
		tr := f.open()
		tr.Close()
		if err := tr.Listen(2); !errors.Is(err, usb.ErrGone) {
			t.Error(err)
		}
	})
}

func TestPollInterval(t *testing.T) {
	for _, c := range []struct {
		speed    usb.Speed
		interval uint8
		want     uint32
	}{
		{usb.SpeedFull, 0, 1}, {usb.SpeedFull, 1, 1}, {usb.SpeedFull, 255, 255}, {usb.SpeedLow, 10,
			10}, {usb.SpeedUnknown, 24, 24},
		{usb.SpeedHigh, 0, 1}, {usb.SpeedHigh, 4, 1}, {usb.SpeedHigh, 8, 16}, {usb.SpeedSuper, 11,
			128}, {usb.SpeedHigh, 16, 255}, {usb.SpeedHigh, 255, 255},
	} {
		if got := pollInterval(c.speed, c.interval); got != c.want {
			t.Errorf("%v, bInterval %d: %d ms, want %d", c.speed, c.interval, got, c.want)
		}
	}
}
