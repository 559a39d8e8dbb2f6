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

// TestDeviations has a case for each deviation in the package comment.
func TestDeviations(t *testing.T) {
	five := bytes.Repeat([]byte("five "), 1000) // more than one piece
	reads := func(b *bench, room int, want []byte) {
		b.t.Helper()
		b.s.Add(bulkIn, xhcitest.Line{Data: want})
		if got, err := b.in(bulkIn, room, time.Second); err != nil || !bytes.Equal(got, want) {
			b.t.Errorf("%d of %d bytes into %d: %v", len(got), len(want), room, err)
		}
		b.s.Add(0, xhcitest.Line{Data: want})
		buf := make([]byte, room)
		if n, err := b.d.Control(context.Background(),
			usb.Setup{RequestType: 0x80, Length: uint16(room)}, buf, time.Second); err != nil ||
			!bytes.Equal(buf[:n], want) {
			b.t.Errorf("%d of %d bytes through the default pipe: %v", n, len(want), err)
		}
	}
	unplugged := func(b *bench) {
		b.t.Helper()
		began := time.Now()
		ends := make(chan error)
		for _, e := range []uint8{bulkIn, intIn} {
			go func() {
				_, err := b.in(e, 64, time.Second)
				ends <- err
			}()
		}
		await()
		b.hw.Attach(1, nil)
		for range 2 {
			if err := <-ends; !errors.Is(err, usb.ErrTransfer) {
				b.t.Errorf("unplugged: %v", err)
			}
		}
		if _, err := b.in(bulkIn, 64, time.Second); !errors.Is(err, usb.ErrTransfer) {
			b.t.Errorf("the next transfer: %v", err)
		}
		b.d.Release()
		if d := time.Since(began); d > 100*time.Millisecond {
			b.t.Errorf("gone after %v", d)
		}
		b.bench().works(bulkIn)
	}
	for _, k := range []struct {
		name   string
		faults xhcitest.Faults
		f      func(b *bench)
	}{
		{name: "a success for a short transfer", faults: xhcitest.Faults{ShortSuccess: true},
			f: func(b *bench) {
				reads(b, 64, five[:5])
				reads(b, 64, nil)
				reads(b, 20032, five[:5]) // in the first of several TRBs
				reads(b, 20032, five)
			}},
		{name: "a success after a short transfer", faults: xhcitest.Faults{TwiceSuccess: true},
			f: func(b *bench) {
				for range 50 {
					reads(b, 20032, five)
				}
			}},
		{name: "a context whose state is not updated when its endpoint starts",
			faults: xhcitest.Faults{LazyState: true}, f: func(b *bench) {
				for range 3 {
					if _, err := b.in(bulkIn, 64, time.Second); !errors.Is(err, usb.ErrTimeout) {
						b.t.Error(err)
					}
				}
				b.works(bulkIn)
			}},
		{name: "TRBs beyond the end of a ring are read", faults: xhcitest.Faults{Overfetch: true},
			f: func(b *bench) {
				for range 50 {
					reads(b, 64, five[:5])
				}
			}},
		{name: "a control transfer fails with a link after its setup stage",
			faults: xhcitest.Faults{SplitControl: true}, f: func(b *bench) {
				for n := range 200 {
					reads(b, 64, five[:n%64])
					if n%7 == 0 { // without data there are two TRBs, not three
						b.s.Add(0, xhcitest.Line{})
						if _, err := b.d.Control(context.Background(), usb.Setup{}, nil,
							time.Second); err != nil {
							b.t.Errorf("no data: %v", err)
						}
					}
				}
			}},
		{name: "an endpoint hangs that is continued after a transaction error",
			faults: xhcitest.Faults{NoSoftRetry: true}, f: unplugged},
		{name: "Reset Endpoint stops the controller when there is no link",
			faults: xhcitest.Faults{NoLinkNoReset: true}, f: unplugged},
		{name: "a starting endpoint is reported as stopped and cannot be stopped",
			faults: xhcitest.Faults{SlowStart: 30 * time.Millisecond}, f: func(b *bench) {
				for range 3 {
					if _, err := b.in(bulkIn, 64, 5*time.Millisecond); !errors.Is(err,
						usb.ErrTimeout) {
						b.t.Error(err)
					}
				}
				b.works(bulkIn)
				b.in(bulkIn, 64, 5*time.Millisecond)
				// It halts as soon as it has started.
				b.s.Add(bulkIn, xhcitest.Line{Err: usb.ErrBabble})
				began := time.Now()
				if _, err := b.in(bulkIn, 64, 5*time.Millisecond); !errors.Is(err, usb.ErrBabble) ||
					time.Since(began) > 50*time.Millisecond {
					b.t.Errorf("%v after %v", err, time.Since(began))
				}
				b.works(bulkIn)
			}},
		{name: "Stop Endpoint is rejected at first", faults: xhcitest.Faults{}, f: func(b *bench) {
			for tries := range 5 {
				b.hw.Set(func(f *xhcitest.Faults) { f.LateStop = tries })
				if _, err := b.in(bulkIn, 64, time.Second); !errors.Is(err, usb.ErrTimeout) {
					b.t.Error(err)
				}
				b.works(bulkIn)
			}
		}},
	} {
		t.Run(k.name, func(t *testing.T) {
			onBench(t, func(b *bench) {
				b.hw.Set(func(f *xhcitest.Faults) { *f = k.faults })
				k.f(b)
			})
		})
	}
}

