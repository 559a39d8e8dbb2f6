package xhci

import (
	"context"
	"fmt"

	"tamaccid/baremetal/usb"
	wire "tamaccid/ccid/usb"
)

// device is a device slot: Enable Slot, Address Device, Configure Endpoint, Disable Slot (xHCI 1.2, 4.5.3). It implements
// usb.Device.
type device struct {
	c       *Controller
	at      usb.Location
	slot    uint8
	speedID uint32
	ttSlot  uint8      // slot of the hub whose transaction translator serves it
	context usb.Buffer // device context: the controller writes it

	// These belong to who holds c.commands.
	isHub      bool
	hub        usb.HubInfo
	configured bool

	// These are c.mu's.
	released  bool
	endpoints endpointSet
}

// NewDevice is usb.Controller's.
func (c *Controller) NewDevice(ctx context.Context, at usb.Location) (usb.Device, error) {
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

// command issues a command that takes the input context.
func (d *device) command(ctx context.Context, kind trbType) error {
	_, err := d.c.issue(ctx, trb{parameter: d.c.input.Bus, control: kind.bits() | slotBits(d.slot)})
	return err
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
		return wire.ErrGone
	}
	return nil
}

// Address is usb.Device's.
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
	return uint8(get32(d.context.Bytes, slotAddress) & slotAddressMask), nil
}

// SetMaxPacketSize0 is usb.Device's. A size that the speed does not allow is wire.ErrDescriptor.
func (d *device) SetMaxPacketSize0(ctx context.Context, n int) error {
	if !validPacket0(d.at.Speed, n) {
		return fmt.Errorf("%w: %d bytes in a packet of the default pipe at %v", wire.ErrDescriptor, n, d.at.Speed)
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

// hubByConfigure is the first version whose controllers take what is said of a hub with Configure Endpoint; before it was
// Evaluate Context (xHCI 0.95, 6.2.2.3; xHCI 1.2, 6.2.2.2).
const hubByConfigure = 0x0096

// SetHub is usb.Device's. Before the device is configured it only is kept, and goes with its configuration.
func (d *device) SetHub(ctx context.Context, h usb.HubInfo) error {
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

// lastEndpoint is the highest index in use.
func (d *device) lastEndpoint() int {
	d.c.mu.Lock()
	defer d.c.mu.Unlock()
	last := defaultPipe
	for i, e := range d.endpoints {
		if e != nil {
			last = i
		}
	}
	return last
}

// endpointSet is a device's endpoints by index, nil where there is none.
type endpointSet [contextCount]*endpoint

// Configure is usb.Device's. After an error the endpoints that should have gone are unusable.
func (d *device) Configure(ctx context.Context, endpoints []wire.Endpoint) error {
	next, fresh, err := d.prepare(endpoints)
	if err != nil {
		return err
	}
	old := d.withdraw(func(i int) bool { return i != defaultPipe && next[i] != d.endpoints[i] })
	if err := d.lock(ctx); err != nil {
		fresh.free()
		return err
	}
	defer d.c.unlockCommands()
	if err := d.replace(ctx, &next, &old, &fresh); err != nil {
		fresh.free()
		return err
	}
	d.c.mu.Lock()
	d.endpoints = next
	d.c.mu.Unlock()
	old.free()
	return nil
}

// prepare makes the endpoints that are not there yet: next are all, fresh the new ones among them.
func (d *device) prepare(endpoints []wire.Endpoint) (next, fresh endpointSet, err error) {
	d.c.mu.Lock()
	now := d.endpoints
	d.c.mu.Unlock()
	next[defaultPipe] = now[defaultPipe]
	for _, w := range endpoints {
		i := endpointIndex(w.Address)
		// No isochronous transfers here, and nothing has the default pipe or another endpoint twice.
		if i == defaultPipe || next[i] != nil || w.Type != wire.BulkTransfer && w.Type != wire.InterruptTransfer {
			continue
		}
		if e := now[i]; e != nil && e.descriptor == w && !e.isClosed() {
			next[i] = e
			continue
		}
		e, err := d.newEndpoint(i)
		if err != nil {
			fresh.free()
			return next, fresh, err
		}
		e.describe(w, d.at.Speed)
		next[i], fresh[i] = e, e
	}
	return next, fresh, nil
}

// replace drops and adds endpoints (xHCI 1.2, 4.6.6).
func (d *device) replace(ctx context.Context, next, old, fresh *endpointSet) error {
	c := d.c
	drop, add := old.bits(), fresh.bits()
	if d.configured && drop|add == 0 {
		return nil
	}
	c.startInput(drop, add|addSlot)
	last := defaultPipe
	for i, e := range next {
		if e != nil {
			last = i
		}
		if fresh[i] != nil {
			e.fill(c.inputContext(i), d.at.Speed)
		}
	}
	d.fillSlot(c.inputContext(0), last)
	if err := d.command(ctx, cmdConfigureEndpoint); err != nil {
		return err
	}
	d.configured = true
	return nil
}

// bits has one for each endpoint, as in the add and drop flags.
func (s *endpointSet) bits() (b uint32) {
	for i, e := range s {
		if e != nil {
			b |= 1 << i
		}
	}
	return b
}

func (s *endpointSet) free() {
	for i, e := range s {
		if e != nil {
			e.free()
			s[i] = nil
		}
	}
}

// withdraw makes endpoints unusable, and waits until nobody uses them.
func (d *device) withdraw(which func(i int) bool) (all endpointSet) {
	d.c.mu.Lock()
	for i, e := range d.endpoints {
		if e != nil && which(i) {
			all[i] = e
			e.close()
		}
	}
	d.c.mu.Unlock()
	for _, e := range all {
		if e != nil {
			e.leave()
		}
	}
	return all
}

// Release is usb.Device's.
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
	d.context = usb.Buffer{}
}
