package usbhost

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tamaccid/ccid/usb"
)

// A hub (USB 2.0, 11; USB 3.2, 10). configureHub is part of its device's bringUp; then run watches its status change pipe until the
// device is removed.
//
//	event                          | what happens
//	a port's bit in the bitmap     | that port is woken
//	bit 0: over-current begins     | Options.Report hears of it; all ports are off by themselves, and their devices go
//	bit 0: over-current has ended  | all ports are switched on again
//	bit 0: local power             | acknowledged; what it means for the ports they tell themselves
//	the pipe stalls                | its halt is cleared, pipeTries times in a row
//	anything else goes wrong       | the hub's own port hears of it: the hub is removed with all behind it, and brought up anew
//	                               | (bounded there)
type hub struct {
	device *device
	branch *branch
	super  bool
	multi  bool // a transaction translator for each port
	pipe   usb.Endpoint
}

// Timing of hub ports.
const (
	// hubReset and hubResetSlack are how long a hub drives reset (USB 2.0, 7.1.7.5, TDRST: 10 to 20 ms).
	hubReset      = 10 * time.Millisecond
	hubResetSlack = 10 * time.Millisecond
	// hubPoll is how often a port in reset is asked: the status change pipe tells it too, but may take 255 ms (policy).
	hubPoll = 2 * time.Millisecond
)

// pipeTries is how often in a row the status change pipe may fail (policy).
const pipeTries = 3

// Hub class requests and their values (USB 2.0, tables 11-16, 11-17, 11-19; USB 3.2, table 10-7).
const (
	requestSetHubDepth        = 12
	featureChangeLocalPower   = 0
	featureChangeHubCurrent   = 1
	hubLocalPower             = 1 << 0 // in wHubChange
	hubOverCurrent            = 1 << 1 // in wHubStatus and wHubChange
	protocolMultiTT           = 2      // bInterfaceProtocol of the setting with a translator for each port (USB 2.0, 11.23.1)
	statusChangePacketLargest = 1024
)

// configureHub makes a hub of a configured device (USB 2.0, 11.23, 11.24).
func (d *device) configureHub() error {
	if d.location.Tier >= maxHubs {
		return errTiers
	}
	if d.location.Speed == usb.SpeedLow {
		return fmt.Errorf("%w: low-speed hub", usb.ErrDescriptor)
	}
	h := &hub{device: d, super: d.location.Speed == usb.SpeedSuper}
	if err := h.selectSetting(); err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	desc, err := h.describe()
	if err != nil {
		return fmt.Errorf("hub descriptor: %w", err)
	}
	info := HubInfo{Ports: uint8(desc.ports), MultiTT: h.multi, ThinkTime: desc.thinkTime}
	if err := d.hardware.SetHub(d.ctx, info); err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	if h.super {
		// How many hubs there are in front of it tells the hub where in a route string to look (USB 3.2, 10.16.2.9).
		_, err := d.request(d.ctx, usb.Setup{RequestType: usb.DirOut | usb.TypeClass | usb.ToDevice, Request: requestSetHubDepth,
			Value: uint16(d.location.Tier)}, nil)
		if err != nil {
			return fmt.Errorf("hub depth: %w", err)
		}
	}
	h.branch = newBranch(d.root, h, d, desc.ports, timing{reset: hubReset, slack: hubResetSlack, poll: hubPoll, powerGood: desc.powerGood})
	d.hub = h
	return nil
}

// selectSetting finds the status change pipe, and takes the setting with a translator for each port if there is one. A hub that refuses
// it is in the setting that it was in, and has one translator; of one that does not answer nobody knows.
func (h *hub) selectSetting() error {
	d := h.device
	i, index, err := d.findSetting(func(s usb.Interface) bool { return s.Class == classHub })
	if err != nil {
		return err
	}
	multi := slices.IndexFunc(i.settings, func(s usb.Interface) bool { return s.Class == classHub && s.Protocol == protocolMultiTT })
	if multi >= 0 && d.location.Speed == usb.SpeedHigh {
		switch err := h.take(i, multi); {
		case err == nil:
			index, h.multi = multi, true
		case !errors.Is(err, usb.ErrStall):
			return err
		}
	}
	if err := h.take(i, index); err != nil {
		return err
	}
	for _, e := range i.settings[index].Endpoints {
		if e.Type == usb.InterruptTransfer && e.In() {
			h.pipe = e
			return nil
		}
	}
	return fmt.Errorf("%w: no status change endpoint", usb.ErrDescriptor)
}

