package xhci

import (
	"context"
	"errors"
	"math/rand"
	"testing"
	"time"

	"tamaccid/baremetal/usbhost/hcd"
	"tamaccid/baremetal/usbhost/xhci/xhcitest"
	"tamaccid/ccid/usb"
)

// TestInvalidEvents: released slots, missing endpoints, invalid pointers, lengths and types. The
// transfer in flight is not affected.
func TestInvalidEvents(t *testing.T) {
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
			{parameter: ring, status: 1 << 24, control: transfer | 3<<16 | 9<<24},
			{parameter: ring, status: 1 << 24, control: transfer | 3<<16 | 255<<24},
			{parameter: ring, status: 1 << 24, control: transfer | 3<<16},
			{parameter: ring, status: 1 << 24, control: transfer | 4<<16 | 1<<24},
			{parameter: ring, status: 1 << 24, control: transfer | 1<<24},
			{parameter: ring, status: 1 << 24, control: transfer | 31<<16 | 1<<24},
			{parameter: 0, status: 1 << 24, control: transfer | 3<<16 | 1<<24},
			{parameter: ring + 8, status: 1 << 24, control: transfer | 3<<16 | 1<<24},
			{parameter: ring + 16, status: 1 << 24, control: transfer | 3<<16 | 1<<24},
			{parameter: ring - 16, status: 6 << 24, control: transfer | 3<<16 | 1<<24},
			{parameter: ^uint64(0), status: 6 << 24, control: transfer | 3<<16 | 1<<24},
			{parameter: ring + 1<<32, status: 6 << 24, control: transfer | 3<<16 | 1<<24},
			// Event data, which the driver does not use.
			{parameter: ring, status: 1 << 24, control: transfer | 1<<2 | 3<<16 | 1<<24},
			{parameter: ring, status: 14 << 24, control: transfer | 3<<16 | 1<<24},
			{parameter: ring, status: 15 << 24, control: transfer | 3<<16 | 1<<24},
			{parameter: 0, status: 1 << 24, control: command},
			{parameter: ring, status: 25 << 24, control: command},
			{parameter: ^uint64(0), status: 24 << 24, control: command | 1<<24},
			{parameter: 0, status: 21 << 24, control: 37 << 10},
			{parameter: 0, status: 99 << 24, control: 37 << 10}, {parameter: 0},
			{parameter: 0, control: 63 << 10},
			{parameter: 1 << 24, status: 1 << 24, control: 34 << 10},
			{parameter: 255 << 24, status: 1 << 24, control: 34 << 10},
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

func TestAResidueLongerThanTheTransfer(t *testing.T) {
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

// TestAnyEvents injects random events with transfers in flight. The driver may stop the controller,
// but must not panic, hang, or use memory that is not allocated.
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
				b.hw.Inject(parameter, uint32(rnd.Intn(40))<<24|uint32(rnd.Intn(80)), kind<<10|
					uint32(rnd.Intn(8))<<16|uint32(rnd.Intn(3))<<24)
				time.Sleep(time.Duration(rnd.Intn(1000)) * time.Microsecond)
			}
			for range 3 {
				<-done
			}
		})
	}
}

// TestTransferEventsThatAreLost: the transfer times out, and the endpoint works again.
func TestTransferEventsThatAreLost(t *testing.T) {
	onBench(t, func(b *bench) {
		b.hw.Set(func(f *xhcitest.Faults) { f.DropTransfers = true })
		b.s.Add(bulkIn, xhcitest.Line{Data: []byte("lost")})
		if _, err := b.in(bulkIn, 64, time.Second); !errors.Is(err, usb.ErrTimeout) {
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
	runWith(t, xhcitest.Options{}, hcd.Options{Interrupt: make(chan struct{})}, func(r *rig) {
		b := r.bench()
		for range 100 {
			b.works(bulkIn)
			b.works(intIn)
		}
		if r.hw.Read32(0x1020)&2 == 0 || r.hw.Read32(0x40)&4 == 0 {
			t.Error("interrupts are not enabled")
		}
		select { // a lost interrupt only costs time
		case <-r.hw.Interrupt:
		default:
		}
		b.works(bulkIn)
	})
}
