package xhci

import (
	"context"
	"fmt"

	"tamaccid/baremetal/usbhost"
	"tamaccid/ccid/usb"
)

// Address implements usbhost.Device.
func (d *device) Address(ctx context.Context) (uint8, error) {
	c := d.c
	if err := d.lock(ctx); err != nil {
		return 0, err
	}
	defer c.unlockCommands()
	c.startInput(0, addSlot|addPipe)
	d.fillSlot(c.inputContext(0), defaultPipe)
	d.endpoints[defaultPipe].fillPipe(c.inputContext(defaultPipe))
	if err := d.command(ctx, cmdAddressDevice); err != nil {
		return 0, err
	}
	address := uint8(get32(d.context.Bytes, slotAddress) & slotAddressMask)
	c.mu.Lock()
	d.address = address
	c.mu.Unlock()
	return address, nil
}

// SetMaxPacketSize0 implements usbhost.Device. The error for a size that the speed does not allow
// is usb.ErrDescriptor.
func (d *device) SetMaxPacketSize0(ctx context.Context, n int) error {
	if !validPacket0(d.at.Speed, n) {
		return fmt.Errorf("%w: packets of %d bytes on the default pipe at %v",
			usb.ErrDescriptor, n, d.at.Speed)
	}
	c := d.c
	if err := d.lock(ctx); err != nil {
		return err
	}
	defer c.unlockCommands()
	pipe := d.endpoints[defaultPipe]
	if pipe.packet == n {
		return nil
	}
	old := pipe.packet
	pipe.packet = n
	c.startInput(0, addPipe)
	pipe.fillPipe(c.inputContext(defaultPipe))
	if err := d.command(ctx, cmdEvaluateContext); err != nil {
		pipe.packet = old
		return err
	}
	return nil
}

// hubByConfigure is the first version whose controllers accept the hub fields of a slot context
// with Configure Endpoint; before it was Evaluate Context (xHCI 0.95, 6.2.2.3; xHCI 1.2, 6.2.2.2).
const hubByConfigure = 0x0096

// SetHub implements usbhost.Device. Before the device is configured, the information is stored and
// becomes part of the configuration.
func (d *device) SetHub(ctx context.Context, h usbhost.HubInfo) error {
	c := d.c
	if err := d.lock(ctx); err != nil {
		return err
	}
	defer c.unlockCommands()
	d.isHub, d.hub = true, h
	if !d.configured {
		return nil
	}
	c.startInput(0, addSlot)
	d.fillSlot(c.inputContext(0), d.lastEndpoint())
	if c.caps.version < hubByConfigure {
		return d.command(ctx, cmdEvaluateContext)
	}
	return d.command(ctx, cmdConfigureEndpoint)
}
