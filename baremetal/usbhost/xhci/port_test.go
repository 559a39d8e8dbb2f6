package xhci

import (
	"testing"
	"time"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/xhci/xhcitest"
	"tamaccid/ccid/usb"
)

func TestPortStatus(t *testing.T) {
	two, three := rootPort{major: 2, speeds: defaultSpeeds(2)}, rootPort{major: 3,
		speeds: defaultSpeeds(3)}
	for _, k := range []struct {
		name string
		v    uint32
		p    rootPort
		want usbhost.PortStatus
	}{
		{name: "no device", v: 0x2A0, p: two, want: usbhost.PortStatus{Powered: true}},
		{name: "connected, not enabled: no speed yet", v: 0x20EE1 | 1, p: two,
			want: usbhost.PortStatus{Connected: true, Powered: true,
				Change: usbhost.ConnectChange}},
		{name: "enabled at high speed", v: 0xE03, p: two,
			want: usbhost.PortStatus{Connected: true, Enabled: true, Powered: true,
				Speed: usb.SpeedHigh}},
		{name: "in reset", v: 0x311, p: two,
			want: usbhost.PortStatus{Connected: true, Powered: true, Resetting: true}},
		{name: "over-current", v: 0x100008, p: two,
			want: usbhost.PortStatus{OverCurrent: true, Change: usbhost.OverCurrentChange}},
		{name: "SuperSpeed", v: 0x1203, p: three,
			want: usbhost.PortStatus{Connected: true, Enabled: true, Powered: true, USB3: true,
				Speed: usb.SpeedSuper}},
		{name: "SuperSpeed+ with an ID that is in no table", v: 0x2203 | 15<<10, p: three,
			want: usbhost.PortStatus{Connected: true, Enabled: true, Powered: true, USB3: true}},
		{name: "inactive", v: 0x2C1, p: three,
			want: usbhost.PortStatus{Connected: true, Powered: true, USB3: true, Stuck: true}},
		{name: "compliance", v: 0x341, p: three,
			want: usbhost.PortStatus{Connected: true, Powered: true, USB3: true, Stuck: true}},
		{name: "cold attach", v: 0x1000280, p: three,
			want: usbhost.PortStatus{Powered: true, USB3: true, Stuck: true}},
		{name: "all changes", v: 0xFE0000, p: three,
			want: usbhost.PortStatus{USB3: true, Change: usbhost.ConnectChange |
				usbhost.EnableChange | usbhost.OverCurrentChange | usbhost.ResetChange |
				usbhost.LinkChange | usbhost.ConfigChange}},
		{name: "a port without a protocol", v: 0x20E03, p: rootPort{}, want: usbhost.PortStatus{}},
	} {
		if got := portStatus(k.v, k.p); got != k.want {
			t.Errorf("%s: %+v, want %+v", k.name, got, k.want)
		}
	}
}

// TestWritesToAPortHaveNoSideEffect: PED and six changes have an effect if they are written back as
// read.
func TestWritesToAPortHaveNoSideEffect(t *testing.T) {
	run(t, xhcitest.Options{PortPower: true}, func(r *rig) {
		r.hw.Attach(1, xhcitest.NewScript(usb.SpeedHigh))
		if err := r.c.SetPower(1, true); err != nil {
			t.Fatal(err)
		}
		if s, _ := r.c.Port(1); !s.Powered || !s.Connected || s.Change != usbhost.ConnectChange {
			t.Errorf("%+v", s)
		}
		if err := r.c.StartReset(1, usbhost.HotReset); err != nil {
			t.Fatal(err)
		}
		if s, _ := r.c.Port(1); !s.Resetting || s.Change != usbhost.ConnectChange {
			t.Errorf("in reset: %+v", s)
		}
		time.Sleep(60 * time.Millisecond)
		if s, _ := r.c.Port(1); s.Change != usbhost.ConnectChange|usbhost.ResetChange ||
			!s.Enabled || s.Speed != usb.SpeedHigh {
			t.Errorf("after the reset: %+v", s)
		}
		if err := r.c.Acknowledge(1, usbhost.ResetChange); err != nil {
			t.Fatal(err)
		}
		if s, _ := r.c.Port(1); s.Change != usbhost.ConnectChange || !s.Enabled {
			t.Errorf("one change acknowledged: %+v", s)
		}
		if err := r.c.Acknowledge(1, usbhost.ConnectChange); err != nil {
			t.Fatal(err)
		}
		if err := r.c.SetPower(1, true); err != nil {
			t.Fatal(err)
		}
		if s, _ := r.c.Port(1); s.Change != 0 || !s.Enabled || !s.Powered {
			t.Errorf("all acknowledged: %+v", s)
		}
		if err := r.c.Disable(1); err != nil {
			t.Fatal(err)
		}
		if s, _ := r.c.Port(1); s.Enabled || !s.Connected {
			t.Errorf("disabled: %+v", s)
		}
		if err := r.c.SetPower(1, false); err != nil {
			t.Fatal(err)
		}
		if s, _ := r.c.Port(1); s.Powered {
			t.Errorf("off: %+v", s)
		}
	})
}

