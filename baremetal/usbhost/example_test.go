package usbhost_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/usbtest"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
	"tamaccid/ccid/usb"
)

// A complete class driver: it claims the interfaces of a class and prints the messages of their
// interrupt endpoints until the device is unplugged. A smart card reader reports there which of its
// slots have a card.
func Example() {
	messages := make(chan string)
	listen := func(ctx context.Context, i *usbhost.Interface) {
		setting := i.Descriptor()
		if setting.Class != reader.ClassCCID {
			return // of another class
		}
		var pipe usb.Endpoint
		for _, e := range setting.Endpoints {
			if e.Type == usb.InterruptTransfer && e.In() {
				pipe = e
			}
		}
		t, err := i.Claim()
		if err != nil || pipe.Address == 0 {
			return
		}
		defer t.Close()
		i.Ready() // Settle does not wait for this interface any more

		buf := make([]byte, pipe.MaxPacketSize)
		for {
			n, err := t.In(ctx, pipe.Address, buf, 0)
			switch {
			case err == nil:
				select {
				case messages <- fmt.Sprintf("%s: % X", t.Device().Product, buf[:n]):
				case <-ctx.Done():
				}
			case errors.Is(err, usb.ErrStall):
				if t.ClearHalt(ctx, pipe.Address) != nil {
					return
				}
			default:
				return // unplugged, or the bus was closed
			}
		}
	}

	// A board has a real controller instead: xhci.New(registers, memory, hcd.Options{}).
	c := usbtest.New(usbtest.Model{USB2: 2})
	d := reader.NewDevice(reader.New(reader.ShortAPDU))
	d.Reader(0).Insert(0, card.T1())
	c.Plug(1, usbtest.Reader(d))

	bus := usbhost.New(usbhost.Options{Attach: listen})
	if err := bus.Add(c); err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := bus.Settle(ctx); err != nil { // all connected devices are ready
		fmt.Println(err)
	}
	for _, d := range bus.Devices() {
		fmt.Println(d.Device.Path, d.Device.Speed)
	}
	fmt.Println(<-messages)
	if err := bus.Close(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// virtual, port 1 full speed
	// Virtual Reader: 50 03
}
