package xhci

import (
	"context"

	"tamaccid/ccid/usb"
)

// endpointSet is the endpoints of a device by index, nil where there is none.
type endpointSet [contextCount]*endpoint

// bits has a bit for each endpoint, as the add and drop flags have.
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

// Configure implements usbhost.Device. After an error the endpoints to be removed are unusable.
func (d *device) Configure(ctx context.Context, endpoints []usb.Endpoint) error {
	next, fresh, err := d.prepare(endpoints)
	if err != nil {
		return err
	}
	old := d.withdraw(func(i int) bool {
		return i != defaultPipe && next[i] != d.endpoints[i]
	})
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

// prepare creates the endpoints that the device does not have yet. next has all endpoints, fresh
// the new ones among them.
func (d *device) prepare(endpoints []usb.Endpoint) (next, fresh endpointSet, err error) {
	d.c.mu.Lock()
	now := d.endpoints
	d.c.mu.Unlock()
	next[defaultPipe] = now[defaultPipe]
	for _, w := range endpoints {
		i := endpointIndex(w.Address)
		supported := w.Type == usb.BulkTransfer || w.Type == usb.InterruptTransfer
		if i == defaultPipe || next[i] != nil || !supported {
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

// withdraw makes endpoints unusable, and waits until no call uses them. It returns them.
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

// lastEndpoint is the highest endpoint index in use.
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
