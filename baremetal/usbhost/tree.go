package usbhost

import (
	"context"
	"sync"
)

// A tree is what the ports and devices behind one controller share.
type tree struct {
	controller Controller
	number     uint8 // of the controller on the bus
	ctx        context.Context
	options    *Options
	report     func(Event)
	work       *workCount     // what Bus.Settle waits for
	drivers    sync.WaitGroup // calls of Options.Attach

	defaultAddress *defaultAddress // of the USB 2 ports
	addressing     lock            // held from NewDevice to the end of Address

	// newHub makes a configured device a hub.
	newHub func(*tree, *device) (downstream, error)
}

// offer calls Options.Attach for the interfaces of a device.
func (t *tree) offer(d *device) {
	if t.options.Attach == nil {
		return
	}
	for _, i := range d.interfaces {
		i.done = t.work.done
		t.work.begin()
		t.drivers.Go(func() {
			defer i.Ready()
			t.options.Attach(d.ctx, i)
		})
	}
}
