package xhci

import (
	"context"
	"errors"
	"math/rand"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/baremetal/usb"
	"tamaccid/baremetal/usb/xhci/xhcitest"
	wire "tamaccid/ccid/usb"
)

func TestControllersThatDoNotStart(t *testing.T) {
	for _, k := range []struct {
		name   string
		o      xhcitest.Options
		limit  int // of memory
		want   error
		within time.Duration
	}{
		{name: "never ready (CNR)", o: xhcitest.Options{Faults: xhcitest.Faults{NeverReady: true}}, want: errNotReady, within: 12 * time.Second},
		{name: "reset without end", o: xhcitest.Options{Faults: xhcitest.Faults{NeverReset: true}}, want: errNoReset, within: 3 * time.Second},
		{name: "does not stop", o: xhcitest.Options{Faults: xhcitest.Faults{NeverHalts: true}}, want: errNoHalt, within: time.Second},
		{name: "does not run", o: xhcitest.Options{Faults: xhcitest.Faults{NeverRuns: true}}, want: errNoRun, within: 3 * time.Second},
		{name: "no page size", o: xhcitest.Options{Scratchpads: 1, Faults: xhcitest.Faults{Read: map[uint32]uint32{0x48: 0}}}, want: ErrRegisters, within: time.Second},
		{name: "no memory at all", limit: 1, want: usb.ErrNoMemory, within: time.Second},
		{name: "no memory for scratchpads", o: xhcitest.Options{Scratchpads: 1000}, limit: 100_000, want: usb.ErrNoMemory, within: time.Second},
	} {
		t.Run(k.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k.o.Fail = t.Errorf
				mem := xhcitest.NewMemory(busBase, t.Errorf)
				mem.Limit(k.limit)
				hw := xhcitest.New(mem, k.o)
				began := time.Now()
				c, err := New(hw, mem, Options{Size: xhcitest.Size})
				if c != nil || !errors.Is(err, k.want) {
					t.Errorf("%v", err)
				}
				if d := time.Since(began); d > k.within {
					t.Errorf("after %v", d)
				}
				if k.want == errNoRun || k.want == usb.ErrNoMemory || k.want == ErrRegisters {
					if n := mem.InUse(); n != 0 {
						t.Errorf("%d bytes not given back", n)
					}
				}
				hw.Close()
			})
		})
	}
}

func TestMemoryBeyondTheReachOfTheController(t *testing.T) {
	for _, wide := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			mem := xhcitest.NewMemory(0xFFFF_F000, t.Errorf)
			hw := xhcitest.New(mem, xhcitest.Options{Wide: wide, Fail: t.Errorf})
			c, err := New(hw, mem, Options{})
			switch {
			case wide && err != nil:
				t.Error(err)
			case wide:
				b := (&rig{t, c, hw, mem}).bench()
				b.works(bulkIn)
				c.Close()
			case !errors.Is(err, usb.ErrNoMemory) || mem.InUse() != 0:
				t.Errorf("%v, %d bytes out", err, mem.InUse())
			}
			hw.Close()
		})
	}
}

func TestFirmwareThatDoesNotLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := xhcitest.NewMemory(busBase, t.Errorf)
		hw := xhcitest.New(mem, xhcitest.Options{Firmware: true, Fail: t.Errorf, Faults: xhcitest.Faults{KeepsFirmware: true}})
		said := ""
		began := time.Now()
		c, err := New(hw, mem, Options{Report: func(s string) { said += s }})
		if err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d < time.Second || d > 2*time.Second || !strings.Contains(said, "firmware") {
			t.Errorf("after %v: %q", d, said)
		}
		if v := hw.Read32(0x4000); v&0x01010000 != 0x01000000 {
			t.Errorf("USBLEGSUP %#x", v)
		}
		if v := hw.Read32(0x4004); v != 0 {
			t.Errorf("SMIs %#x", v)
		}
		c.Close()
		hw.Close()
	})
}

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

