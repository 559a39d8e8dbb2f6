package usbtest

import (
	"context"
	"errors"
	"slices"
	"time"

	"tamaccid/baremetal/usbhost"
	"tamaccid/ccid/usb"
)

// handle implements usbhost.Device.
type handle struct {
	c        *Controller
	node     *node
	location usbhost.Location
	ttHub    *handle // the hub with the address location.TTHub, or nil

	// Protected by world.
	address   uint8 // 0 before Address
	mps0      int
	hub       usbhost.HubInfo
	endpoints []usb.Endpoint
	flight    map[uint8]context.CancelCauseFunc
	released  bool
}

// find returns the device at a location, or nil. world is held.
func (c *Controller) find(at usbhost.Location) *node {
	p := c.ports[at.RootPort-1]
	for tier := range at.Tier {
		h, ok := p.deviceHub()
		n := int(at.Route >> (4 * tier) & 15)
		if !ok || n < 1 || n > len(h.ports) {
			return nil
		}
		p = h.ports[n-1]
	}
	return p.node
}

// NewDevice implements usbhost.Controller.
func (c *Controller) NewDevice(ctx context.Context, at usbhost.Location) (usbhost.Device, error) {
	world.Lock()
	n := c.find(at)
	name := "?"
	var d Device
	if n != nil {
		name, d = n.port.name(), n.device
	}
	world.Unlock()
	err := c.step(Step{Do: "new device", Device: d, Port: name, Location: at})
	if d != nil && err == nil {
		size := packet0(d)
		world.Lock()
		n.packet0 = size
		world.Unlock()
	}
	world.Lock()
	defer world.Unlock()
	switch {
	case err != nil:
		return nil, err
	case c.dead != nil:
		return nil, c.dead
	case c.closed:
		return nil, usb.ErrGone
	case len(c.handles) >= c.model.Slots:
		return nil, usbhost.ErrNoRoom
	}
	ttHub := c.handleOf(at.TTHub)
	c.check(n, at, ttHub)
	if c.inAddress++; c.inAddress > 1 {
		c.violate("a device before another one had its address")
	}
	h := &handle{c: c, node: n, location: at, ttHub: ttHub,
		flight: map[uint8]context.CancelCauseFunc{}, mps0: 8}
	if h.node == nil {
		h.node = &node{} // no device responds
	}
	switch at.Speed {
	case usb.SpeedHigh:
		h.mps0 = 64
	case usb.SpeedSuper:
		h.mps0 = 512
	}
	c.handles[h] = true
	return h, nil
}

// check compares a location with the place of the device. tt is the hub with the address TTHub.
// world is held.
func (c *Controller) check(n *node, at usbhost.Location, tt *handle) {
	if n == nil || !n.reachable() {
		return
	}
	if at.Speed != n.port.status.Speed {
		c.violate("%s is at %s, not %s", n.port.name(), n.port.status.Speed, at.Speed)
	}
	var translator *port
	if at.Speed < usb.SpeedHigh {
		for p := n.port; p.hub != nil && p.hub.at != nil; p = p.hub.at {
			if p.hub.at.status.Speed == usb.SpeedHigh {
				translator = p
				break
			}
		}
	}
	switch {
	case translator == nil && at.TTHub != 0:
		c.violate("%s has no transaction translator", n.port.name())
	case translator != nil &&
		(tt == nil || tt.node.device != Device(translator.hub) ||
			int(at.TTPort) != translator.number ||
			at.MultiTT != (translator.hub.setting == 1)):
		c.violate("the transaction translator of %s is wrong", n.port.name())
	}
}

// handleOf returns the handle of the device with an address, nil for address 0. world is held.
func (c *Controller) handleOf(address uint8) *handle {
	for h := range c.handles {
		if address != 0 && h.address == address {
			return h
		}
	}
	return nil
}

// end ends all transfers. world is held.
func (h *handle) end(err error) {
	for _, cancel := range h.flight {
		cancel(err)
	}
}

// Times without a request after a reset, and after SET_ADDRESS (USB 2.0, 7.1.7.5, 9.2.6.3).
const (
	resetRecovery   = 10 * time.Millisecond
	addressRecovery = 2 * time.Millisecond
)