// TestStoppedShort: the length in a Stopped - Short Packet event is the transferred length, not the
// residue (xHCI 1.2, 4.6.9).
func TestStoppedShort(t *testing.T) {
	for _, k := range []struct {
		code, length uint32
		want         int
	}{{code: 28, length: 10, want: 10}, {code: 28, length: 1000, want: 128}, {code: 26, length: 28,
		want: 100}, {code: 27, length: 5}} {
		onBench(t, func(b *bench) {
			end := make(chan int)
			go func() {
				got, err := b.in(bulkIn, 128, 0)
				if !errors.Is(err, usb.ErrTransfer) {
					b.t.Errorf("stopped without a reason: %v", err)
				}
				end <- len(got)
			}()
			await()
			b.hw.Inject(b.hw.Rings(1)[3], k.code<<24|k.length, 32<<10|3<<16|1<<24)
			if n := <-end; n != k.want {
				b.t.Errorf("code %d, length %d: %d bytes", k.code, k.length, n)
			}
			b.works(bulkIn)
		})
	}
}

func TestMemoryIsExhausted(t *testing.T) {
	ctx := context.Background()
	onBench(t, func(b *bench) {
		b.hw.Attach(2, xhcitest.NewScript(usb.SpeedHigh))
		at := usbhost.Location{RootPort: 2, Speed: b.enable(2)}
		full := b.mem.InUse()
		for extra := range 3 { // a context and a ring
			b.mem.Limit(full + extra*1024)
			if _, err := b.c.NewDevice(ctx, at); extra < 2 && !errors.Is(err, usbhost.ErrNoMemory) {
				b.t.Errorf("%d bytes left: %v", extra*1024, err)
			}
			if extra < 2 && b.mem.InUse() != full {
				b.t.Error("memory of a device that was not made")
			}
		}
		b.mem.Limit(b.mem.InUse() + 5000)
		if _, err := b.in(bulkIn, 8192, time.Second); !errors.Is(err, usbhost.ErrNoMemory) {
			b.t.Error(err)
		}
		if err := b.d.Configure(ctx,
			append(fullSpeed[:3:3],
				usb.Endpoint{Address: 4, Type: usb.BulkTransfer, MaxPacketSize: 64},
				usb.Endpoint{Address: 5, Type: usb.BulkTransfer,
					MaxPacketSize: 64})); !errors.Is(err, usbhost.ErrNoMemory) {
			b.t.Error(err)
		}
		b.mem.Limit(0)
		b.works(bulkIn)
	})
}

