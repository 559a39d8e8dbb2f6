package xhci

import (
	"context"
	"fmt"

	"tamaccid/baremetal/usbhost"
	"tamaccid/ccid/usb"
)

// device is a device slot: Enable Slot, Address Device, Configure Endpoint, Disable Slot (xHCI 1.2, 4.5.3). It implements
// usbhost.Device.
type device struct {
	c       *Controller
	at      usbhost.Location
	slot    uint8
	speedID uint32
	ttSlot  uint8          // slot of the hub whose transaction translator serves it
	context usbhost.Buffer // device context: the controller writes it

	// These belong to who holds c.commands.
	isHub      bool
	hub        usbhost.HubInfo
	configured bool

	// These are c.mu's.
	released  bool
	endpoints endpointSet
}

// NewDevice is usbhost.Controller's.
func (c *Controller) NewDevice(ctx context.Context, at usbhost.Location) (usbhost.Device, error) {
	if _, err := c.portRegister(int(at.RootPort)); err != nil {
		return nil, err
	}
	d := &device{c: c, at: at, speedID: speedID(at.Speed)}
	if hub, ok := at.TTHub.(*device); ok && hub.c == c {
		d.ttSlot = hub.slot
	}
	if at.Tier == 0 { // the port's own number, should its table name others than usual (xHCI 1.2, 6.2.2, speed)
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

// alloc gets what a device needs from the start. The device context must not cross a page.
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

// enable gets a slot from the controller.
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
		c.die(fmt.Sprintf("it enabled slot %d, which is none or not free", slot))
		return c.err
	}
	d.slot = e.slot()
	c.slots[slot] = d
	put64(c.contexts.Bytes, slot*8, d.context.Bus)
	return nil
}

// lock takes the right to issue commands for a device that was not released.
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

// command issues a command that takes the input context.
func (d *device) command(ctx context.Context, kind trbType) error {
	_, err := d.c.issue(ctx, trb{parameter: d.c.input.Bus, control: kind.bits() | slotBits(d.slot)})
	return err
}

// Release is usbhost.Device's.
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
		return // Close has its memory
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

// leave ends all transfers and waits for those who wait for them.
func (d *device) leave() { d.withdraw(func(int) bool { return true }) }

// free gives the memory back. Neither the controller nor anybody else knows it any more.
func (d *device) free() {
	d.c.mu.Lock()
	all := d.endpoints
	d.endpoints = endpointSet{}
	d.c.mu.Unlock()
	all.free()
	d.c.free(d.context)
	d.context = usbhost.Buffer{}
}
