package xhci

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/xhci/xhcitest"
	"tamaccid/ccid/usb"
)

func lose(kind int) func(f *xhcitest.Faults) {
	return func(f *xhcitest.Faults) {
		f.Command = func(k, _ int) xhcitest.Verdict { return xhcitest.Verdict{Lose: k == kind} }
	}
}

func TestCommandsWithoutEnd(t *testing.T) {
	ctx := context.Background()
	for _, silent := range []bool{false, true} {
		run(t, xhcitest.Options{Faults: xhcitest.Faults{SilentAbort: silent}}, func(r *rig) {
			r.hw.Attach(1, xhcitest.NewScript(usb.SpeedFull))
			at := usbhost.Location{RootPort: 1, Speed: r.enable(1)}
			r.hw.Set(lose(xhcitest.EnableSlot))
			if _, err := r.c.NewDevice(ctx, at); !errors.Is(err, usb.ErrTimeout) {
				t.Errorf("Enable Slot: %v", err)
			}
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			began := time.Now()
			if _, err := r.c.NewDevice(short, at); !errors.Is(err, context.DeadlineExceeded) ||
				time.Since(began) > 2*time.Second {
				t.Errorf("Enable Slot with a context: %v after %v", err, time.Since(began))
			}
			r.hw.Set(lose(xhcitest.AddressDevice))
			d, err := r.c.NewDevice(ctx, at)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.Address(ctx); !errors.Is(err, usb.ErrTimeout) {
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

func TestAnAbortWithoutEndIsAFailure(t *testing.T) {
	onBench(t, func(b *bench) {
		b.hw.Set(func(f *xhcitest.Faults) { lose(xhcitest.StopEndpoint)(f); f.StuckAbort = true })
		began := time.Now()
		if _, err := b.in(bulkIn, 64, time.Second); !errors.Is(err, usbhost.ErrDead) {
			b.t.Error(err)
		}
		if d := time.Since(began); d > 15*time.Second {
			b.t.Errorf("after %v", d)
		}
	})
}

func TestAnEndpointThatDoesNotStopIsAFailure(t *testing.T) {
	onBench(t, func(b *bench) {
		b.hw.Set(lose(xhcitest.StopEndpoint))
		if _, err := b.in(bulkIn, 64, time.Second); !errors.Is(err, usbhost.ErrDead) {
			b.t.Error(err)
		}
		if synctest.Wait(); b.hw.Running() {
			b.t.Error("its DMA goes on")
		}
	})
}

func TestCommandErrors(t *testing.T) {
	ctx := context.Background()
	for _, k := range []struct {
		name          string
		kind, verdict int
		want          error
	}{
		{name: "no slots left", kind: xhcitest.EnableSlot, verdict: xhcitest.NoSlots,
			want: usbhost.ErrNoRoom},
		{name: "a device that does not accept its address", kind: xhcitest.AddressDevice,
			verdict: xhcitest.Transaction, want: usb.ErrTransfer},
		{name: "no bandwidth", kind: xhcitest.ConfigureEndpoint, verdict: xhcitest.Bandwidth,
			want: usbhost.ErrNoRoom},
		{name: "no resources", kind: xhcitest.ConfigureEndpoint, verdict: 7,
			want: usbhost.ErrNoRoom},
		{name: "no bandwidth on the secondary bus", kind: xhcitest.ConfigureEndpoint, verdict: 35,
			want: usbhost.ErrNoRoom},
		{name: "a parameter error", kind: xhcitest.ConfigureEndpoint, verdict: xhcitest.Parameter,
			want: usb.ErrTransfer},
		{name: "a context state error", kind: xhcitest.EvaluateContext,
			verdict: xhcitest.ContextState, want: usb.ErrTransfer},
	} {
		t.Run(k.name, func(t *testing.T) {
			run(t, xhcitest.Options{}, func(r *rig) {
				r.hw.Attach(1, xhcitest.NewScript(usb.SpeedFull))
				at := usbhost.Location{RootPort: 1, Speed: r.enable(1)}
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
				if err := all(); !errors.Is(err, k.want) || !errors.As(err, &refused) ||
					int(refused.Code) != k.verdict {
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
		r.hw.Attach(1, xhcitest.NewScript(usb.SpeedFull))
		at := usbhost.Location{RootPort: 1, Speed: r.enable(1)}
		for range 2 {
			if _, err := r.c.NewDevice(context.Background(), at); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.c.NewDevice(context.Background(), at); !errors.Is(err, usbhost.ErrNoRoom) {
			t.Error(err)
		}
	})
}

func TestASlotThatIsInUseIsAFailure(t *testing.T) {
	for _, slot := range []int{1, 200} {
		onBench(t, func(b *bench) {
			b.hw.Set(func(f *xhcitest.Faults) {
				f.Command = func(int, int) xhcitest.Verdict { return xhcitest.Verdict{Slot: slot} }
			})
			if _, err := b.c.NewDevice(context.Background(),
				usbhost.Location{RootPort: 1, Speed: usb.SpeedFull}); !errors.Is(err,
				usbhost.ErrDead) {
				b.t.Errorf("slot %d: %v", slot, err)
			}
		})
	}
}
