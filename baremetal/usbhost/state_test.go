package usbhost

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/ccid/usb"
)

// The table in portstate.go, for the states in which a port waits. A missing cell is "leave".
func TestStatesOfAPort(t *testing.T) {
	gone := PortStatus{Powered: true, Change: ConnectChange}
	events := map[string]PortStatus{
		"nothing there": {Powered: true},
		"plugged in":    {Powered: true, Connected: true, Change: ConnectChange},
		"there, of old": {Powered: true, Connected: true, Enabled: true},
		"unplugged":     gone,
		"replugged": {Powered: true, Connected: true, Change: ConnectChange |
			EnableChange},
		"disabled": {Powered: true, Connected: true, Change: EnableChange},
		"stuck": {Powered: true, Connected: true, Enabled: true, Stuck: true,
			USB3: true},
		"over-current":              {OverCurrent: true, Change: OverCurrentChange | ConnectChange},
		"over-current for a moment": {Change: OverCurrentChange | ConnectChange},
		"other changes": {Powered: true, Connected: true, Enabled: true,
			Change: ResetChange | LinkChange | ConfigChange},
	}
	want := map[portState]map[string]action{
		empty: {"plugged in": attach, "there, of old": attach, "replugged": attach,
			"disabled": attach, "stuck": attach, "other changes": attach,
			"over-current": trip, "over-current for a moment": trip},
		running: {"nothing there": empties, "plugged in": empties, "unplugged": empties,
			"replugged": empties, "disabled": restart, "stuck": restart,
			"over-current": trip, "over-current for a moment": trip},
		refused: {"nothing there": empties, "plugged in": empties, "unplugged": empties,
			"replugged":    empties,
			"over-current": trip, "over-current for a moment": trip},
		tripped: {"nothing there": repower, "plugged in": repower, "there, of old": repower,
			"unplugged": repower, "replugged": repower, "disabled": repower,
			"stuck": repower, "over-current for a moment": repower, "other changes": repower},
	}
	for state, cells := range want {
		for event, st := range events {
			if got := decide(state, st, false); got != cells[event] {
				t.Errorf("state %d, %s: %d, not %d", state, event, got, cells[event])
			}
		}
	}
	if got := decide(running, events["there, of old"], true); got != restart {
		t.Errorf("a device that fails: %d", got)
	}
	if got := decide(refused, events["there, of old"], true); got != leave {
		t.Errorf("a refused device that fails: %d", got)
	}
}

func TestWindowsAtTheDefaultAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newDefaultAddress()
		now := time.Now()
		ms := time.Millisecond
		for n, c := range []struct {
			least, slack, begin time.Duration
		}{
			{least: 50 * ms},                                 // the window opens at 50
			{least: 50 * ms, begin: 15 * ms},                 // at 65
			{least: 10 * ms, slack: 10 * ms, begin: 70 * ms}, // a hub's, at 80 to 90
			{least: 50 * ms, begin: 55 * ms},                 // at 105
		} {
			if got := a.reserve(now, c.least, c.slack).Sub(now); got != c.begin {
				t.Errorf("reset %d begins at %v, not %v", n, got, c.begin)
			}
		}
		if !a.tryAcquire() || a.tryAcquire() {
			t.Fatal("the default address is not for one device")
		}
		time.Sleep(30 * ms)
		a.release(true)
		if err := a.acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		if a.window != 30*ms {
			t.Errorf("%v was learned", a.window)
		}
		ctx, cancel := context.WithTimeout(t.Context(), ms)
		defer cancel()
		if a.acquire(ctx) == nil {
			t.Error("acquired while it was in use")
		}
		time.Sleep(time.Second)
		a.release(true)
		if a.window != longestWindow {
			t.Errorf("%v was learned", a.window)
		}
	})
}

// echo completes each transfer at once.
type echo struct{ Device }

func (echo) MaxTransfer() int { return 65536 }
func (echo) Control(context.Context, usb.Setup, []byte, time.Duration) (int, error) {
	return 8, nil
}
func (echo) Transfer(_ context.Context, _ uint8, buf []byte, _ time.Duration) (int, error) {
	return len(buf), nil
}

