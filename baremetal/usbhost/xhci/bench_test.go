package xhci

import (
	"context"
	"testing"
	"time"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/hcd"
	"tamaccid/baremetal/usbhost/xhci/xhcitest"
	"tamaccid/ccid/usb"
)

// prompt is a device that responds at once and allocates nothing.
type prompt struct{}

func (prompt) Speed() usb.Speed { return usb.SpeedHigh }
func (prompt) BusReset()        {}
func (prompt) Control(_ context.Context, s usb.Setup, b []byte) (int, error) {
	return len(b), nil
}
func (prompt) In(_ context.Context, _ uint8, b []byte) (int, error) { return min(len(b), 20), nil }
func (prompt) Out(context.Context, uint8, []byte) error             { return nil }

var highSpeed = []usb.Endpoint{
	{Address: bulkIn, Type: usb.BulkTransfer, MaxPacketSize: 512},
	{Address: bulkOut, Type: usb.BulkTransfer, MaxPacketSize: 512},
}

// steady runs f with the driver on a model that completes transfers during the write of the
// doorbell, without allocations.
func steady(tb testing.TB, f func(d usbhost.Device)) {
	mem := xhcitest.NewMemory(busBase, tb.Errorf)
	hw := xhcitest.New(mem, xhcitest.Options{Fail: tb.Errorf})
	c, err := New(hw, mem, hcd.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	hw.Attach(1, prompt{})
	if err := c.StartReset(1, usbhost.HotReset); err != nil {
		tb.Fatal(err)
	}
	for s := (usbhost.PortStatus{}); !s.Enabled; {
		time.Sleep(time.Millisecond)
		if s, err = c.Port(1); err != nil {
			tb.Fatal(err)
		}
	}
	d, err := c.NewDevice(context.Background(), usbhost.Location{RootPort: 1, Speed: usb.SpeedHigh})
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := d.Address(context.Background()); err != nil {
		tb.Fatal(err)
	}
	if err := d.Configure(context.Background(), highSpeed); err != nil {
		tb.Fatal(err)
	}
	hw.Lean(true)
	f(d)
	hw.Lean(false)
	if n := hw.Filled(); n != 0 {
		tb.Errorf("the event ring was full %d times", n)
	}
	if err := c.Close(); err != nil {
		tb.Error(err)
	}
	hw.Close()
}

// exchange performs the transfers of an APDU, one bulk transfer in each direction, and a control
// transfer.
func exchange(tb testing.TB, d usbhost.Device, buf []byte) {
	ctx := context.Background()
	if _, err := d.Transfer(ctx, bulkOut, buf[:20], time.Second); err != nil {
		tb.Fatal(err)
	}
	if _, err := d.Transfer(ctx, bulkIn, buf, time.Second); err != nil {
		tb.Fatal(err)
	}
	if _, err := d.Control(ctx, usb.Setup{RequestType: 0xA1, Length: 8}, buf,
		time.Second); err != nil {
		tb.Fatal(err)
	}
}

func TestTransfersAllocateNothing(t *testing.T) {
	steady(t, func(d usbhost.Device) {
		buf := make([]byte, 65536)
		exchange(t, d, buf)
		if n := testing.AllocsPerRun(200, func() { exchange(t, d, buf) }); n != 0 {
			t.Errorf("three transfers allocate %v times", n)
		}
	})
}

func BenchmarkExchange(b *testing.B) {
	steady(b, func(d usbhost.Device) {
		buf := make([]byte, 512)
		b.ReportAllocs()
		for b.Loop() {
			exchange(b, d, buf)
		}
	})
}
