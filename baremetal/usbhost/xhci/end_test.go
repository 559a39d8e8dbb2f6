package xhci

import (
	"context"
	"errors"
	"math/rand"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/hcd"
	"tamaccid/baremetal/usbhost/xhci/xhcitest"
	"tamaccid/ccid/usb"
)

// TestFailuresOfAController: all calls that wait end with both errors.
func TestFailuresOfAController(t *testing.T) {
	for _, k := range []struct {
		name, why string
		f         func(hw *xhcitest.Controller)
	}{
		{name: "removed", why: "removed", f: func(hw *xhcitest.Controller) { hw.Remove() }},
		{name: "host controller error", why: "HCE",
			f: func(hw *xhcitest.Controller) { hw.Break(xhcitest.ControllerError) }},
		{name: "host system error", why: "HSE",
			f: func(hw *xhcitest.Controller) { hw.Break(xhcitest.SystemError) }},
		{name: "halted by itself", why: "stopped",
			f: func(hw *xhcitest.Controller) { hw.StopByItself() }},
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
					if err := <-ends; !errors.Is(err, usbhost.ErrDead) ||
						!errors.Is(err, usb.ErrGone) || !strings.Contains(err.Error(), k.why) {
						b.t.Error(err)
					}
				}
				if d := time.Since(began); d > 50*time.Millisecond {
					b.t.Errorf("after %v", d)
				}
				for range b.c.Changes() {
				}
				if err := b.c.Err(); !errors.Is(err, usbhost.ErrDead) {
					b.t.Error(err)
				}
				if _, err := b.in(bulkIn, 64, 0); !errors.Is(err, usbhost.ErrDead) {
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
		c, err := New(hw, mem, hcd.Options{})
		if err != nil {
			t.Fatal(err)
		}
		b := (&rig{t: t, c: c, hw: hw, mem: mem}).bench()
		end := make(chan error)
		go func() {
			_, err := b.in(bulkIn, 64, 0)
			end <- err
		}()
		await()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := <-end; !errors.Is(err, usb.ErrGone) || !errors.Is(err, usbhost.ErrDead) {
			t.Error(err)
		}
		if hw.Running() || mem.InUse() != 0 {
			t.Error("the controller goes on")
		}
		b.d.Release()
		_, port := c.Port(1)
		_, device := c.NewDevice(context.Background(), usbhost.Location{RootPort: 1})
		for i, err := range []error{c.Err(), port, device, c.StartReset(1, usbhost.HotReset),
			c.SetPower(1, true), c.Acknowledge(1, 0),
			b.d.ResetEndpoint(context.Background(), bulkIn)} {
			if i > 0 && i != 4 && !errors.Is(err, usbhost.ErrDead) {
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
		runWith(t, xhcitest.Options{}, hcd.Options{Clock: clock}, func(r *rig) {
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
			if err := <-end; !errors.Is(err, usbhost.ErrDead) {
				t.Error(err)
			}
			synctest.Wait()
			if n := testing.AllocsPerRun(10, r.c.Halt); n != 0 {
				t.Errorf("Halt allocates %v times", n)
			}
		})
	}
}

// TestCloseAtAnyMoment closes a controller while devices are created, configured, used, reset and
// released.
func TestCloseAtAnyMoment(t *testing.T) {
	for seed := range int64(40) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewSource(seed))
			mem := xhcitest.NewMemory(busBase, t.Errorf)
			hw := xhcitest.New(mem, xhcitest.Options{Fail: t.Errorf, Ports2: 3})
			lost, random := rnd.Intn(20), rand.New(rand.NewSource(seed))
			hw.Set(func(f *xhcitest.Faults) {
				f.Command = func(kind, _ int) xhcitest.Verdict {
					return xhcitest.Verdict{Lose: kind != xhcitest.DisableSlot &&
						random.Intn(20) == lost}
				}
			})
			c, err := New(hw, mem, hcd.Options{})
			if err != nil {
				t.Fatal(err)
			}
			r := &rig{t: t, c: c, hw: hw, mem: mem}
			var all sync.WaitGroup
			for port := range 3 {
				hw.Attach(port+1, xhcitest.NewScript(usb.SpeedFull))
				at := usbhost.Location{RootPort: uint8(port + 1), Speed: r.enable(port + 1)}
				all.Go(func() {
					for c.Err() == nil {
						useOnce(c, at)
					}
				})
			}
			time.Sleep(time.Duration(rnd.Int63n(int64(8 * time.Second))))
			began := time.Now()
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			all.Wait()
			if d := time.Since(began); d > 100*time.Millisecond {
				t.Errorf("seed %d: after %v", seed, d)
			}
			hw.Close()
			if mem.Check(); mem.InUse() != 0 {
				t.Errorf("seed %d: %d bytes of memory not given back", seed, mem.InUse())
			}
		})
	}
}

// useOnce creates a device, calls all its methods concurrently, and releases it.
func useOnce(c *Controller, at usbhost.Location) {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	d, err := c.NewDevice(ctx, at)
	if err != nil {
		return
	}
	defer d.Release()
	if _, err := d.Address(ctx); err != nil {
		return
	}
	if d.Configure(ctx, fullSpeed) != nil {
		return
	}
	var all sync.WaitGroup
	all.Go(func() { d.Transfer(ctx, bulkIn, make([]byte, 64), 0) })
	all.Go(func() { d.Transfer(ctx, bulkOut, make([]byte, 64), 50*time.Millisecond) })
	all.Go(func() { d.ResetEndpoint(ctx, intIn) })
	all.Go(func() { d.Configure(ctx, fullSpeed[:2]) })
	all.Wait()
}

// trap calls a function when the driver writes ERDP, which it does with c.mu held.
type trap struct {
	*xhcitest.Controller
	spring func()
}

func (r *trap) Write32(at, v uint32) {
	r.Controller.Write32(at, v)
	if at != 0x103C || r.spring == nil {
		return
	}
	f := r.spring
	r.spring = nil
	f()
}

// TestAFailureDuringATransfer: the data are lost, but the transfer does not return 0 bytes without
// an error.
func TestAFailureDuringATransfer(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			mem := xhcitest.NewMemory(busBase, t.Errorf)
			hw := xhcitest.New(mem, xhcitest.Options{Fail: t.Errorf})
			regs := &trap{Controller: hw}
			c, err := New(regs, mem, hcd.Options{Interrupt: hw.Interrupt})
			if err != nil {
				t.Fatal(err)
			}
			b := (&rig{t: t, c: c, hw: hw, mem: mem}).bench()
			c.mu.Lock()
			regs.spring = func() { c.end("removed") }
			c.mu.Unlock()
			b.s.Add(bulkIn, xhcitest.Line{Data: []byte("too late")})
			if got, err := b.in(bulkIn, 64, time.Second); !errors.Is(err, usbhost.ErrDead) {
				t.Errorf("%q, %v", got, err)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			hw.Close()
			if mem.Check(); mem.InUse() != 0 {
				t.Errorf("%d bytes of memory not given back", mem.InUse())
			}
		})
	}
}