func lose(kind int) func(f *xhcitest.Faults) {
	return func(f *xhcitest.Faults) {
		f.Command = func(k, _ int) xhcitest.Verdict { return xhcitest.Verdict{Lose: k == kind} }
	}
}

func TestCommandsThatNeverEnd(t *testing.T) {
	ctx := context.Background()
	for _, silent := range []bool{false, true} {
		run(t, xhcitest.Options{Faults: xhcitest.Faults{SilentAbort: silent}}, func(r *rig) {
			r.hw.Attach(1, xhcitest.NewScript(wire.SpeedFull))
			at := usb.Location{RootPort: 1, Speed: r.enable(1)}
			r.hw.Set(lose(xhcitest.EnableSlot))
			if _, err := r.c.NewDevice(ctx, at); !errors.Is(err, wire.ErrTimeout) {
				t.Errorf("Enable Slot: %v", err)
			}
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			began := time.Now()
			if _, err := r.c.NewDevice(short, at); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 2*time.Second {
				t.Errorf("Enable Slot with a context: %v after %v", err, time.Since(began))
			}
			r.hw.Set(lose(xhcitest.AddressDevice))
			d, err := r.c.NewDevice(ctx, at)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.Address(ctx); !errors.Is(err, wire.ErrTimeout) {
				t.Errorf("Address Device: %v", err)
			}
			r.hw.Set(func(f *xhcitest.Faults) { f.Command = nil })
			if _, err := d.Address(ctx); err != nil {
				t.Errorf("the next command: %v", err)
			}
			d.Release()
			for range 40 { // the command ring wraps
				r.device(1).Release()
			}
		})
	}
}

func TestAnAbortThatNeverEndsIsTheEnd(t *testing.T) {
	onBench(t, func(b *bench) {
		b.hw.Set(func(f *xhcitest.Faults) { lose(xhcitest.StopEndpoint)(f); f.StuckAbort = true })
		began := time.Now()
		if _, err := b.in(bulkIn, 64, time.Second); !errors.Is(err, usb.ErrDead) {
			b.t.Error(err)
		}
		if d := time.Since(began); d > 15*time.Second {
			b.t.Errorf("after %v", d)
		}
	})
}

func TestAnEndpointThatDoesNotStopIsTheEnd(t *testing.T) {
	onBench(t, func(b *bench) {
		b.hw.Set(lose(xhcitest.StopEndpoint))
		if _, err := b.in(bulkIn, 64, time.Second); !errors.Is(err, usb.ErrDead) {
			b.t.Error(err)
		}
		if synctest.Wait(); b.hw.Running() {
			b.t.Error("its DMA goes on")
		}
	})
}

func TestCommandsThatAreRefused(t *testing.T) {
	ctx := context.Background()
	for _, k := range []struct {
		name          string
		kind, verdict int
		want          error
	}{
		{"no slots left", xhcitest.EnableSlot, xhcitest.NoSlots, usb.ErrNoRoom},
		{"a device that does not take its address", xhcitest.AddressDevice, xhcitest.Transaction, wire.ErrTransfer},
		{"no bandwidth", xhcitest.ConfigureEndpoint, xhcitest.Bandwidth, usb.ErrNoRoom},
		{"no resources", xhcitest.ConfigureEndpoint, 7, usb.ErrNoRoom},
		{"no bandwidth on the secondary bus", xhcitest.ConfigureEndpoint, 35, usb.ErrNoRoom},
		{"a parameter error", xhcitest.ConfigureEndpoint, xhcitest.Parameter, wire.ErrTransfer},
		{"a context state error", xhcitest.EvaluateContext, xhcitest.ContextState, wire.ErrTransfer},
	} {
		t.Run(k.name, func(t *testing.T) {
			run(t, xhcitest.Options{}, func(r *rig) {
				r.hw.Attach(1, xhcitest.NewScript(wire.SpeedFull))
				at := usb.Location{RootPort: 1, Speed: r.enable(1)}
				r.hw.Set(func(f *xhcitest.Faults) {
					f.Command = func(kind, _ int) (v xhcitest.Verdict) {
						if kind == k.kind {
							v.Code = k.verdict
						}
						return v
					}
				})
				all := func() error {
					d, err := r.c.NewDevice(ctx, at)
					if err != nil {
						return err
					}
					defer d.Release()
					if _, err := d.Address(ctx); err != nil {
						return err
					}
					if err := d.SetMaxPacketSize0(ctx, 64); err != nil {
						return err
					}
					return d.Configure(ctx, fullSpeed)
				}
				var refused *CommandError
				if err := all(); !errors.Is(err, k.want) || !errors.As(err, &refused) || int(refused.Code) != k.verdict {
					t.Error(err)
				}
				r.hw.Set(func(f *xhcitest.Faults) { f.Command = nil })
				if err := all(); err != nil {
					t.Errorf("then: %v", err)
				}
			})
		})
	}
}

