package xhci

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/baremetal/usb"
	"tamaccid/baremetal/usb/xhci/xhcitest"
	wire "tamaccid/ccid/usb"
)

// rig is the driver on a model, in a bubble of virtual time.
type rig struct {
	t   *testing.T
	c   *Controller
	hw  *xhcitest.Controller
	mem *xhcitest.Memory
}

// busBase is where the model's memory lies on its bus.
const busBase = 0x2000_0000

// run gives f a controller that works. Afterwards all memory is back, and nobody writes to it.
func run(t *testing.T, o xhcitest.Options, f func(r *rig)) {
	t.Helper()
	runWith(t, o, Options{Size: xhcitest.Size}, f)
}

func runWith(t *testing.T, o xhcitest.Options, d Options, f func(r *rig)) {
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
		r := &rig{t, c, hw, mem}
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

// enable resets a port and waits for that.
func (r *rig) enable(port int) wire.Speed {
	r.t.Helper()
	for _, err := range []error{r.c.SetPower(port, true), r.c.StartReset(port, usb.HotReset)} {
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
func (r *rig) device(port int) usb.Device {
	r.t.Helper()
	d, err := r.c.NewDevice(context.Background(), usb.Location{RootPort: uint8(port), Speed: r.enable(port)})
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := d.Address(context.Background()); err != nil {
		r.t.Fatal(err)
	}
	return d
}