func TestPacketSizeOfTheDefaultPipe(t *testing.T) {
	onBench(t, func(b *bench) {
		for _, n := range []int{0, -8, 7, 9, 128, 512, 1 << 20} {
			if err := b.d.SetMaxPacketSize0(context.Background(), n); !errors.Is(err,
				usb.ErrDescriptor) {
				b.t.Errorf("%d: %v", n, err)
			}
		}
		for _, n := range []int{64, 64, 8} {
			if err := b.d.SetMaxPacketSize0(context.Background(), n); err != nil {
				b.t.Errorf("%d: %v", n, err)
			}
			b.works(0)
		}
	})
}

// TestSetHub: the hub fields are written with the configuration or after it, before version 0.96 by
// another command.
func TestSetHub(t *testing.T) {
	ctx := context.Background()
	pipe := []usb.Endpoint{{Address: 0x81, Type: usb.InterruptTransfer, MaxPacketSize: 1,
		Interval: 12}}
	info := usbhost.HubInfo{Ports: 4, ThinkTime: 1}
	for _, k := range []struct {
		version uint16
		after   bool
		want    int // of the last command
	}{{version: 0x0110, want: xhcitest.ConfigureEndpoint}, {version: 0x0110, after: true,
		want: xhcitest.ConfigureEndpoint},
		{version: 0x0095, after: true, want: xhcitest.EvaluateContext}} {
		run(t, xhcitest.Options{Version: k.version}, func(r *rig) {
			r.hw.Attach(1, newHub(false))
			d := r.device(1)
			calls := []func() error{func() error { return d.SetHub(ctx, info) },
				func() error { return d.Configure(ctx, pipe) }}
			if k.after {
				calls[0], calls[1] = calls[1], calls[0]
			}
			for _, f := range calls {
				if err := f(); err != nil {
					t.Error(err)
				}
			}
			log := r.hw.Log()
			if got := log[len(log)-1]; got.Command != k.want || got.Code != xhcitest.Success {
				t.Errorf("%+v", got)
			}
			n := len(log)
			if err := d.Configure(ctx, pipe); err != nil || len(r.hw.Log()) != n {
				t.Errorf("the same configuration again: %v, %v", err, r.hw.Log()[n:])
			}
			if err := d.Configure(ctx, nil); err != nil {
				t.Error(err)
			}
			if _, err := d.Transfer(ctx, 0x81, make([]byte, 1), time.Second); !errors.Is(err,
				errNoEndpoint) {
				t.Error(err)
			}
		})
	}
}

// TestTheTranslatorIsNotThatOfALostSlot releases a hub whose slot the controller does not disable,
// and gives its address to the next hub on the port.
func TestTheTranslatorIsNotThatOfALostSlot(t *testing.T) {
	run(t, xhcitest.Options{}, func(r *rig) {
		r.hw.Attach(1, newHub(false))
		first := r.device(1).(*device)
		const disableSlot, noSlots = 10, 9 // xHCI 1.2, tables 6-91, 6-90
		r.hw.Set(func(f *xhcitest.Faults) {
			f.Command = func(kind, _ int) (v xhcitest.Verdict) {
				if kind == disableSlot {
					v.Code = noSlots
				}
				return v
			}
		})
		first.Release()
		r.hw.Set(func(f *xhcitest.Faults) { f.Command = nil })
		second, err := r.c.NewDevice(context.Background(),
			usbhost.Location{RootPort: 1, Speed: usb.SpeedHigh})
		if err != nil {
			t.Fatal(err)
		}
		r.c.mu.Lock()
		second.(*device).address = first.address
		r.c.mu.Unlock()
		if got := r.c.slotOf(1, first.address); got != second.(*device).slot {
			t.Errorf("slot %d, want that of the second hub, %d", got, second.(*device).slot)
		}
	})
}