func TestSuperSpeedPort(t *testing.T) {
	run(t, xhcitest.Options{}, func(r *rig) {
		s := xhcitest.NewScript(usb.SpeedSuper)
		r.hw.Attach(3, s)
		if p, _ := r.c.Port(3); !p.Enabled || !p.USB3 || p.Speed != usb.SpeedSuper {
			t.Errorf("a SuperSpeed port enables itself: %+v", p)
		}
		r.hw.Hurt(3)
		if p, _ := r.c.Port(3); p.Enabled || !p.Stuck || p.Change&usbhost.LinkChange == 0 {
			t.Errorf("inactive: %+v", p)
		}
		if err := r.c.StartReset(3, usbhost.WarmReset); err != nil {
			t.Fatal(err)
		}
		time.Sleep(60 * time.Millisecond)
		if p, _ := r.c.Port(3); !p.Enabled || p.Stuck || p.Change&usbhost.ResetChange == 0 {
			t.Errorf("after a warm reset: %+v", p)
		}
		if err := r.c.Disable(3); err != nil {
			t.Fatal(err)
		}
		if err := r.c.Acknowledge(3, usbhost.ResetChange|usbhost.LinkChange|
			usbhost.ConnectChange); err != nil {
			t.Fatal(err)
		}
		if p, _ := r.c.Port(3); !p.Connected || p.Change != 0 {
			t.Errorf("a SuperSpeed port stays able to connect: %+v", p)
		}
		if err := r.c.StartReset(1, usbhost.WarmReset); err != nil { // the model fails on WPR there
			t.Fatal(err)
		}
		time.Sleep(60 * time.Millisecond)
		for _, n := range []int{0, -1, 5, 1 << 30} {
			if _, err := r.c.Port(n); err == nil || r.c.SetPower(n, true) == nil ||
				r.c.StartReset(n, usbhost.HotReset) == nil || r.c.Disable(n) == nil ||
				r.c.Acknowledge(n, 1) == nil {
				t.Errorf("port %d", n)
			}
		}
	})
}

// token waits for a value from Changes.
func (r *rig) token(what string) {
	r.t.Helper()
	select {
	case <-r.c.Changes():
	case <-time.After(time.Second):
		r.t.Errorf("%s: no token", what)
	}
}

func TestPortChanges(t *testing.T) {
	run(t, xhcitest.Options{}, func(r *rig) {
		r.token("from the start")
		r.hw.Attach(1, xhcitest.NewScript(usb.SpeedFull))
		r.token("attached")
		time.Sleep(100 * time.Millisecond)
		for len(r.c.Changes()) > 0 {
			<-r.c.Changes()
		}
		if err := r.c.Acknowledge(1, 0); err != nil {
			t.Fatal(err)
		}
		r.token("the changes that remain are reported again")
		r.hw.OverCurrent(2, true)
		r.token("over-current")
		if s, _ := r.c.Port(2); !s.OverCurrent || s.Change&usbhost.OverCurrentChange == 0 {
			t.Errorf("%+v", s)
		}
		r.hw.OverCurrent(2, false)
		r.token("over-current ends")
		r.hw.Set(func(f *xhcitest.Faults) { f.DropPorts = true })
		time.Sleep(100 * time.Millisecond)
		for len(r.c.Changes()) > 0 {
			<-r.c.Changes()
		}
		r.hw.Attach(1, nil)
		r.token("an event that was lost")
	})
}
