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
	"tamaccid/uefi/internal/abi"
)

// A poller is firmware that polls an interrupt endpoint.
type poller struct {
	t       *testing.T
	f       *fake
	box     *box // while it polls
	started int
	status  uefi.Status
}

func (f *fake) poller() *poller {
	p := &poller{t: f.t, f: f}
	f.table.AsyncInterruptTransfer = abi.Fake(func(a []uintptr) uintptr {
		f.log = append(f.log, fmt.Sprintf("poll %02x %v, %d bytes each %d ms", a[1], a[2] != 0, a[4], a[3]))
		if p.status != uefi.Success {
			return uintptr(p.status)
		}
		if on := a[2] != 0; on == (p.box != nil) {
			f.t.Errorf("polling: %v, while it was the same", on)
		}
		p.box = nil
		if a[2] != 0 {
			p.started++
			p.box = abi.At[box](a[6])
		}
		return uintptr(uefi.Success)
	})
	return p
}

// send does what record does.
func (p *poller) send(b ...byte) {
	x := p.box
	if x == nil {
		p.t.Fatal("nobody polls")
	}
	at := x.written
	if at-x.taken >= boxSlots {
		at--
	}
	s := &x.slots[at%boxSlots]
	s.n = uint32(copy(s.data[:], b))
	x.written = at + 1
}

func (t *Transport) all() (got [][]byte) {
	t.Notifications(func(b []byte) { got = append(got, slices.Clone(b)) })
	return got
}

func TestNotificationsAreHandedOutInTheirOrderAndOnce(t *testing.T) {
	f := reader(t)
	p := f.poller()
	tr := f.open()
	if err := tr.Listen(2); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(f.log); got != "[poll 81 true, 16 bytes each 255 ms]" {
		t.Error(got)
	}
	if got := tr.all(); got != nil {
		t.Errorf("nothing was sent: % x", got)
	}
	for range 3 * boxSlots {
		p.send(0x50, 3)
		p.send(0x50, 2)
		if got := fmt.Sprintf("% x", tr.all()); got != "[50 03 50 02]" {
			t.Fatal(got)
		}
	}
	if got := tr.all(); got != nil {
		t.Errorf("handed out twice: % x", got)
	}
	tr.Close()
	if p.box != nil {
		t.Error("firmware polls on after Close")
	}
}

func TestTheNewestNotificationIsKeptWhenThereAreTooMany(t *testing.T) {
	f := reader(t)
	p := f.poller()
	tr := f.open()
	if err := tr.Listen(2); err != nil {
		t.Fatal(err)
	}
	for i := range byte(3 * boxSlots) {
		p.send(0x50, i)
	}
	var got [][]byte
	missed := tr.Notifications(func(b []byte) { got = append(got, slices.Clone(b)) })
	if !missed || len(got) != boxSlots || got[0][1] != 0 || got[boxSlots-1][1] != 3*boxSlots-1 {
		t.Errorf("% x", got)
	}
}

func TestNoNotificationIsMissedWhileThereIsRoom(t *testing.T) {
	f := reader(t)
	p := f.poller()
	tr := f.open()
	if err := tr.Listen(2); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		for i := range byte(boxSlots - 1) {
			p.send(0x50, i)
		}
		if tr.Notifications(func([]byte) {}) {
			t.Error("missed one")
		}
	}
}

// A driver that could not be stopped goes on.
func TestNotificationsFromBeforeTheEndOfPollingAreHandedOutWhenItBeginsAnew(t *testing.T) {
	f := reader(t)
	p := f.poller()
	tr := f.open()
	for range 2 {
		if err := tr.Listen(2); err != nil {
			t.Fatal(err)
		}
		p.send(0x50, 2)
		if err := tr.Unlisten(); err != nil {
			t.Fatal(err)
		}
	}
	if err := tr.Listen(2); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("% x", tr.all()); got != "[50 02 50 02]" {
		t.Error(got)
	}
}

func TestAnInterruptEndpointThatFirmwarePollsIsNotReadBeside(t *testing.T) {
	f := reader(t)
	f.poller()
	tr := f.open()
	if err := tr.Listen(2); err != nil {
		t.Fatal(err)
	}
	if n, err := tr.In(t.Context(), 0x81, make([]byte, 16), time.Second); n != 0 || !errors.Is(err, usb.ErrTimeout) {
		t.Errorf("%d, %v", n, err)
	}
}

func TestPollingGoesOnAfterAFailureButNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := reader(t)
		p := f.poller()
		tr := f.open()
		f.control = func(uefi.USBRequest, []byte) answer { return answer{} }
		if err := tr.Listen(2); err != nil {
			t.Fatal(err)
		}
		for i := range maxFailures {
			p.box.failed = uint32(uefi.USBStall)
			f.log = nil
			tr.all()
			if got := fmt.Sprint(f.log); got != "[poll 81 false, 0 bytes each 0 ms control 02 01 0000 0081 0 in 500 ms poll 81 true, 16 bytes each 255 ms]" {
				t.Fatalf("failure %d: %s", i+1, got)
			}
		}
		p.send(0x50, 1)
		if got := tr.all(); len(got) != 1 {
			t.Error("no message after failures")
		}
		for range maxFailures + 1 {
			if p.box == nil {
				t.Fatal("given up too early: a message came in between")
			}
			p.box.failed = uint32(uefi.USBSystem)
			tr.all()
		}
		if p.box != nil || p.started != 2*maxFailures+1 {
			t.Errorf("polling was started %d times", p.started)
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
		{name: "firmware refuses", status: uefi.DeviceError, device: answer{data: []byte{0, 0}}, want: uefi.DeviceError},
		{name: "firmware does not know the device's address", status: uefi.InvalidParameter, device: answer{data: []byte{0, 0}}, want: uefi.InvalidParameter},
		{name: "firmware refuses, the device does not answer yet", status: uefi.DeviceError, device: silent, want: uefi.DeviceError},
		{name: "firmware refuses, the device has gone", status: uefi.DeviceError,
			device: answer{status: uefi.DeviceError, result: uefi.USBTimeout}, want: usb.ErrGone},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := reader(t)
				p := f.poller()
				f.control = func(uefi.USBRequest, []byte) answer { return c.device }
				tr := f.open()
				if err := tr.Listen(2); err != nil {
					t.Fatal(err)
				}
				p.status = c.status
				for range 2 {
					if err := tr.Unlisten(); !errors.Is(err, c.want) {
						t.Fatalf("error %v, want %v", err, c.want)
					}
				}
				if c.want == nil {
					return
				}
				if tr.listener.box != p.box || !tr.listener.on {
					t.Error("the memory that firmware writes to is kept by nobody")
				}
				p.send(0x50, 3)
				if got := fmt.Sprintf("% x", tr.all()); got != "[50 03]" {
					t.Errorf("a message that came afterwards: %s", got)
				}
				p.status = uefi.Success
				if err := tr.Close(); err != nil || p.box != nil {
					t.Errorf("another try: %v", err)
				}
			})
		})
	}
}

func TestPollingThatFirmwareDoesNotEndIsNotBegunTwice(t *testing.T) {
	f := reader(t)
	p := f.poller()
	f.control = func(uefi.USBRequest, []byte) answer { return answer{data: []byte{0, 0}} }
	tr := f.open()
	if err := tr.Listen(2); err != nil {
		t.Fatal(err)
	}
	p.status = uefi.DeviceError
	for range 2 * maxFailures {
		p.box.failed = uint32(uefi.USBSystem)
		tr.all()
	}
	if p.started != 1 {
		t.Errorf("polling was started %d times", p.started)
	}
	p.status = uefi.Success
	p.box.failed = uint32(uefi.USBSystem)
	tr.all()
	if p.started != 2 || p.box == nil {
		t.Errorf("polling was started %d times", p.started)
	}
	tr.Close()
}

func TestListenWhereItCannotBe(t *testing.T) {
	t.Run("firmware cannot poll", func(t *testing.T) {
		f := reader(t)
		f.poller().status = uefi.Unsupported
		tr := f.open()
		if err := tr.Listen(2); err != error(uefi.Unsupported) {
			t.Error(err)
		}
		f.streams = []answer{{data: []byte{0x50, 3}}}
		if n, err := tr.In(t.Context(), 0x81, make([]byte, 16), time.Second); n != 2 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		f.log = nil
		tr.Close()
		if len(f.log) != 0 {
			t.Errorf("ended what was not begun: %v", f.log)
		}
	})
	t.Run("there is no interrupt endpoint", func(t *testing.T) {
		f := reader(t)
		f.poller()
		f.endpoints = f.endpoints[1:]
		if err := f.open().Listen(2); !errors.Is(err, ErrUsage) {
			t.Error(err)
		}
	})
	t.Run("the transport is closed", func(t *testing.T) {
		f := reader(t)
		f.poller()
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
		{usb.SpeedFull, 0, 1}, {usb.SpeedFull, 1, 1}, {usb.SpeedFull, 255, 255}, {usb.SpeedLow, 10, 10}, {usb.SpeedUnknown, 24, 24},
		{usb.SpeedHigh, 0, 1}, {usb.SpeedHigh, 4, 1}, {usb.SpeedHigh, 8, 16}, {usb.SpeedSuper, 11, 128}, {usb.SpeedHigh, 16, 255}, {usb.SpeedHigh, 255, 255},
	} {
		if got := pollInterval(c.speed, c.interval); got != c.want {
			t.Errorf("%v, bInterval %d: %d ms, want %d", c.speed, c.interval, got, c.want)
		}
	}
}
