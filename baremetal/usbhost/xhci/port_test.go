package xhci

import (
	"testing"
	"time"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/xhci/xhcitest"
	"tamaccid/ccid/usb"
)

func TestPortStatus(t *testing.T) {
	two, three := rootPort{major: 2, speeds: defaultSpeeds(2)}, rootPort{major: 3, speeds: defaultSpeeds(3)}
	for _, k := range []struct {
		name string
		v    uint32
		p    rootPort
		want usbhost.PortStatus
	}{
		{"nothing there", 0x2A0, two, usbhost.PortStatus{Powered: true}},
		{"connected, not enabled: no speed yet", 0x20EE1 | 1, two, usbhost.PortStatus{Connected: true, Powered: true, Change: usbhost.ConnectChange}},
		{"enabled at high speed", 0xE03, two, usbhost.PortStatus{Connected: true, Enabled: true, Powered: true, Speed: usb.SpeedHigh}},
		{"in reset", 0x311, two, usbhost.PortStatus{Connected: true, Powered: true, Resetting: true}},
		{"over-current", 0x100008, two, usbhost.PortStatus{OverCurrent: true, Change: usbhost.OverCurrentChange}},
		{"SuperSpeed", 0x1203, three, usbhost.PortStatus{Connected: true, Enabled: true, Powered: true, USB3: true, Speed: usb.SpeedSuper}},
		{"SuperSpeed+ under a number of no table", 0x2203 | 15<<10, three, usbhost.PortStatus{Connected: true, Enabled: true, Powered: true, USB3: true}},
		{"inactive", 0x2C1, three, usbhost.PortStatus{Connected: true, Powered: true, USB3: true, Stuck: true}},
		{"compliance", 0x341, three, usbhost.PortStatus{Connected: true, Powered: true, USB3: true, Stuck: true}},
		{"cold attach", 0x1000280, three, usbhost.PortStatus{Powered: true, USB3: true, Stuck: true}},
		{"all changes", 0xFE0000, three, usbhost.PortStatus{USB3: true, Change: usbhost.ConnectChange | usbhost.EnableChange | usbhost.OverCurrentChange | usbhost.ResetChange | usbhost.LinkChange | usbhost.ConfigChange}},
		{"a port of no protocol", 0x20E03, rootPort{}, usbhost.PortStatus{}},
	} {
		if got := portStatus(k.v, k.p); got != k.want {
			t.Errorf("%s: %+v, want %+v", k.name, got, k.want)
		}
	}
}

// TestWritesToAPortDisableNothing: PED, and six changes, act when they are written back as they were read.
func TestWritesToAPortDisableNothing(t *testing.T) {
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
		if s, _ := r.c.Port(1); s.Change != usbhost.ConnectChange|usbhost.ResetChange || !s.Enabled || s.Speed != usb.SpeedHigh {
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
		if err := r.c.Acknowledge(3, usbhost.ResetChange|usbhost.LinkChange|usbhost.ConnectChange); err != nil {
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
			if _, err := r.c.Port(n); err == nil || r.c.SetPower(n, true) == nil || r.c.StartReset(n, usbhost.HotReset) == nil || r.c.Disable(n) == nil || r.c.Acknowledge(n, 1) == nil {
				t.Errorf("port %d", n)
			}
		}
	})
}

// token waits for news of the ports.
func (r *rig) token(what string) {
	r.t.Helper()
	select {
	case <-r.c.Changes():
	case <-time.After(time.Second):
		r.t.Errorf("%s: no token", what)
	}
}

func TestPortChangesAreTold(t *testing.T) {
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
		r.token("what was left over is told again")
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
