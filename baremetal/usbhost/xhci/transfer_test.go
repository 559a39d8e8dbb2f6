package xhci

import (
	"bytes"
	"context"
	"errors"
	"math/rand"
	"testing"
	"time"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/xhci/xhcitest"
	"tamaccid/ccid/usb"
)

// TestDataOfSeveralTRBs transfers all lengths around the sizes of pieces, in both directions and on
// the default control pipe. The model checks the TD sizes, whose unit depends on the version.
func TestDataOfSeveralTRBs(t *testing.T) {
	for _, version := range []uint16{0x0096, 0x0120} {
		run(t, xhcitest.Options{Version: version},
			func(r *rig) { dataComeThroughChains(r.bench()) })
	}
}

func dataComeThroughChains(b *bench) {
	pattern := make([]byte, maxTransfer)
	for i := range pattern {
		pattern[i] = byte(i ^ i>>8)
	}
	for _, n := range []int{0, 1, 63, 64, 65, 4095, 4096, 4097, 8191, 8192, 8193, 12288, 65472,
		65535, 65536} {
		want := pattern[:n]
		b.s.Add(bulkOut, xhcitest.Line{})
		if got, err := b.d.Transfer(context.Background(), bulkOut, want, time.Second); got != n ||
			err != nil || !bytes.Equal(b.s.Writes[len(b.s.Writes)-1], want) {
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
		if got, err := b.d.Control(context.Background(),
			usb.Setup{RequestType: 0xA1, Length: 65535}, buf, time.Second); got != n ||
			err != nil || !bytes.Equal(buf[:got], want) {
			b.t.Errorf("control IN of %d bytes: %d, %v", n, got, err)
		}
		if got, err := b.d.Control(context.Background(),
			usb.Setup{RequestType: 0x21, Length: uint16(n)}, want, time.Second); got != n ||
			err != nil || !bytes.Equal(b.s.Writes[len(b.s.Writes)-1], want) {
			b.t.Errorf("control OUT of %d bytes: %d, %v", n, got, err)
		}
	}
	if _, err := b.in(bulkIn, maxTransfer+1, time.Second); !errors.Is(err, usb.ErrTransfer) {
		b.t.Errorf("more than MaxTransfer: %v", err)
	}
	if _, err := b.d.Control(context.Background(), usb.Setup{RequestType: 0x80, Length: 9},
		make([]byte, 8), time.Second); !errors.Is(err, usb.ErrTransfer) {
		b.t.Errorf("less data than wLength: %v", err)
	}
}

func TestSecretsDoNotStayInSharedMemory(t *testing.T) {
	const secret = "PIN 31415926"
	onBench(t, func(b *bench) {
		b.s.Add(bulkOut, xhcitest.Line{}, xhcitest.Line{Block: true})
		b.s.Add(bulkIn, xhcitest.Line{Data: []byte(secret)},
			xhcitest.Line{Data: []byte(secret), Block: true})
		b.s.Add(0, xhcitest.Line{})
		for range 2 { // one succeeds, one fails
			b.d.Transfer(context.Background(), bulkOut, []byte(secret), time.Second)
			b.in(bulkIn, 64, time.Second)
		}
		b.d.Control(context.Background(), usb.Setup{RequestType: 0x21, Length: uint16(len(secret))},
			[]byte(secret), time.Second)
		if b.s.Left() != 0 || b.mem.Holds(secret) {
			b.t.Error("a secret is left in memory that the controller shares")
		}
	})
}

// TestSecretsDoNotOutliveTheController: the memory is in use until Close, but Wipe clears its data.
func TestSecretsDoNotOutliveTheController(t *testing.T) {
	const secret = "PIN 31415926"
	for _, k := range []struct {
		name string
		f    func(b *bench)
	}{
		{"it breaks", func(b *bench) { b.hw.Break(xhcitest.ControllerError); await() }},
		{"it is removed", func(b *bench) { b.hw.Remove(); await() }},
		{"the program ends in the middle", func(b *bench) { b.c.Wipe() }},
	} {
		t.Run(k.name, func(t *testing.T) {
			onBench(t, func(b *bench) {
				b.s.Add(bulkOut, xhcitest.Line{Block: true})
				end := make(chan error)
				go func() {
					_, err := b.d.Transfer(context.Background(), bulkOut, []byte(secret),
						time.Second)
					end <- err
				}()
				await()
				if !b.mem.Holds(secret) {
					t.Error("the transfer is not in flight")
				}
				k.f(b)
				if b.mem.Holds(secret) {
					t.Error("the secret is still there")
				}
				b.d.Cancel(bulkOut)
				if err := <-end; err == nil {
					t.Error("the transfer went well")
				}
			})
		})
	}
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
			_, err := b.d.Control(context.Background(), usb.Setup{RequestType: 0x80, Length: 8},
				make([]byte, 8), 0)
			ends <- err
		}()
		await()
		b.hw.Attach(1, nil)
		for range 3 {
			if err := <-ends; !errors.Is(err, usb.ErrTransfer) {
				b.t.Error(err)
			}
		}
		<-b.c.Changes()
		if s, err := b.c.Port(1); err != nil || s.Connected || s.Change&usbhost.ConnectChange == 0 {
			b.t.Errorf("%+v, %v", s, err)
		}
		b.d.Release()
		b.bench().works(bulkIn) // another device on the same port
	})
}

// TestNoDataAreLost reads a stream of numbers by transfers that are ended at random times, with the
// deviations of controllers that start and stop endpoints differently. All numbers are received
// once and in order.
func TestNoDataAreLost(t *testing.T) {
	for seed := range int64(10) {
		rnd := rand.New(rand.NewSource(seed))
		faults := xhcitest.Faults{LazyState: rnd.Intn(2) == 0, TwiceSuccess: rnd.Intn(2) == 0,
			ShortSuccess: rnd.Intn(4) == 0,
			SlowStart:    time.Duration(rnd.Intn(3)*rnd.Intn(30)) * time.Millisecond}
		run(t, xhcitest.Options{Faults: faults}, func(r *rig) {
			b := r.bench()
			const count = 100
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				for i := range count {
					b.s.Add(bulkIn, xhcitest.Line{Data: []byte{byte(i)}})
					time.Sleep(time.Duration(rnd.Intn(20)) * time.Millisecond)
				}
			}()
			defer func() { <-sent }()
			next := 0
			for began := time.Now(); next < count && time.Since(began) < 10*time.Second; {
				b.hw.Set(func(f *xhcitest.Faults) { f.LateStop = int(time.Now().UnixNano()) % 5 })
				ctx, cancel := context.WithTimeout(context.Background(),
					time.Duration(1+next*7%13)*time.Millisecond)
				buf := make([]byte, 64<<(next%8))
				n, err := b.d.Transfer(ctx, bulkIn, buf, 0)
				cancel()
				if n > 1 || n == 1 && int(buf[0]) != next || err != nil &&
					!errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("seed %d, %+v: %d bytes, %d in place of %d, %v", seed, faults, n,
						buf[0], next, err)
					return
				}
				next += n
			}
			if next != count || b.s.Left() != 0 {
				t.Errorf("seed %d, %+v: %d numbers came, %d are left", seed, faults, next,
					b.s.Left())
			}
		})
	}
}
