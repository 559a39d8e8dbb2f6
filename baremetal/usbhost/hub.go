package usbhost

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tamaccid/ccid/usb"
)

// A hub (USB 2.0, 11; USB 3.2, 10). newHub is the last step of the enumeration of its device. Then
// run reads its status change endpoint until the device is removed.
//
//	event                          | action
//	a port's bit in the bitmap     | that port is checked
//	bit 0: over-current begins     | reported; the hub has switched off all ports
//	bit 0: over-current has ended  | all ports are switched on again
//	bit 0: local power             | acknowledged; the status of the ports shows the consequences
//	the endpoint stalls            | its halt is cleared, up to pipeTries times in a row
//	any other error                | port.fail: the hub and all behind it are removed, and the
//	                               | hub is enumerated again (the port bounds how often)
type hub struct {
	device *device
	ports  *ports
	super  bool
	pipe   usb.Endpoint // status change endpoint
}

// Timing of hub ports.
const (
	// hubReset and hubResetSlack are the duration of a reset by a hub (USB 2.0, 7.1.7.5, TDRST: 10
	// to 20 ms).
	hubReset      = 10 * time.Millisecond
	hubResetSlack = 10 * time.Millisecond
	// hubPoll is the time between two reads of the status of a port in reset. The status change
	// endpoint reports the end too, but up to 255 ms late (policy).
	hubPoll = 2 * time.Millisecond
)

// pipeTries is how often in a row the status change endpoint may fail (policy).
const pipeTries = 3

// Hub class requests and their values (USB 2.0, tables 11-16, 11-17, 11-19; USB 3.2, table 10-7).
const (
	requestSetHubDepth      = 12
	featureChangeLocalPower = 0
	featureChangeHubCurrent = 1
	hubLocalPower           = 1 << 0 // in wHubChange
	hubOverCurrent          = 1 << 1 // in wHubStatus and wHubChange

	// protocolMultiTT is bInterfaceProtocol of the setting with a translator per port (USB 2.0,
	// 11.23.1).
	protocolMultiTT = 2
)

// newHub makes a hub of a configured device (USB 2.0, 11.23, 11.24).
func newHub(t *tree, d *device) (downstream, error) {
	if d.location.Tier >= maxHubs {
		return nil, errTiers
	}
	if d.location.Speed == usb.SpeedLow {
		return nil, fmt.Errorf("%w: low-speed hub", usb.ErrDescriptor)
	}
	h := &hub{device: d, super: d.location.Speed == usb.SpeedSuper}
	multiTT, err := h.selectSetting()
	if err != nil {
		return nil, fmt.Errorf("hub: %w", err)
	}
	desc, err := h.describe()
	if err != nil {
		return nil, fmt.Errorf("hub descriptor: %w", err)
	}
	info := HubInfo{Ports: uint8(desc.ports), MultiTT: multiTT, ThinkTime: desc.thinkTime}
	if err := d.hardware.SetHub(d.ctx, info); err != nil {
		return nil, fmt.Errorf("hub: %w", err)
	}
	if h.super {
		// A USB 3 hub needs its tier to find its part of a route string (USB 3.2, 10.16.2.9).
		_, err := h.request(d.ctx, usb.DirOut, requestSetHubDepth, uint16(d.location.Tier), nil)
		if err != nil {
			return nil, fmt.Errorf("hub depth: %w", err)
		}
	}
	control := &hubPorts{device: d, super: h.super, fail: h.fail}
	up := newUpstream(t, control, d, timing{
		reset: hubReset, slack: hubResetSlack, poll: hubPoll, powerGood: desc.powerGood,
	})
	up.multiTT = multiTT
	h.ports = newPorts(up, desc.ports)
	return h, nil
}

// request sends a class request for the hub as a whole.
func (h *hub) request(
	ctx context.Context, direction, request uint8, value uint16, data []byte,
) (n int, err error) {
	return h.device.request(ctx, usb.Setup{
		RequestType: direction | usb.TypeClass | usb.ToDevice,
		Request:     request,
		Value:       value,
		Length:      uint16(len(data)),
	}, data)
}

// selectSetting finds the status change endpoint, and selects the setting with a translator per
// port if the hub has one; multiTT reports whether it did. A hub that stalls the request stays in
// its setting with one translator. After any other error its setting is unknown.
func (h *hub) selectSetting() (multiTT bool, err error) {
	d := h.device
	isHub := func(s usb.Interface) bool { return s.Class == classHub }
	i, index, err := d.findSetting(isHub)
	if err != nil {
		return false, err
	}
	multi := slices.IndexFunc(i.settings,
		func(s usb.Interface) bool { return isHub(s) && s.Protocol == protocolMultiTT })
	if multi >= 0 && d.location.Speed == usb.SpeedHigh {
		switch err := h.setInterface(i, multi); {
		case err == nil:
			index, multiTT = multi, true
		case !errors.Is(err, usb.ErrStall):
			return false, err
		}
	}
	if err := h.setInterface(i, index); err != nil {
		return false, err
	}
	for _, e := range i.settings[index].Endpoints {
		if e.Type == usb.InterruptTransfer && e.In() {
			h.pipe = e
			return multiTT, nil
		}
	}
	return false, fmt.Errorf("%w: no status change endpoint", usb.ErrDescriptor)
}

