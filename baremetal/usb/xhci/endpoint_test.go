package xhci

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/baremetal/usb"
	"tamaccid/baremetal/usb/xhci/xhcitest"
	wire "tamaccid/ccid/usb"
)

// Endpoints of the scripted device.
const (
	bulkIn, bulkOut, intIn = 0x81, 0x02, 0x83
)

// fullSpeed are its endpoints at full speed.
var fullSpeed = []wire.Endpoint{
	{Address: bulkIn, Type: wire.BulkTransfer, MaxPacketSize: 64},
	{Address: bulkOut, Type: wire.BulkTransfer, MaxPacketSize: 64},
	{Address: intIn, Type: wire.InterruptTransfer, MaxPacketSize: 8, Interval: 10},
}

// bench is a rig with one configured full-speed device that follows a script.
type bench struct {
	*rig
	s *xhcitest.Script
	d usb.Device
}

func (r *rig) bench() *bench {
	r.t.Helper()
	s := xhcitest.NewScript(wire.SpeedFull)
	r.hw.Attach(1, s)
	d := r.device(1)
	if err := d.Configure(context.Background(), fullSpeed); err != nil {
		r.t.Fatal(err)
	}
	return &bench{r, s, d}
}

func onBench(t *testing.T, f func(b *bench)) {
	t.Helper()
	run(t, xhcitest.Options{}, func(r *rig) { f(r.bench()) })
}

// in reads n bytes.
func (b *bench) in(endpoint uint8, n int, timeout time.Duration) ([]byte, error) {
	buf := make([]byte, n)
	got, err := b.d.Transfer(context.Background(), endpoint, buf, timeout)
	return buf[:got], err
}

// works has the endpoint do a transfer.
func (b *bench) works(endpoint uint8) {
	b.t.Helper()
	if endpoint == 0 {
		b.s.Add(0, xhcitest.Line{Data: []byte("fine")})
		buf := make([]byte, 4)
		n, err := b.d.Control(context.Background(), wire.Setup{RequestType: 0x80, Request: 6, Length: 4}, buf, time.Second)
		if n != 4 || err != nil || string(buf) != "fine" {
			b.t.Errorf("then the default pipe: %d bytes, %v", n, err)
		}
		return
	}
	b.s.Add(endpoint, xhcitest.Line{Data: []byte("fine")})
	if got, err := b.in(endpoint, 64, time.Second); string(got) != "fine" || err != nil {
		b.t.Errorf("then endpoint %02X: %q, %v", endpoint, got, err)
	}
}

// await is waiting for the transfer of another goroutine to be in flight.
func await() { time.Sleep(20 * time.Millisecond) }