// freeAddress is the lowest address that is not in use: a released address is used again at once.
// world is held.
func (c *Controller) freeAddress() (a uint8) {
	for a = 1; ; a++ {
		taken := false
		for h := range c.handles {
			taken = taken || h.address == a
		}
		if !taken {
			return a
		}
	}
}

// kind is the transfer type of an endpoint. world is held.
func (h *handle) kind(endpoint uint8) usb.TransferType {
	for _, e := range h.endpoints {
		if e.Address == endpoint {
			return e.Type
		}
	}
	return usb.ControlTransfer
}

// run performs an action on an endpoint. f is its effect, takes the shortest duration.
func (h *handle) run(
	ctx context.Context, s Step, takes, timeout time.Duration,
	f func(ctx context.Context) (int, error),
) (n int, err error) {
	c := h.c
	s.Device, s.Location = h.node.device, h.location
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	world.Lock()
	if h.node.port != nil {
		s.Port = h.node.port.name()
	}
	switch {
	case c.dead != nil:
		err = c.dead
	case h.released || c.closed:
		err = usb.ErrGone
	case h.flight[s.Endpoint] != nil:
		c.violate("two transfers at a time on endpoint %#02x of %s", s.Endpoint, s.Port)
	case h.node.port != nil && !h.node.reset.IsZero() && time.Since(h.node.reset) < resetRecovery:
		c.violate("%s %v after the reset of %s", s.Do, time.Since(h.node.reset), s.Port)
	case s.Do != "address" && h.node.port != nil && time.Since(h.node.addressed) < addressRecovery:
		c.violate("%s %v after %s was given its address", s.Do, time.Since(h.node.addressed),
			s.Port)
	}
	if err == nil {
		h.flight[s.Endpoint] = cancel
		if !h.node.reachable() || h.node.silent() {
			cancel(usb.ErrTransfer)
		}
	}
	buffer := h.buffer(s)
	busy := err == nil && buffer.busy()
	if busy {
		c.blocked++
	}
	world.Unlock()
	if err != nil {
		return 0, err
	}
	defer func() {
		world.Lock()
		defer world.Unlock()
		buffer.end(err)
	}()
	if timeout > 0 {
		timer := time.AfterFunc(timeout, func() { cancel(usb.ErrTimeout) })
		defer timer.Stop()
	}
	err = c.step(s)
	if err == nil {
		err = sleep(inner, takes)
	}
	if err == nil && busy {
		err = usb.ErrTransfer
	}
	if err == nil {
		n, err = f(inner)
	}
	if errors.Is(err, ErrBlocked) {
		<-inner.Done()
		err = inner.Err()
	}
	world.Lock()
	delete(h.flight, s.Endpoint)
	world.Unlock()
	if inner.Err() != nil && (err != nil || errors.Is(context.Cause(inner), usb.ErrTransfer)) {
		if ctx.Err() != nil {
			return n, ctx.Err()
		}
		return n, context.Cause(inner)
	}
	if errors.Is(err, usb.ErrGone) {
		err = usb.ErrTransfer // the controller cannot detect a disconnect
	}
	return n, err
}

// addressTime is the duration of Address.
const addressTime = time.Millisecond

// Address implements usbhost.Device, as the following methods do.
func (h *handle) Address(ctx context.Context) (uint8, error) {
	defer func() {
		world.Lock()
		h.c.inAddress--
		world.Unlock()
	}()
	_, err := h.run(ctx, Step{Do: "address"}, addressTime, 0, func(context.Context) (int, error) {
		world.Lock()
		defer world.Unlock()
		switch {
		case !h.node.atDefault || !h.node.reachable():
			return 0, usb.ErrTransfer
		case !h.node.port.super && h.c.atDefault(h.node):
			h.c.violate("two devices at the default address when %s was given its own",
				h.node.port.name())
		}
		h.address = h.c.freeAddress()
		h.node.addressed = time.Now()
		time.AfterFunc(addressRecovery, func() {
			world.Lock()
			defer world.Unlock()
			if time.Since(h.node.addressed) >= addressRecovery &&
				h.node.reset.Before(h.node.addressed) {
				h.node.atDefault = false
			}
		})
		return 0, nil
	})
	world.Lock()
	defer world.Unlock()
	return h.address, err
}

