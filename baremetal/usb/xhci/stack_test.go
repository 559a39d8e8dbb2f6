package xhci

import (
	"context"
	"testing"
	"time"

	"tamaccid/baremetal/usb"
	"tamaccid/baremetal/usb/xhci/xhcitest"
	"tamaccid/ccid"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
)

// hello attaches a reader of a kind to a port and has its card say hello, through the bus and the class driver.
func hello(r *rig, kind string, port int) {
	r.t.Helper()
	m, err := reader.Named(kind)
	if err != nil {
		r.t.Fatal(err)
	}
	d := reader.NewDevice(m)
	d.Reader(0).Insert(0, card.T1())
	r.hw.Attach(port, xhcitest.Reader(d))
	said := make(chan string, 1)
	bus := usb.New(usb.Options{Attach: func(ctx context.Context, i *usb.Interface) {
		said <- converse(ctx, r.t, i)
		<-ctx.Done()
	}})
	if err := bus.Add(r.c); err != nil {
		r.t.Fatal(err)
	}
	select {
	case s := <-said:
		if s != card.HelloText {
			r.t.Errorf("%s: %q", kind, s)
		}
	case <-time.After(20 * time.Second):
		r.t.Errorf("%s: no answer", kind)
	}
	if err := bus.Close(); err != nil {
		r.t.Error(err)
	}
}

func converse(ctx context.Context, t *testing.T, i *usb.Interface) string {
	tr, err := i.Claim()
	if err != nil {
		t.Error(err)
		return ""
	}
	rd, err := ccid.Open(ctx, tr, ccid.Options{})
	if err != nil {
		t.Error(err)
		return ""
	}
	defer rd.Close()
	s := rd.Slots()[0]
	if _, err := s.Connect(ctx, ccid.T0|ccid.T1, ccid.Leave); err != nil {
		t.Error(err)
		return ""
	}
	answer := make([]byte, 258)
	if _, err := s.Transmit(ctx, append([]byte{0, 0xA4, 4, 0, byte(len(card.HelloAID))}, card.HelloAID...), answer); err != nil {
		t.Error(err)
		return ""
	}
	n, err := s.Transmit(ctx, []byte{0, 0, 0, 0}, answer)
	if err != nil || n < 2 {
		t.Error(n, err)
		return ""
	}
	return string(answer[:n-2])
}

func TestStack(t *testing.T) {
	for _, k := range []struct {
		name, kind string
		port       int
		o          xhcitest.Options
	}{
		{"a full-speed reader on a USB 2 port", "tpdu", 1, xhcitest.Options{}},
		{"a high-speed reader", "high-speed", 2, xhcitest.Options{}},
		{"a SuperSpeed reader on a USB 3 port", "super-speed", 3, xhcitest.Options{}},
		{"contexts of 64 bytes and scratchpads", "extended", 1, xhcitest.Options{LongContexts: true, Scratchpads: 40}},
		{"ports with power switches", "short", 1, xhcitest.Options{PortPower: true}},
		{"a controller with speed numbers of its own", "tpdu", 1, xhcitest.Options{SpeedTable: true}},
		{"version 0.96", "tpdu", 1, xhcitest.Options{Version: 0x0096}},
		{"a controller that firmware had", "tpdu", 1, xhcitest.Options{Firmware: true}},
	} {
		t.Run(k.name, func(t *testing.T) {
			run(t, k.o, func(r *rig) { hello(r, k.kind, k.port) })
		})
	}
}
