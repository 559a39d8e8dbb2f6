package xhci

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/xhci/xhcitest"
	"tamaccid/ccid/usb"
)

// TestEndpointStates has a row for each cell of the table at the top of endpoint.go.
func TestEndpointStates(t *testing.T) {
	type line = xhcitest.Line
	ctx := context.Background()
	stalled := func(b *bench) {
		b.s.Add(bulkIn, line{Err: usb.ErrStall})
		if _, err := b.in(bulkIn, 64, time.Second); !errors.Is(err, usb.ErrStall) {
			b.t.Errorf("stall: %v", err)
		}
	}
	broken := func(b *bench) { // a reset that the controller rejects, as after a disconnect
		b.hw.Set(func(f *xhcitest.Faults) {
			f.Command = func(kind, _ int) (v xhcitest.Verdict) {
				if kind == xhcitest.ResetEndpoint {
					v.Code = xhcitest.Transaction
				}
				return v
			}
		})
		b.s.Add(bulkIn, line{Err: usb.ErrBabble})
		if _, err := b.in(bulkIn, 64, time.Second); !errors.Is(err, usb.ErrBabble) {
			b.t.Errorf("babble: %v", err)
		}
		b.hw.Set(func(f *xhcitest.Faults) { f.Command = nil })
	}
	// background starts a transfer. The returned function returns its error.
	background := func(b *bench, timeout time.Duration) func() error {
		done := make(chan error, 1)
		go func() {
			_, err := b.in(bulkIn, 64, timeout)
			done <- err
		}()
		await()
		return func() error { return <-done }
	}
	for _, k := range []struct {
		name string
		f    func(b *bench)
	}{
		{"ready, transfer: it is done", func(b *bench) { b.works(bulkIn) }},
		{"ready, reset: DATA0 by dropping and adding", func(b *bench) {
			b.works(bulkIn)
			if err := b.d.ResetEndpoint(ctx, bulkIn); err != nil {
				b.t.Error(err)
			}
			if n := b.hw.Fresh(1, 3); n != 1 {
				b.t.Errorf("%d resets of the sequence number", n)
			}
			b.works(bulkIn)
		}},
		{"ready, release: gone", func(b *bench) {
			b.d.Release()
			if _, err := b.in(bulkIn, 64, time.Second); !errors.Is(err, usb.ErrGone) {
				b.t.Error(err)
			}
			b.d.Release()
		}},
		{"busy, a second transfer waits", func(b *bench) {
			first, second := background(b, 0), background(b, 0)
			b.s.Add(bulkIn, line{Data: []byte("1")})
			await()
			b.s.Add(bulkIn, line{Data: []byte("2")})
			if err := errors.Join(first(), second()); err != nil {
				b.t.Error(err)
			}
		}},
		{"busy, short: what came", func(b *bench) {
			b.s.Add(bulkIn, line{Data: []byte("short")})
			if got, err := b.in(bulkIn, 640, time.Second); string(got) != "short" || err != nil {
				b.t.Errorf("%q, %v", got, err)
			}
			b.works(bulkIn)
		}},
		{"busy, stall: halted", func(b *bench) {
			stalled(b)
			if _, err := b.in(bulkIn, 64, time.Second); !errors.Is(err, usb.ErrStall) ||
				b.s.Left() != 0 {
				b.t.Errorf("a transfer on a halted endpoint: %v", err)
			}
		}},
		{"busy, stall of the default pipe: ready", func(b *bench) {
			b.s.Add(0, line{Err: usb.ErrStall})
			if _, err := b.d.Control(ctx, usb.Setup{RequestType: 0x80, Request: 6, Length: 8},
				make([]byte, 8), time.Second); !errors.Is(err, usb.ErrStall) {
				b.t.Error(err)
			}
			b.works(0)
			b.s.Add(0, line{Err: usb.ErrStall})
			if _, err := b.d.Control(ctx, usb.Setup{Request: 9, Value: 1}, nil,
				time.Second); !errors.Is(err, usb.ErrStall) {
				b.t.Error(err)
			}
			b.works(0)
		}},
		{"busy, babble: an error, and ready with the same sequence number", func(b *bench) {
			b.s.Add(bulkIn, line{Data: make([]byte, 64), Err: usb.ErrBabble})
			if got, err := b.in(bulkIn, 128, time.Second); !errors.Is(err, usb.ErrBabble) ||
				len(got) != 64 {
				b.t.Errorf("%d bytes, %v", len(got), err)
			}
			if n := b.hw.Fresh(1, 3); n != 0 {
				b.t.Errorf("the sequence number was reset")
			}
			b.works(bulkIn)
		}},
		{"busy, transaction error: an error, and ready with the same sequence number",
			func(b *bench) {
				b.s.Add(bulkIn, line{Data: make([]byte, 64), Err: usb.ErrTransfer})
				if got, err := b.in(bulkIn, 128, time.Second); !errors.Is(err, usb.ErrTransfer) ||
					len(got) != 64 {
					b.t.Errorf("%d bytes, %v", len(got), err)
				}
				if n := b.hw.Fresh(1, 3); n != 0 {
					b.t.Errorf("the sequence number was reset")
				}
				b.works(bulkIn)
			}},
		{"busy, transaction error of the default pipe: ready", func(b *bench) {
			b.s.Add(0, line{Err: usb.ErrTransfer})
			if _, err := b.d.Control(ctx, usb.Setup{RequestType: 0x80, Request: 6, Length: 8},
				make([]byte, 8), time.Second); !errors.Is(err, usb.ErrTransfer) {
				b.t.Error(err)
			}
			b.works(0)
		}},
		{"busy, timeout: what came, and ready", func(b *bench) {
			b.s.Add(bulkIn, line{Data: bytes.Repeat([]byte("x"), 64), Block: true})
			began := time.Now()
			if got, err := b.in(bulkIn, 128, 300*time.Millisecond); !errors.Is(err,
				usb.ErrTimeout) || len(got) != 64 {
				b.t.Errorf("%d bytes, %v", len(got), err)
			}
			if d := time.Since(began); d < 300*time.Millisecond || d > 320*time.Millisecond {
				b.t.Errorf("after %v", d)
			}
			b.works(bulkIn)
		}},
		{"busy, timeout of a control transfer: ready", func(b *bench) {
			b.s.Add(0, line{Block: true})
			if _, err := b.d.Control(ctx, usb.Setup{RequestType: 0x80, Request: 6, Length: 8},
				make([]byte, 8), time.Second); !errors.Is(err, usb.ErrTimeout) {
				b.t.Error(err)
			}
			b.works(0)
		}},
		{"busy, context ends", func(b *bench) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			if _, err := b.d.Transfer(ctx, bulkIn, make([]byte, 64), 0); !errors.Is(err,
				context.Canceled) {
				b.t.Error(err)
			}
			b.works(bulkIn)
		}},
		{"busy, cancel", func(b *bench) {
			b.d.Cancel(bulkIn) // nothing is in flight: no effect
			end := background(b, 0)
			b.d.Cancel(bulkIn)
			if err := end(); !errors.Is(err, context.Canceled) {
				b.t.Error(err)
			}
			b.works(bulkIn)
		}},
		{"busy, reset waits", func(b *bench) {
			end := background(b, time.Second)
			began := time.Now()
			if err := b.d.ResetEndpoint(ctx, bulkIn); err != nil {
				b.t.Error(err)
			}
			if time.Since(began) < 900*time.Millisecond || !errors.Is(end(), usb.ErrTimeout) {
				b.t.Error("reset under the transfer")
			}
			b.works(bulkIn)
		}},
		{"busy, release: gone", func(b *bench) {
			end := background(b, 0)
			b.d.Release()
			if err := end(); !errors.Is(err, usb.ErrGone) {
				b.t.Error(err)
			}
		}},
		{"busy, another configuration: gone, others go on", func(b *bench) {
			end := background(b, 0)
			other := make(chan error, 1)
			go func() {
				_, err := b.in(intIn, 8, 0)
				other <- err
			}()
			await()
			if err := b.d.Configure(ctx, fullSpeed[1:]); err != nil {
				b.t.Error(err)
			}
			if err := end(); !errors.Is(err, usb.ErrGone) {
				b.t.Error(err)
			}
			b.s.Add(intIn, line{Data: []byte("k")})
			if err := <-other; err != nil {
				b.t.Errorf("an endpoint that stayed: %v", err)
			}
			if _, err := b.in(bulkIn, 64, time.Second); !errors.Is(err, usb.ErrTransfer) {
				b.t.Errorf("an endpoint that is no more: %v", err)
			}
			if err := b.d.Configure(ctx, fullSpeed); err != nil {
				b.t.Error(err)
			}
			b.works(bulkIn)
		}},
		{"halted, reset: DATA0, ready", func(b *bench) {
			stalled(b)
			if err := b.d.ResetEndpoint(ctx, bulkIn); err != nil {
				b.t.Error(err)
			}
			if n := b.hw.Fresh(1, 3); n != 1 {
				b.t.Errorf("%d resets of the sequence number", n)
			}
			b.works(bulkIn)
		}},
		{"halted, release", func(b *bench) { stalled(b); b.d.Release() }},
		{"broken, transfer: recovered first", func(b *bench) { broken(b); b.works(bulkIn) }},
		{"broken, reset: ready", func(b *bench) {
			broken(b)
			if err := b.d.ResetEndpoint(ctx, bulkIn); err != nil {
				b.t.Error(err)
			}
			b.works(bulkIn)
		}},
		{"broken, release", func(b *bench) { broken(b); b.d.Release() }},
		{"closed, transfer, reset, anything: gone", func(b *bench) {
			b.d.Release()
			_, in := b.in(bulkIn, 64, time.Second)
			_, control := b.d.Control(ctx, usb.Setup{}, nil, time.Second)
			_, address := b.d.Address(ctx)
			for i, err := range []error{in, control, address, b.d.ResetEndpoint(ctx, bulkIn),
				b.d.Configure(ctx, fullSpeed), b.d.SetMaxPacketSize0(ctx, 64),
				b.d.SetHub(ctx, usbhost.HubInfo{})} {
				if !errors.Is(err, usb.ErrGone) {
					b.t.Errorf("%d: %v", i, err)
				}
			}
			b.d.Cancel(bulkIn)
		}},
	} {
		t.Run(k.name, func(t *testing.T) { onBench(t, k.f) })
	}
}

