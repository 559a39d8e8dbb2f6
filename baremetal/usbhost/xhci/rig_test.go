package xhci

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/hcd"
	"tamaccid/baremetal/usbhost/usbtest"
	"tamaccid/baremetal/usbhost/xhci/xhcitest"
	"tamaccid/ccid/usb"
)

// rig is the driver on a model, in a bubble of virtual time.
type rig struct {
	t   *testing.T
	c   *Controller
	hw  *xhcitest.Controller
	mem *xhcitest.Memory
}

// busBase is the first bus address of the model's memory.
const busBase = 0x2000_0000

// run calls f with a working controller. Afterwards it checks that all memory was freed and is not
// written to.
func run(t *testing.T, o xhcitest.Options, f func(r *rig)) {
	t.Helper()
	runWith(t, o, hcd.Options{Size: xhcitest.Size}, f)
}

func runWith(t *testing.T, o xhcitest.Options, d hcd.Options, f func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o.Fail = t.Errorf
		mem := xhcitest.NewMemory(busBase, t.Errorf)
		hw := xhcitest.New(mem, o)
		if d.Interrupt != nil {
			d.Interrupt = hw.Interrupt
		}
		d.Report = func(s string) { t.Log(s) }
		c, err := New(hw, mem, d)
		if err != nil {
			t.Fatal(err)
		}
		r := &rig{t: t, c: c, hw: hw, mem: mem}
		f(r)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("closed twice: %v", err)
		}
		hw.Close()
		mem.Check()
		if n := mem.InUse(); n != 0 {
			t.Errorf("%d bytes of memory not given back", n)
		}
	})
}

// highSpeedHub is a high-speed hub with four ports.
func highSpeedHub(multiTT bool) usbtest.HubModel {
	return usbtest.HubModel{
		Speed: usb.SpeedHigh, Ports: 4, MultiTT: multiTT, ThinkTime: 1,
		PowerGood: 20 * time.Millisecond,
	}
}

func newHub(multiTT bool) *usbtest.Hub { return usbtest.NewHub(highSpeedHub(multiTT)) }

// enable resets a port and waits for that.
func (r *rig) enable(port int) usb.Speed {
	r.t.Helper()
	for _, err := range []error{r.c.SetPower(port, true), r.c.StartReset(port, usbhost.HotReset)} {
		if err != nil {
			r.t.Fatal(err)
		}
	}
	for range 100 {
		s, err := r.c.Port(port)
		if err != nil {
			r.t.Fatal(err)
		}
		if s.Enabled && !s.Resetting {
			if err := r.c.Acknowledge(port, s.Change); err != nil {
				r.t.Fatal(err)
			}
			return s.Speed
		}
		time.Sleep(time.Millisecond)
	}
	r.t.Fatal("the port is not enabled")
	return 0
}

// device is an addressed device on a port.
func (r *rig) device(port int) usbhost.Device {
	r.t.Helper()
	d, err := r.c.NewDevice(context.Background(),
		usbhost.Location{RootPort: uint8(port), Speed: r.enable(port)})
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := d.Address(context.Background()); err != nil {
		r.t.Fatal(err)
	}
	return d
}

// Endpoints of the scripted device.
const (
	bulkIn, bulkOut, intIn = 0x81, 0x02, 0x83
)

// fullSpeed are its endpoints at full speed.
var fullSpeed = []usb.Endpoint{
	{Address: bulkIn, Type: usb.BulkTransfer, MaxPacketSize: 64},
	{Address: bulkOut, Type: usb.BulkTransfer, MaxPacketSize: 64},
	{Address: intIn, Type: usb.InterruptTransfer, MaxPacketSize: 8, Interval: 10},
}

// bench is a rig with one configured full-speed device that follows a script.
type bench struct {
	*rig
	s *xhcitest.Script
	d usbhost.Device
}

func (r *rig) bench() *bench {
	r.t.Helper()
	s := xhcitest.NewScript(usb.SpeedFull)
	r.hw.Attach(1, s)
	d := r.device(1)
	if err := d.Configure(context.Background(), fullSpeed); err != nil {
		r.t.Fatal(err)
	}
	return &bench{rig: r, s: s, d: d}
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

// works checks that the endpoint completes a transfer.
func (b *bench) works(endpoint uint8) {
	b.t.Helper()
	if endpoint == 0 {
		b.s.Add(0, xhcitest.Line{Data: []byte("fine")})
		buf := make([]byte, 4)
		n, err := b.d.Control(context.Background(),
			usb.Setup{RequestType: 0x80, Request: 6, Length: 4}, buf, time.Second)
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

// await waits until the transfer of another goroutine is in flight.
func await() { time.Sleep(20 * time.Millisecond) }
