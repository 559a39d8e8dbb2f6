package reader

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/usb"
)

// FuzzHost checks that no message of a host causes a panic or an endless wait, and that the reader
// answers afterwards.
func FuzzHost(f *testing.F) {
	f.Add(uint8(0), []byte{IccPowerOn, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add(uint8(3), []byte{XfrBlock, 2, 0, 0, 0, 0, 0, 0, 1, 0, 0x80, 0x36})
	f.Add(uint8(9), []byte{Secure, 5, 0, 0, 0, 0, 0, 0, 0, 0, 1, 30, 0x82, 8, 0})
	f.Add(uint8(14), []byte{0x21, 0x65, 0, 1, 0, 0, 5, 0, 0x80, 0x34, 0, 3, 3})
	names := Names()
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		synctest.Test(t, func(t *testing.T) {
			m := named(t, names[int(which)%len(names)])
			d := NewDevice(m)
			// In virtual time a command that takes hours does not delay the test.
			c := card.New(card.Options{ATR: card.ATRBoth, Applets: card.Applets()})
			d.Reader(0).Insert(0, c)
			link, err := d.Open(d.Reader(0).Interface())
			if err != nil {
				t.Fatal(err)
			}
			ctx := context.Background()
			buf := make([]byte, 65536)
			e := m.endpoints(d.Reader(0).Interface())
			on := []byte{IccPowerOn, 0, 0, 0, 0, 0, 0, 1, 0, 0}
			for _, message := range [][]byte{on, data, data} {
				if e.out != 0 {
					link.Out(ctx, e.out, message, time.Millisecond)
					link.In(ctx, e.in, buf, time.Millisecond)
					link.ClearHalt(ctx, e.out)
					link.ClearHalt(ctx, e.in)
				}
			}
			if len(data) >= usb.SetupSize {
				setup := usb.ParseSetup([8]byte(data[:8]))
				stage := make([]byte, setup.Length)
				copy(stage, data[8:])
				link.Control(ctx, setup, stage, time.Millisecond)
				link.Control(ctx, setup, stage, time.Millisecond)
			}
			if e.out == 0 {
				return
			}
			// ABORT and a bus reset restore the initial state; Open selects the setting.
			d.BusReset()
			if link, err = d.Open(d.Reader(0).Interface()); err != nil {
				t.Fatal(err)
			}
			if _, err := link.Out(ctx, e.out, on, time.Millisecond); err != nil {
				t.Fatalf("after % X: %v", data, err)
			}
			if n, err := link.In(ctx, e.in, buf, time.Second); err != nil || n <= headerSize {
				t.Fatalf("after % X power on answers % X, %v", data, buf[:n], err)
			}
		})
	})
}