// TestEndpointStates has a row for each cell of the table at the top of endpoint.go.
func TestEndpointStates(t *testing.T) {
	type line = xhcitest.Line
	ctx := context.Background()
	stalled := func(b *bench) {
		b.s.Add(bulkIn, line{Err: wire.ErrStall})
		if _, err := b.in(bulkIn, 64, time.Second); !errors.Is(err, wire.ErrStall) {
			b.t.Errorf("stall: %v", err)
		}
	}
	broken := func(b *bench) { // a reset that the controller refuses, as when a device has gone
		b.hw.Set(func(f *xhcitest.Faults) {
			f.Command = func(kind, _ int) (v xhcitest.Verdict) {
				if kind == xhcitest.ResetEndpoint {
					v.Code = xhcitest.Transaction
				}
				return v
			}
		})
		b.s.Add(bulkIn, line{Err: wire.ErrBabble})
		if _, err := b.in(bulkIn, 64, time.Second); !errors.Is(err, wire.ErrBabble) {
			b.t.Errorf("babble: %v", err)
		}
		b.hw.Set(func(f *xhcitest.Faults) { f.Command = nil })
	}
	// background starts a transfer and returns its error when asked.
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
			if _, err := b.in(bulkIn, 64, time.Second); !errors.Is(err, wire.ErrGone) {
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
			if _, err := b.in(bulkIn, 64, time.Second); !errors.Is(err, wire.ErrStall) || b.s.Left() != 0 {
				b.t.Errorf("a transfer on a halted endpoint: %v", err)
			}
		}},
		{"busy, stall of the default pipe: ready", func(b *bench) {
			b.s.Add(0, line{Err: wire.ErrStall})
			if _, err := b.d.Control(ctx, wire.Setup{RequestType: 0x80, Request: 6, Length: 8}, make([]byte, 8), time.Second); !errors.Is(err, wire.ErrStall) {
				b.t.Error(err)
			}
			b.works(0)
			b.s.Add(0, line{Err: wire.ErrStall})
			if _, err := b.d.Control(ctx, wire.Setup{Request: 9, Value: 1}, nil, time.Second); !errors.Is(err, wire.ErrStall) {
				b.t.Error(err)
			}
			b.works(0)
		}},
		{"busy, babble: an error, and ready with the same sequence number", func(b *bench) {
			b.s.Add(bulkIn, line{Data: make([]byte, 64), Err: wire.ErrBabble})
			if got, err := b.in(bulkIn, 128, time.Second); !errors.Is(err, wire.ErrBabble) || len(got) != 64 {
				b.t.Errorf("%d bytes, %v", len(got), err)
			}
			if n := b.hw.Fresh(1, 3); n != 0 {
				b.t.Errorf("the sequence number was reset")
			}
			b.works(bulkIn)
		}},
		{"busy, one transaction error: tried again", func(b *bench) {
			b.s.Add(bulkIn, line{Err: wire.ErrTransfer}, line{Data: []byte("after all")})
			if got, err := b.in(bulkIn, 64, time.Second); string(got) != "after all" || err != nil {
				b.t.Errorf("%q, %v", got, err)
			}
		}},
		{"busy, transaction errors: given up, and ready", func(b *bench) {
			b.s.Add(bulkIn, line{Err: wire.ErrTransfer}, line{Err: wire.ErrTransfer}, line{Err: wire.ErrTransfer}, line{Err: wire.ErrTransfer})
			if _, err := b.in(bulkIn, 64, time.Second); !errors.Is(err, wire.ErrTransfer) || b.s.Left() != 0 {
				b.t.Errorf("%v, %d lines left", err, b.s.Left())
			}
			b.works(bulkIn)
		}},
		{"busy, transaction error of the default pipe: not tried again", func(b *bench) {
			b.s.Add(0, line{Err: wire.ErrTransfer})
			if _, err := b.d.Control(ctx, wire.Setup{RequestType: 0x80, Request: 6, Length: 8}, make([]byte, 8), time.Second); !errors.Is(err, wire.ErrTransfer) {
				b.t.Error(err)
			}
			b.works(0)
		}},
		{"busy, timeout: what came, and ready", func(b *bench) {
			b.s.Add(bulkIn, line{Data: bytes.Repeat([]byte("x"), 64), Block: true})
			began := time.Now()
			if got, err := b.in(bulkIn, 128, 300*time.Millisecond); !errors.Is(err, wire.ErrTimeout) || len(got) != 64 {
				b.t.Errorf("%d bytes, %v", len(got), err)
			}
			if d := time.Since(began); d < 300*time.Millisecond || d > 320*time.Millisecond {
				b.t.Errorf("after %v", d)
			}
			b.works(bulkIn)
		}},
		{"busy, timeout of a control transfer: ready", func(b *bench) {
			b.s.Add(0, line{Block: true})
			if _, err := b.d.Control(ctx, wire.Setup{RequestType: 0x80, Request: 6, Length: 8}, make([]byte, 8), time.Second); !errors.Is(err, wire.ErrTimeout) {
				b.t.Error(err)
			}
			b.works(0)
		}},
		{"busy, context ends", func(b *bench) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			if _, err := b.d.Transfer(ctx, bulkIn, make([]byte, 64), 0); !errors.Is(err, context.Canceled) {
				b.t.Error(err)
			}
			b.works(bulkIn)
		}},
		{"busy, cancel", func(b *bench) {
			b.d.Cancel(bulkIn) // nothing in flight: nothing happens
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
			if time.Since(began) < 900*time.Millisecond || !errors.Is(end(), wire.ErrTimeout) {
				b.t.Error("reset under the transfer")
			}
			b.works(bulkIn)
		}},
		{"busy, release: gone", func(b *bench) {
			end := background(b, 0)
			b.d.Release()
			if err := end(); !errors.Is(err, wire.ErrGone) {
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
			if err := end(); !errors.Is(err, wire.ErrGone) {
				b.t.Error(err)
			}
			b.s.Add(intIn, line{Data: []byte("k")})
			if err := <-other; err != nil {
				b.t.Errorf("an endpoint that stayed: %v", err)
			}
			if _, err := b.in(bulkIn, 64, time.Second); !errors.Is(err, wire.ErrTransfer) {
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
		{"broken, transfer: brought into order first", func(b *bench) { broken(b); b.works(bulkIn) }},
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
			_, control := b.d.Control(ctx, wire.Setup{}, nil, time.Second)
			_, address := b.d.Address(ctx)
			for i, err := range []error{in, control, address, b.d.ResetEndpoint(ctx, bulkIn), b.d.Configure(ctx, fullSpeed), b.d.SetMaxPacketSize0(ctx, 64), b.d.SetHub(ctx, usb.HubInfo{})} {
				if !errors.Is(err, wire.ErrGone) {
					b.t.Errorf("%d: %v", i, err)
				}
			}
			b.d.Cancel(bulkIn)
		}},
	} {
		t.Run(k.name, func(t *testing.T) { onBench(t, k.f) })
	}
}