func TestAllSlots(t *testing.T) {
	run(t, xhcitest.Options{Slots: 2}, func(r *rig) {
		r.hw.Attach(1, xhcitest.NewScript(wire.SpeedFull))
		at := usb.Location{RootPort: 1, Speed: r.enable(1)}
		for range 2 {
			if _, err := r.c.NewDevice(context.Background(), at); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.c.NewDevice(context.Background(), at); !errors.Is(err, usb.ErrNoRoom) {
			t.Error(err)
		}
	})
}

func TestASlotThatIsNotFreeIsTheEnd(t *testing.T) {
	for _, slot := range []int{1, 200} {
		onBench(t, func(b *bench) {
			b.hw.Set(func(f *xhcitest.Faults) {
				f.Command = func(int, int) xhcitest.Verdict { return xhcitest.Verdict{Slot: slot} }
			})
			if _, err := b.c.NewDevice(context.Background(), usb.Location{RootPort: 1, Speed: wire.SpeedFull}); !errors.Is(err, usb.ErrDead) {
				b.t.Errorf("slot %d: %v", slot, err)
			}
		})
	}
}

// TestEventsOfNobody: slots that are free, endpoints that are not there, pointers to nowhere, lengths that cannot be, kinds that
// do not exist. The transfer in flight is not hurt.
func TestEventsOfNobody(t *testing.T) {
	const transfer, command = 32 << 10, 33 << 10
	onBench(t, func(b *bench) {
		end := make(chan error)
		go func() {
			got, err := b.in(bulkIn, 64, 0)
			if string(got) != "fine" {
				err = errors.Join(err, errors.New("other data: "+string(got)))
			}
			end <- err
		}()
		await()
		ring := b.hw.Rings(1)[3]
		for _, e := range []struct {
			parameter       uint64
			status, control uint32
		}{
			{ring, 1 << 24, transfer | 3<<16 | 9<<24}, {ring, 1 << 24, transfer | 3<<16 | 255<<24}, {ring, 1 << 24, transfer | 3<<16},
			{ring, 1 << 24, transfer | 4<<16 | 1<<24}, {ring, 1 << 24, transfer | 1<<24}, {ring, 1 << 24, transfer | 31<<16 | 1<<24},
			{0, 1 << 24, transfer | 3<<16 | 1<<24}, {ring + 8, 1 << 24, transfer | 3<<16 | 1<<24}, {ring + 16, 1 << 24, transfer | 3<<16 | 1<<24},
			{ring - 16, 6 << 24, transfer | 3<<16 | 1<<24}, {^uint64(0), 6 << 24, transfer | 3<<16 | 1<<24}, {ring + 1<<32, 6 << 24, transfer | 3<<16 | 1<<24},
			{ring, 1 << 24, transfer | 1<<2 | 3<<16 | 1<<24}, // event data, of which there is none
			{ring, 14 << 24, transfer | 3<<16 | 1<<24}, {ring, 15 << 24, transfer | 3<<16 | 1<<24},
			{0, 1 << 24, command}, {ring, 25 << 24, command}, {^uint64(0), 24 << 24, command | 1<<24},
			{0, 21 << 24, 37 << 10}, {0, 99 << 24, 37 << 10}, {0, 0, 0}, {0, 0, 63 << 10}, {1 << 24, 1 << 24, 34 << 10}, {255 << 24, 1 << 24, 34 << 10},
		} {
			b.hw.Inject(e.parameter, e.status, e.control)
		}
		await()
		b.s.Add(bulkIn, xhcitest.Line{Data: []byte("fine")})
		if err := <-end; err != nil {
			b.t.Error(err)
		}
		b.works(0)
	})
}

func TestMoreIsLeftThanThereWas(t *testing.T) {
	for _, code := range []uint32{1, 13, 3, 26, 28} {
		onBench(t, func(b *bench) {
			end := make(chan error)
			var n int
			go func() {
				got, err := b.in(bulkIn, 64, 0)
				n = len(got)
				end <- err
			}()
			await()
			b.hw.Inject(b.hw.Rings(1)[3], code<<24|0xFFFFFF, 32<<10|3<<16|1<<24)
			if err := <-end; err == nil || n > 64 {
				b.t.Errorf("code %d: %d bytes, %v", code, n, err)
			}
			b.works(bulkIn)
		})
	}
}

// TestAnyEvents throws events at a driver with transfers in flight. It may lose faith in the controller, but must not panic, hang, or
// use memory that is not its own.
func TestAnyEvents(t *testing.T) {
	for seed := range int64(20) {
		onBench(t, func(b *bench) {
			rnd := rand.New(rand.NewSource(seed))
			done := make(chan struct{}, 3)
			for _, e := range []uint8{bulkIn, intIn, bulkOut} {
				go func() {
					for range 40 {
						b.d.Transfer(context.Background(), e, make([]byte, 64), 5*time.Millisecond)
					}
					done <- struct{}{}
				}()
			}
			for range 400 {
				rings := b.hw.Rings(1)
				parameter := rings[1+rnd.Intn(7)] + uint64(rnd.Intn(5)-2)*16
				kind := []uint32{32, 32, 32, 33, 34, 37, uint32(rnd.Intn(64))}[rnd.Intn(7)]
				b.hw.Inject(parameter, uint32(rnd.Intn(40))<<24|uint32(rnd.Intn(80)), kind<<10|uint32(rnd.Intn(8))<<16|uint32(rnd.Intn(3))<<24)
				time.Sleep(time.Duration(rnd.Intn(1000)) * time.Microsecond)
			}
			for range 3 {
				<-done
			}
		})
	}
}

// TestTransferEventsThatAreLost: time runs out, and the endpoint works again.
func TestTransferEventsThatAreLost(t *testing.T) {
	onBench(t, func(b *bench) {
		b.hw.Set(func(f *xhcitest.Faults) { f.DropTransfers = true })
		b.s.Add(bulkIn, xhcitest.Line{Data: []byte("lost")})
		if _, err := b.in(bulkIn, 64, time.Second); !errors.Is(err, wire.ErrTimeout) {
			b.t.Error(err)
		}
		b.hw.Set(func(f *xhcitest.Faults) { f.DropTransfers = false })
		b.works(bulkIn)
	})
}

// TestManyEventsAtOnce fills the event ring while the pump sleeps.
func TestManyEventsAtOnce(t *testing.T) {
	onBench(t, func(b *bench) {
		for range 3 {
			for range 300 {
				b.hw.Inject(1<<24, 1<<24, 34<<10)
			}
			time.Sleep(100 * time.Millisecond)
			b.works(bulkIn)
			b.works(0)
		}
	})
}

func TestInterrupts(t *testing.T) {
	runWith(t, xhcitest.Options{}, Options{Interrupt: make(chan struct{})}, func(r *rig) {
		b := r.bench()
		for range 100 {
			b.works(bulkIn)
			b.works(intIn)
		}
		if r.hw.Read32(0x1020)&2 == 0 || r.hw.Read32(0x40)&4 == 0 {
			t.Error("interrupts are not enabled")
		}
		select { // one that is lost costs time, no more
		case <-r.hw.Interrupt:
		default:
		}
		b.works(bulkIn)
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
