package xhci

import (
	"context"
	"fmt"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/hcd"
	"tamaccid/ccid/usb"
)

// device is a device slot: Enable Slot, Address Device, Configure Endpoint, Disable Slot (xHCI 1.2,
// 4.5.3). It implements usbhost.Device.
type device struct {
	c       *Controller
	at      usbhost.Location
	slot    uint8
	speedID uint32
	ttSlot  uint8      // slot of the hub whose transaction translator serves it, or 0
	context hcd.Buffer // device context, written by the controller

	// Used with c.commands held.
	isHub      bool
	hub        usbhost.HubInfo
	configured bool

	// Used with c.mu held.
	address   uint8 // 0 until the device has one
	released  bool
	endpoints endpointSet
}

// NewDevice implements usbhost.Controller.
func (c *Controller) NewDevice(ctx context.Context, at usbhost.Location) (usbhost.Device, error) {
	if _, err := c.portRegister(int(at.RootPort)); err != nil {
		return nil, err
	}
	d := &device{c: c, at: at, speedID: speedID(at.Speed)}
	if at.TTHub != 0 {
		d.ttSlot = c.slotOf(at.RootPort, at.TTHub)
	}
	if at.Tier == 0 { // the ID of the port's own table (xHCI 1.2, 6.2.2, speed)
		v, err := c.readPort(int(at.RootPort))
		if err != nil {
			return nil, err
		}
		id := v & portSpeed >> portSpeedShift
		if c.caps.root[at.RootPort-1].speeds[id] == at.Speed {
			d.speedID = id
		}
	}
	if err := d.alloc(); err != nil {
		return nil, err
	}
	if err := d.enable(ctx); err != nil {
		d.free()
		return nil, err
	}
	return d, nil
}

// slotOf returns the slot of the device with an address behind a root port, 0 if there is none. The
// slot of a released device may be lost, with an address that another device has since.
func (c *Controller) slotOf(rootPort, address uint8) uint8 {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.slots {
		if d != nil && !d.released && d.at.RootPort == rootPort && d.address == address {
			return d.slot
		}
	}
	return 0
}

// alloc allocates the device context, which must not cross a page, and the default control pipe.
func (d *device) alloc() (err error) {
	size := contextCount * d.c.caps.context
	if d.context, err = d.c.alloc(size, size); err != nil {
		return err
	}
	pipe, err := d.newEndpoint(defaultPipe)
	if err != nil {
		d.free()
		return err
	}
	pipe.packet = firstPacket(d.at.Speed)
	d.endpoints[defaultPipe] = pipe
	return nil
}

const slotTypeShift = 16 // of the Enable Slot command (xHCI 1.2, 6.4.3.2)

// enable allocates a slot of the controller.
func (d *device) enable(ctx context.Context) error {
	c := d.c
	if err := c.lockCommands(ctx); err != nil {
		return err
	}
	defer c.unlockCommands()
	kind := uint32(c.caps.root[d.at.RootPort-1].slotType) << slotTypeShift
	e, err := c.issue(ctx, trb{control: cmdEnableSlot.bits() | kind})
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	slot := int(e.slot())
	if slot == 0 || slot >= len(c.slots) || c.slots[slot] != nil {
		c.die(fmt.Sprintf("it enabled slot %d, which does not exist or is in use", slot))
		return c.err
	}
	d.slot = e.slot()
	c.slots[slot] = d
	put64(c.contexts.Bytes, slot*8, d.context.Bus)
	return nil
}

// lock takes the right to issue commands, unless the device was released.
func (d *device) lock(ctx context.Context) error {
	if err := d.c.lockCommands(ctx); err != nil {
		return err
	}
	d.c.mu.Lock()
	released := d.released
	d.c.mu.Unlock()
	if released {
		d.c.unlockCommands()
		return usb.ErrGone
	}
	return nil
}

// command issues a command with the input context.
func (d *device) command(ctx context.Context, kind trbType) error {
	_, err := d.c.issue(ctx, trb{parameter: d.c.input.Bus, control: kind.bits() | slotBits(d.slot)})
	return err
}

// Release implements usbhost.Device.
func (d *device) Release() {
	c := d.c
	c.mu.Lock()
	if d.released {
		c.mu.Unlock()
		return
	}
	d.released = true
	c.mu.Unlock()
	d.leave()
	if c.lockCommands(nil) != nil {
		return // Close frees its memory
	}
	_, err := c.issue(nil, trb{control: cmdDisableSlot.bits() | slotBits(d.slot)})
	c.mu.Lock()
	own := c.err == nil && c.slots[d.slot] == d && (err == nil || isCode(err, codeSlotNotEnabled))
	if own {
		c.slots[d.slot] = nil
		put64(c.contexts.Bytes, int(d.slot)*8, 0)
	} else if c.err == nil {
		c.report(fmt.Sprintf("slot %d is lost: %v", d.slot, err))
	}
	c.mu.Unlock()
	c.unlockCommands()
	if own {
		d.free()
	}
}

// leave ends all transfers and waits until their calls have released the endpoints.
func (d *device) leave() { d.withdraw(func(int) bool { return true }) }

// free frees the memory, which neither the controller nor a transfer uses any more.
func (d *device) free() {
	d.c.mu.Lock()
	all := d.endpoints
	d.endpoints = endpointSet{}
	d.c.mu.Unlock()
	all.free()
	d.c.free(d.context)
	d.context = hcd.Buffer{}
}