// SetMaxPacketSize0 records the size.
func (h *handle) SetMaxPacketSize0(_ context.Context, n int) error {
	err := h.c.step(Step{Do: "packet size", Device: h.node.device, Location: h.location})
	world.Lock()
	defer world.Unlock()
	h.mps0 = n
	return err
}

// SetHub records the description of the hub.
func (h *handle) SetHub(_ context.Context, info usbhost.HubInfo) error {
	err := h.c.step(Step{Do: "hub", Device: h.node.device, Location: h.location, Hub: info})
	world.Lock()
	defer world.Unlock()
	h.hub = info
	return err
}

// Configure replaces the endpoints.
func (h *handle) Configure(_ context.Context, endpoints []usb.Endpoint) error {
	err := h.c.step(Step{Do: "configure", Device: h.node.device, Location: h.location})
	world.Lock()
	defer world.Unlock()
	if err != nil {
		return err
	}
	seen := map[uint8]bool{}
	for _, e := range endpoints {
		if e.Address&0x0F == 0 || seen[e.Address] || e.Type == usb.IsochronousTransfer ||
			e.Type == usb.ControlTransfer || e.MaxPacketSize == 0 {
			h.c.violate("bad endpoint %+v", e)
		}
		seen[e.Address] = true
	}
	for _, e := range h.endpoints {
		if cancel := h.flight[e.Address]; cancel != nil && !slices.Contains(endpoints, e) {
			cancel(usb.ErrGone)
		}
	}
	h.endpoints = slices.Clone(endpoints)
	return nil
}

// Control performs a control transfer. While the packet size is wrong, a response of more than one
// packet fails or ends early.
func (h *handle) Control(ctx context.Context, setup usb.Setup, data []byte,
	timeout time.Duration) (int, error) {
	return h.run(ctx, Step{Do: "control", Setup: setup}, h.c.model.ControlTime, timeout,
		func(ctx context.Context) (int, error) {
			n, err := h.node.device.Control(ctx, setup, data[:setup.Length])
			world.Lock()
			defer world.Unlock()
			switch {
			case n > h.mps0 && h.node.packet0 > h.mps0:
				return 0, usb.ErrBabble
			case h.node.packet0 < h.mps0:
				n = min(n, h.node.packet0) // a short packet ends the transfer
			}
			return n, err
		})
}

// Transfer performs a transfer on another endpoint.
func (h *handle) Transfer(ctx context.Context, endpoint uint8, buf []byte,
	timeout time.Duration) (int, error) {
	world.Lock()
	if !slices.ContainsFunc(h.endpoints,
		func(e usb.Endpoint) bool { return e.Address == endpoint }) {
		h.c.violate("transfer on endpoint %#02x, which does not exist", endpoint)
	}
	world.Unlock()
	return h.run(ctx, Step{Do: "transfer", Endpoint: endpoint}, h.c.model.TransferTime, timeout,
		func(ctx context.Context) (int, error) {
			if endpoint&usb.DirIn != 0 {
				return h.node.device.In(ctx, endpoint, buf)
			}
			if err := h.node.device.Out(ctx, endpoint, buf); err != nil {
				return 0, err
			}
			return len(buf), nil
		})
}

// ResetEndpoint records the call.
func (h *handle) ResetEndpoint(_ context.Context, endpoint uint8) error {
	return h.c.step(Step{Do: "reset endpoint", Device: h.node.device, Endpoint: endpoint,
		Location: h.location})
}

// Cancel ends the transfer on an endpoint.
func (h *handle) Cancel(endpoint uint8) {
	world.Lock()
	defer world.Unlock()
	if cancel := h.flight[endpoint]; cancel != nil {
		cancel(context.Canceled)
	}
}

// MaxTransfer is the model's.
func (h *handle) MaxTransfer() int { return h.c.model.MaxTransfer }

// Release ends all transfers.
func (h *handle) Release() {
	world.Lock()
	defer world.Unlock()
	if h.released {
		h.c.violate("released twice")
	}
	h.released = true
	h.end(usb.ErrGone)
	delete(h.c.handles, h)
}