// TestTransactionErrorsBehindATranslator: the driver does not repeat the transfer, and the endpoint
// is ready.
func TestTransactionErrorsBehindATranslator(t *testing.T) {
	ctx := context.Background()
	run(t, xhcitest.Options{}, func(r *rig) {
		hub, s := newHub(false), xhcitest.NewScript(usb.SpeedFull)
		r.hw.Attach(1, hub)
		h, err := r.c.NewDevice(ctx, usbhost.Location{RootPort: 1, Speed: r.enable(1)})
		if err != nil {
			t.Fatal(err)
		}
		address, err := h.Address(ctx)
		if err != nil {
			t.Fatal(err)
		}
		hub.Plug(2, s)
		for _, setup := range []usb.Setup{
			{Request: usb.RequestSetConfiguration, Value: 1},
			{RequestType: 0x23, Request: usb.RequestSetFeature, Value: 8, Index: 2}, // PORT_POWER
			{RequestType: 0x23, Request: usb.RequestSetFeature, Value: 4, Index: 2}, // PORT_RESET
		} {
			if _, err := h.Control(ctx, setup, nil, time.Second); err != nil {
				t.Fatal(err)
			}
		}
		for _, err := range []error{h.SetHub(ctx, usbhost.HubInfo{Ports: 4}),
			h.Configure(ctx, nil)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		await()
		d, err := r.c.NewDevice(ctx,
			usbhost.Location{RootPort: 1, Route: 2, Tier: 1, Speed: usb.SpeedFull, TTHub: address,
				TTPort: 2})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Address(ctx); err != nil {
			t.Fatal(err)
		}
		if err := d.Configure(ctx, fullSpeed); err != nil {
			t.Fatal(err)
		}
		b := &bench{rig: r, s: s, d: d}
		s.Add(bulkIn, xhcitest.Line{Err: usb.ErrTransfer})
		if _, err := b.in(bulkIn, 64, time.Second); !errors.Is(err, usb.ErrTransfer) {
			t.Error(err)
		}
		b.works(bulkIn)
	})
}