// take puts the hub's interface into a setting, unless it is in it.
func (h *hub) take(i *Interface, index int) error {
	if index == i.current { // nobody else changes it before the hub runs
		return nil
	}
	return h.device.setInterface(h.device.ctx, i, index)
}

func (h *hub) describe() (hubDescriptor, error) {
	kind, size := uint16(typeHub), hubDescriptorSize
	if h.super {
		kind, size = typeSuperHub, superHubLeast
	}
	b := make([]byte, size)
	n, err := h.device.request(h.device.ctx, usb.Setup{RequestType: usb.DirIn | usb.TypeClass | usb.ToDevice,
		Request: usb.RequestGetDescriptor, Value: kind << 8, Length: uint16(size)}, b)
	if err != nil {
		return hubDescriptor{}, err
	}
	return parseHubDescriptor(b[:n], h.super)
}

// run begins to use the hub.
func (h *hub) run() {
	h.device.bus.begin() // until the ports have been looked at
	if !h.branch.start(h.work) {
		h.device.bus.done()
	}
}

func (h *hub) work() {
	ctx := h.branch.ctx
	err := h.branch.powerUp()
	h.device.bus.done()
	if err == nil {
		err = h.listen(ctx)
	}
	h.fail(ctx, err)
}

// fail tells the hub's port that the hub does not work any more.
func (h *hub) fail(ctx context.Context, err error) {
	if ctx.Err() == nil && h.branch.ctx.Err() == nil {
		h.device.port.fail(err)
	}
}

// listen reads the status change pipe. A bitmap may be shorter than the buffer, which has whole packets.
func (h *hub) listen(ctx context.Context) error {
	packet := int(h.pipe.MaxPacketSize)
	buf := make([]byte, (len(h.branch.ports)/8+packet)/packet*packet)
	for failures := 0; ; {
		n, err := h.device.transfer(ctx, &h.pipe, buf, 0)
		if err == nil {
			failures = 0
			if err := h.changes(ctx, buf[:min(n, len(buf))]); err != nil {
				return err
			}
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if failures++; failures > pipeTries || errors.Is(err, usb.ErrGone) || errors.Is(err, ErrDead) {
			return fmt.Errorf("usb: status change pipe: %w", err)
		}
		if err := h.clearHalt(ctx); err != nil {
			return err
		}
	}
}

func (h *hub) clearHalt(ctx context.Context) error {
	_, err := h.device.request(ctx, usb.Setup{RequestType: usb.DirOut | usb.TypeStandard | usb.ToEndpoint,
		Request: usb.RequestClearFeature, Value: usb.FeatureEndpointHalt, Index: uint16(h.pipe.Address)}, nil)
	if err != nil {
		return err
	}
	return h.device.hardware.ResetEndpoint(ctx, h.pipe.Address)
}

// changes does what a bitmap says.
func (h *hub) changes(ctx context.Context, bitmap []byte) error {
	whole, ports := changedPorts(bitmap, len(h.branch.ports))
	for _, n := range ports {
		h.branch.ports[n-1].poke()
	}
	if whole {
		return h.hubChange(ctx)
	}
	return nil
}

// hubChange reads what happened to the hub as a whole (USB 2.0, 11.24.2.6).
func (h *hub) hubChange(ctx context.Context) error {
	var b [4]byte
	n, err := h.device.request(ctx, usb.Setup{RequestType: usb.DirIn | usb.TypeClass | usb.ToDevice, Request: usb.RequestGetStatus,
		Length: uint16(len(b))}, b[:])
	if err != nil {
		return err
	}
	if n < len(b) {
		return fmt.Errorf("%w: hub status of %d bytes", usb.ErrDescriptor, n)
	}
	status, change := b[0], b[2]
	if change&hubLocalPower != 0 {
		if err := h.clear(ctx, featureChangeLocalPower); err != nil {
			return err
		}
	}
	if change&hubOverCurrent == 0 {
		return nil
	}
	if err := h.clear(ctx, featureChangeHubCurrent); err != nil {
		return err
	}
	if status&hubOverCurrent != 0 {
		h.device.port.report(OverCurrent, nil)
		return nil
	}
	return h.branch.powerUp()
}

// clear acknowledges a change of the hub as a whole.
func (h *hub) clear(ctx context.Context, feature uint16) error {
	_, err := h.device.request(ctx, usb.Setup{RequestType: usb.DirOut | usb.TypeClass | usb.ToDevice, Request: usb.RequestClearFeature,
		Value: feature}, nil)
	return err
}