// TestTransactionErrorsBehindATranslator are not tried again by software (xHCI 1.2, 4.6.8.1): the translator may still hold the first try.
func TestTransactionErrorsBehindATranslator(t *testing.T) {
	ctx := context.Background()
	run(t, xhcitest.Options{}, func(r *rig) {
		hub, s := xhcitest.NewHub(4), xhcitest.NewScript(wire.SpeedFull)
		r.hw.Attach(1, hub)
		h := r.device(1)
		hub.Attach(2, s)
		for _, feature := range []uint16{8, 4} { // power, reset
			if _, err := h.Control(ctx, wire.Setup{RequestType: 0x23, Request: 3, Value: feature, Index: 2}, nil, time.Second); err != nil {
				t.Fatal(err)
			}
		}
		await()
		d, err := r.c.NewDevice(ctx, usb.Location{RootPort: 1, Route: 2, Tier: 1, Speed: wire.SpeedFull, TTHub: h, TTPort: 2})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Address(ctx); err != nil {
			t.Fatal(err)
		}
		if err := d.Configure(ctx, fullSpeed); err != nil {
			t.Fatal(err)
		}
		b := &bench{r, s, d}
		s.Add(bulkIn, xhcitest.Line{Err: wire.ErrTransfer})
		if _, err := b.in(bulkIn, 64, time.Second); !errors.Is(err, wire.ErrTransfer) {
			t.Error(err)
		}
		b.works(bulkIn)
	})
}

// TestDataComeThroughChains moves all lengths around the sizes of pieces, both ways and through the default pipe.
func TestDataComeThroughChains(t *testing.T) {
	pattern := make([]byte, maxTransfer)
	for i := range pattern {
		pattern[i] = byte(i ^ i>>8)
	}
	onBench(t, func(b *bench) {
		for _, n := range []int{0, 1, 63, 64, 65, 4095, 4096, 4097, 8191, 8192, 8193, 12288, 65472, 65535, 65536} {
			want := pattern[:n]
			b.s.Add(bulkOut, xhcitest.Line{})
			if got, err := b.d.Transfer(context.Background(), bulkOut, want, time.Second); got != n || err != nil || !bytes.Equal(b.s.Writes[len(b.s.Writes)-1], want) {
				b.t.Errorf("OUT of %d bytes: %d, %v", n, got, err)
			}
			for _, room := range []int{(n + 63) &^ 63, 65536} {
				b.s.Add(bulkIn, xhcitest.Line{Data: want})
				if got, err := b.in(bulkIn, room, time.Second); err != nil || !bytes.Equal(got, want) {
					b.t.Errorf("IN of %d bytes into %d: %d, %v", n, room, len(got), err)
				}
			}
			if n > 65535 {
				continue
			}
			b.s.Add(0, xhcitest.Line{Data: want}, xhcitest.Line{})
			buf := make([]byte, 65535)
			if got, err := b.d.Control(context.Background(), wire.Setup{RequestType: 0xA1, Length: 65535}, buf, time.Second); got != n || err != nil || !bytes.Equal(buf[:got], want) {
				b.t.Errorf("control IN of %d bytes: %d, %v", n, got, err)
			}
			if got, err := b.d.Control(context.Background(), wire.Setup{RequestType: 0x21, Length: uint16(n)}, want, time.Second); got != n || err != nil || !bytes.Equal(b.s.Writes[len(b.s.Writes)-1], want) {
				b.t.Errorf("control OUT of %d bytes: %d, %v", n, got, err)
			}
		}
		if _, err := b.in(bulkIn, maxTransfer+1, time.Second); !errors.Is(err, wire.ErrTransfer) {
			b.t.Errorf("more than MaxTransfer: %v", err)
		}
		if _, err := b.d.Control(context.Background(), wire.Setup{RequestType: 0x80, Length: 9}, make([]byte, 8), time.Second); !errors.Is(err, wire.ErrTransfer) {
			b.t.Errorf("less data than wLength: %v", err)
		}
	})
}