// setInterface selects a setting of the hub's interface, unless it is the current one.
func (h *hub) setInterface(i *Interface, index int) error {
	if index == i.current { // not changed by others before the hub runs
		return nil
	}
	return h.device.setInterface(h.device.ctx, i, index)
}

// describe reads the hub descriptor.
func (h *hub) describe() (hubDescriptor, error) {
	kind, size := uint16(typeHub), hubDescriptorSize
	if h.super {
		kind, size = typeSuperHub, superHubLeast
	}
	b := make([]byte, size)
	n, err := h.request(h.device.ctx, usb.DirIn, usb.RequestGetDescriptor, kind<<8, b)
	if err != nil {
		return hubDescriptor{}, err
	}
	return parseHubDescriptor(b[:n], h.super)
}

// run starts to operate the hub.
func (h *hub) run() {
	h.ports.up.tree.work.begin() // until the ports were checked
	if !h.ports.up.start(h.operate) {
		h.ports.up.tree.work.done()
	}
}

// close removes all devices behind the hub.
func (h *hub) close() { h.ports.up.close() }

func (h *hub) operate() {
	err := h.ports.powerUp()
	h.ports.up.tree.work.done()
	if err == nil {
		err = h.readChanges()
	}
	h.fail(err)
}

// fail makes the hub's port enumerate it again, unless the hub was removed.
func (h *hub) fail(err error) {
	if h.ports.up.ctx.Err() == nil {
		h.device.port.fail(err)
	}
}

// readChanges reads the status change endpoint. A bitmap may be shorter than the buffer, which has
// whole packets.
func (h *hub) readChanges() error {
	packet := int(h.pipe.MaxPacketSize)
	buf := make([]byte, (len(h.ports.all)/8+packet)/packet*packet)
	for failures := 0; ; {
		n, err := h.device.transfer(h.ports.up.ctx, &h.pipe, buf, 0)
		if err == nil {
			failures = 0
			if err := h.handle(buf[:min(n, len(buf))]); err != nil {
				return err
			}
			continue
		}
		if h.ports.up.ctx.Err() != nil {
			return h.ports.up.ctx.Err()
		}
		failures++
		if failures > pipeTries || errors.Is(err, usb.ErrGone) || errors.Is(err, ErrDead) {
			return fmt.Errorf("usb: status change endpoint: %w", err)
		}
		if err := h.clearHalt(); err != nil {
			return err
		}
	}
}

func (h *hub) clearHalt() error {
	if _, err := h.device.request(h.ports.up.ctx, clearHalt(h.pipe.Address), nil); err != nil {
		return err
	}
	return h.device.hardware.ResetEndpoint(h.ports.up.ctx, h.pipe.Address)
}

// handle handles the changes of a bitmap.
func (h *hub) handle(bitmap []byte) error {
	whole, ports := changedPorts(bitmap, len(h.ports.all))
	for _, n := range ports {
		h.ports.all[n-1].check()
	}
	if whole {
		return h.handleHub()
	}
	return nil
}

// handleHub handles a change of the hub as a whole (USB 2.0, 11.24.2.6).
func (h *hub) handleHub() error {
	var b [4]byte
	n, err := h.request(h.ports.up.ctx, usb.DirIn, usb.RequestGetStatus, 0, b[:])
	if err != nil {
		return err
	}
	if n < len(b) {
		return fmt.Errorf("%w: hub status of %d bytes", usb.ErrDescriptor, n)
	}
	status, change := b[0], b[2]
	if change&hubLocalPower != 0 {
		if err := h.clearChange(featureChangeLocalPower); err != nil {
			return err
		}
	}
	if change&hubOverCurrent == 0 {
		return nil
	}
	if err := h.clearChange(featureChangeHubCurrent); err != nil {
		return err
	}
	if status&hubOverCurrent != 0 {
		h.device.port.report(OverCurrent, nil)
		return nil
	}
	return h.ports.powerUp()
}

// clearChange acknowledges a change of the hub as a whole.
func (h *hub) clearChange(feature uint16) error {
	_, err := h.request(h.ports.up.ctx, usb.DirOut, usb.RequestClearFeature, feature, nil)
	return err
}