func TestTransfersDoNotAllocate(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	d := &device{hardware: echo{}, pipe0: newLock(), ctx: ctx, translator: &device{ctx: ctx}}
	tr := newTransport(d, &usb.Device{}, []usb.Endpoint{
		{Address: 0x81, Type: usb.BulkTransfer, MaxPacketSize: 64},
		{Address: 0x02, Type: usb.BulkTransfer, MaxPacketSize: 64},
	}, nil)
	buf := make([]byte, 256)
	n := testing.AllocsPerRun(100, func() {
		_, err1 := tr.Out(ctx, 0x02, buf[:11], time.Second)
		_, err2 := tr.In(ctx, 0x81, buf, time.Second)
		_, err3 := tr.Control(ctx, usb.Setup{RequestType: 0xA1, Length: 8}, buf, time.Second)
		if err1 != nil || err2 != nil || err3 != nil {
			t.Error(err1, err2, err3)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// behind is a hub at a location, with address 6.
func behind(l Location, multiTT bool) *upstream {
	return &upstream{hub: &device{location: l, address: 6}, multiTT: multiTT}
}

func TestLocations(t *testing.T) {
	deep := Location{RootPort: 3, Route: 0x0421, Tier: 3, Speed: usb.SpeedHigh}
	full := Location{RootPort: 3, Route: 0x4, Tier: 1, Speed: usb.SpeedFull, TTHub: 5, TTPort: 9,
		MultiTT: true}
	for _, c := range []struct {
		name  string
		up    *upstream
		port  int
		speed usb.Speed
		want  Location
	}{
		{name: "on a root port", up: &upstream{}, port: 7, speed: usb.SpeedFull,
			want: Location{RootPort: 7, Speed: usb.SpeedFull}},
		{name: "behind the fourth hub", up: behind(deep, false), port: 5, speed: usb.SpeedHigh,
			want: Location{RootPort: 3, Route: 0x5421, Tier: 4, Speed: usb.SpeedHigh}},
		{name: "on a port above 15", up: behind(deep, false), port: 20, speed: usb.SpeedHigh,
			want: Location{RootPort: 3, Route: 0xF421, Tier: 4, Speed: usb.SpeedHigh}},
		{name: "through a translator", up: behind(deep, false), port: 20, speed: usb.SpeedLow,
			want: Location{RootPort: 3, Route: 0xF421, Tier: 4, Speed: usb.SpeedLow, TTHub: 6,
				TTPort: 20}},
		{name: "through one of several translators", up: behind(deep, true), port: 1,
			speed: usb.SpeedFull,
			want: Location{RootPort: 3, Route: 0x1421, Tier: 4, Speed: usb.SpeedFull, TTHub: 6,
				TTPort: 1, MultiTT: true}},
		{name: "behind a full-speed hub behind a translator", up: behind(full, false), port: 2,
			speed: usb.SpeedLow,
			want: Location{RootPort: 3, Route: 0x24, Tier: 2, Speed: usb.SpeedLow, TTHub: 5,
				TTPort: 9, MultiTT: true}},
		{name: "faster than its hub, which cannot be", up: behind(full, false), port: 2,
			speed: usb.SpeedHigh,
			want: Location{RootPort: 3, Route: 0x24, Tier: 2, Speed: usb.SpeedFull, TTHub: 5,
				TTPort: 9, MultiTT: true}},
	} {
		if got := c.up.locate(c.port, c.speed); got != c.want {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

// USB 2.0, table 11-18.
func TestBufferOf(t *testing.T) {
	for _, c := range []struct {
		address, endpoint uint8
		kind              usb.TransferType
		want              uint16
	}{
		{address: 0, endpoint: 0x00, kind: usb.ControlTransfer},
		{address: 1, endpoint: 0x80, kind: usb.ControlTransfer, want: 0x8010},
		{address: 127, endpoint: 0x8F, kind: usb.BulkTransfer, want: 0x97FF},
		{address: 127, endpoint: 0x01, kind: usb.BulkTransfer, want: 0x17F1},
		{address: 0x55, endpoint: 0x0A, kind: usb.BulkTransfer, want: 0x155A},
	} {
		if got := bufferOf(c.address, c.endpoint, c.kind); got != c.want {
			t.Errorf("address %d, endpoint %#02x, type %d: %#04x, not %#04x", c.address, c.endpoint,
				c.kind, got, c.want)
		}
	}
}
