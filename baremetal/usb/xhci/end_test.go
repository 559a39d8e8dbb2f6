package xhci

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/baremetal/usb"
	"tamaccid/baremetal/usb/xhci/xhcitest"
	wire "tamaccid/ccid/usb"
)

// TestTheEndOfAController has one for each way that it comes: all that waits ends, with both errors.
func TestTheEndOfAController(t *testing.T) {
	for _, k := range []struct {
		name, why string
		f         func(hw *xhcitest.Controller)
	}{
		{"removed", "removed", func(hw *xhcitest.Controller) { hw.Remove() }},
		{"host controller error", "HCE", func(hw *xhcitest.Controller) { hw.Break(xhcitest.ControllerError) }},
		{"host system error", "HSE", func(hw *xhcitest.Controller) { hw.Break(xhcitest.SystemError) }},
		{"halted by itself", "stopped", func(hw *xhcitest.Controller) { hw.StopByItself() }},
	} {
		t.Run(k.name, func(t *testing.T) {
			onBench(t, func(b *bench) {
				ends := make(chan error)
				for _, e := range []uint8{bulkIn, intIn} {
					go func() {
						_, err := b.in(e, 64, 0)
						ends <- err
					}()
				}
				await()
				k.f(b.hw)
				began := time.Now()
				for range 2 {
					if err := <-ends; !errors.Is(err, usb.ErrDead) || !errors.Is(err, wire.ErrGone) || !strings.Contains(err.Error(), k.why) {
						b.t.Error(err)
					}
				}
				if d := time.Since(began); d > 50*time.Millisecond {
					b.t.Errorf("after %v", d)
				}
				for range b.c.Changes() {
				}
				if err := b.c.Err(); !errors.Is(err, usb.ErrDead) {
					b.t.Error(err)
				}
				if _, err := b.in(bulkIn, 64, 0); !errors.Is(err, usb.ErrDead) {
					b.t.Error(err)
				}
				b.d.Release()
			})
		})
	}
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

func TestHalt(t *testing.T) {
	for _, clock := range []func() int64{nil, func() int64 { return 0 }} {
		runWith(t, xhcitest.Options{}, Options{Clock: clock}, func(r *rig) {
			b := r.bench()
			end := make(chan error)
			go func() {
				_, err := b.in(bulkIn, 64, 0)
				end <- err
			}()
			await()
			r.c.Halt()
			if r.hw.Running() {
				t.Error("the controller still runs")
			}
			if err := <-end; !errors.Is(err, usb.ErrDead) {
				t.Error(err)
			}
			synctest.Wait()
			if n := testing.AllocsPerRun(10, r.c.Halt); n != 0 {
				t.Errorf("Halt allocates %v times", n)
			}
		})
	}
}