func TestSecretsDoNotStayInSharedMemory(t *testing.T) {
	const secret = "PIN 31415926"
	onBench(t, func(b *bench) {
		b.s.Add(bulkOut, xhcitest.Line{}, xhcitest.Line{Block: true})
		b.s.Add(bulkIn, xhcitest.Line{Data: []byte(secret)}, xhcitest.Line{Data: []byte(secret), Block: true})
		b.s.Add(0, xhcitest.Line{})
		for range 2 { // one ends well, one does not
			b.d.Transfer(context.Background(), bulkOut, []byte(secret), time.Second)
			b.in(bulkIn, 64, time.Second)
		}
		b.d.Control(context.Background(), wire.Setup{RequestType: 0x21, Length: uint16(len(secret))}, []byte(secret), time.Second)
		if b.s.Left() != 0 || b.mem.Holds(secret) {
			b.t.Error("a secret is left in memory that the controller shares")
		}
	})
}

func TestUnplugDuringTransfers(t *testing.T) {
	onBench(t, func(b *bench) {
		ends := make(chan error)
		for _, e := range []uint8{bulkIn, intIn} {
			go func() {
				_, err := b.in(e, 64, 0)
				ends <- err
			}()
		}
		go func() {
			_, err := b.d.Control(context.Background(), wire.Setup{RequestType: 0x80, Length: 8}, make([]byte, 8), 0)
			ends <- err
		}()
		await()
		b.hw.Attach(1, nil)
		for range 3 {
			if err := <-ends; !errors.Is(err, wire.ErrTransfer) {
				b.t.Error(err)
			}
		}
		<-b.c.Changes()
		if s, err := b.c.Port(1); err != nil || s.Connected || s.Change&usb.ConnectChange == 0 {
			b.t.Errorf("%+v, %v", s, err)
		}
		b.d.Release()
		b.bench().works(bulkIn) // another one, in its place
	})
}

func TestCloseEndsTransfers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := xhcitest.NewMemory(busBase, t.Errorf)
		hw := xhcitest.New(mem, xhcitest.Options{Fail: t.Errorf})
		c, err := New(hw, mem, Options{})
		if err != nil {
			t.Fatal(err)
		}
		b := (&rig{t, c, hw, mem}).bench()
		end := make(chan error)
		go func() {
			_, err := b.in(bulkIn, 64, 0)
			end <- err
		}()
		await()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := <-end; !errors.Is(err, wire.ErrGone) || !errors.Is(err, usb.ErrDead) {
			t.Error(err)
		}
		if hw.Running() || mem.InUse() != 0 {
			t.Error("the controller goes on")
		}
		b.d.Release()
		_, port := c.Port(1)
		_, device := c.NewDevice(context.Background(), usb.Location{RootPort: 1})
		for i, err := range []error{c.Err(), port, device, c.StartReset(1, usb.HotReset), c.SetPower(1, true), c.Acknowledge(1, 0), b.d.ResetEndpoint(context.Background(), bulkIn)} {
			if i > 0 && i != 4 && !errors.Is(err, usb.ErrDead) {
				t.Errorf("%d: %v", i, err)
			}
		}
		for range c.Changes() {
		}
		hw.Close()
		mem.Check()
	})
}
