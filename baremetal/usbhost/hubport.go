package usbhost

import (
	"context"
	"errors"
	"fmt"

	"tamaccid/ccid/usb"
)

// Port features (USB 2.0, table 11-17; USB 3.2, table 10-9).
const (
	featurePortEnable      = 1
	featurePortReset       = 4
	featurePortPower       = 8
	featureChangeConnect   = 16
	featureChangeEnable    = 17
	featureChangeSuspend   = 18
	featureChangeCurrent   = 19
	featureChangeReset     = 20
	featureChangeLink      = 25
	featureChangeConfig    = 26
	featureWarmReset       = 28
	featureChangeWarmReset = 29
)

// Bits of wPortStatus and wPortChange. Those that both kinds of hub have (USB 2.0, tables 11-21, 11-22; USB 3.2, tables 10-13,
// 10-14):
const (
	bitConnection  = 1 << 0
	bitEnable      = 1 << 1
	bitOverCurrent = 1 << 3
	bitReset       = 1 << 4
)

// Those of USB 2 hubs:
const (
	bitSuspend   = 1 << 2
	bitPower     = 1 << 8
	bitLowSpeed  = 1 << 9
	bitHighSpeed = 1 << 10
)

// Those of USB 3 hubs:
const (
	superLinkShift   = 5
	superLinkMask    = 0xF
	superPower       = 1 << 9
	superSpeedMask   = 7 << 10 // 0: at least 5 Gb/s
	superWarmReset   = 1 << 5  // in wPortChange
	superLinkChange  = 1 << 6
	superConfigError = 1 << 7

	linkInactive   = 6 // USB 3.2, table 10-13
	linkCompliance = 10
)

// parsePortStatus reads the answer to GET_STATUS of a hub's port.
func parsePortStatus(b []byte, super bool) (PortStatus, error) {
	if len(b) < 4 {
		return PortStatus{}, fmt.Errorf("%w: port status of %d bytes", usb.ErrDescriptor, len(b))
	}
	status, change := uint16(b[0])|uint16(b[1])<<8, uint16(b[2])|uint16(b[3])<<8
	st := PortStatus{
		Connected:   status&bitConnection != 0,
		Enabled:     status&bitEnable != 0,
		OverCurrent: status&bitOverCurrent != 0,
		Resetting:   status&bitReset != 0,
		USB3:        super,
	}
	for _, c := range [...]struct {
		bit  uint16
		here bool
		is   PortChange
	}{
		{bitConnection, true, ConnectChange}, {bitEnable, !super, EnableChange}, {bitOverCurrent, true, OverCurrentChange},
		{bitReset, true, ResetChange}, {superWarmReset, super, ResetChange}, {superLinkChange, super, LinkChange},
		{superConfigError, super, ConfigChange},
	} {
		if c.here && change&c.bit != 0 {
			st.Change |= c.is
		}
	}
	if super {
		link := status >> superLinkShift & superLinkMask
		st.Powered = status&superPower != 0
		st.Stuck = link == linkInactive || link == linkCompliance
		if st.Enabled && status&superSpeedMask == 0 {
			st.Speed = usb.SpeedSuper
		}
		return st, nil
	}
	st.Powered = status&bitPower != 0
	switch {
	case !st.Enabled:
	case status&bitLowSpeed != 0:
		st.Speed = usb.SpeedLow
	case status&bitHighSpeed != 0:
		st.Speed = usb.SpeedHigh
	default:
		st.Speed = usb.SpeedFull
	}
	return st, nil
}

// status asks the hub. A change that nobody is told of is acknowledged here, or the hub would go on to report it.
func (h *hub) status(ctx context.Context, port int) (PortStatus, error) {
	var b [4]byte
	n, err := h.portRequest(ctx, usb.DirIn, usb.RequestGetStatus, 0, port, b[:])
	if err != nil {
		return PortStatus{}, err
	}
	st, err := parsePortStatus(b[:n], h.super)
	if err == nil && !h.super && b[2]&bitSuspend != 0 {
		err = h.clearChange(ctx, featureChangeSuspend, port)
	}
	return st, err
}

// setPower switches a port's power. All ports of a hub whose ports are switched together go on with the first and off with the
// last (USB 2.0, 11.11).
func (h *hub) setPower(ctx context.Context, port int, on bool) error {
	request := uint8(usb.RequestClearFeature)
	if on {
		request = usb.RequestSetFeature
	}
	return h.feature(ctx, request, featurePortPower, port)
}

func (h *hub) startReset(ctx context.Context, port int, kind Reset) error {
	feature := uint16(featurePortReset)
	if kind == WarmReset && h.super {
		feature = featureWarmReset
	}
	return h.feature(ctx, usb.RequestSetFeature, feature, port)
}

// disable ends the traffic on a port; a USB 3 port has no such feature, and is not disabled (see port.refuse).
func (h *hub) disable(ctx context.Context, port int) error {
	if h.super {
		return nil
	}
	return h.feature(ctx, usb.RequestClearFeature, featurePortEnable, port)
}

func (h *hub) acknowledge(ctx context.Context, port int, changes PortChange) error {
	for _, c := range [...]struct {
		is      PortChange
		here    bool
		feature uint16
	}{
		{ConnectChange, true, featureChangeConnect}, {EnableChange, !h.super, featureChangeEnable},
		{OverCurrentChange, true, featureChangeCurrent}, {ResetChange, true, featureChangeReset},
		{ResetChange, h.super, featureChangeWarmReset}, {LinkChange, h.super, featureChangeLink},
		{ConfigChange, h.super, featureChangeConfig},
	} {
		if !c.here || changes&c.is == 0 {
			continue
		}
		if err := h.clearChange(ctx, c.feature, port); err != nil {
			return err
		}
	}
	return nil
}

// clearChange acknowledges a change. A hub that does not know what it has told of itself is left in that belief.
func (h *hub) clearChange(ctx context.Context, feature uint16, port int) error {
	err := h.feature(ctx, usb.RequestClearFeature, feature, port)
	if errors.Is(err, usb.ErrStall) {
		return nil
	}
	return err
}

func (h *hub) feature(ctx context.Context, request uint8, feature uint16, port int) error {
	_, err := h.portRequest(ctx, usb.DirOut, request, feature, port, nil)
	return err
}

// recipientOther is a hub's port as the recipient of a class request (USB 2.0, table 11-15).
const recipientOther = 0x03

// portRequest is a class request for a port. A hub that does not answer it does not work any more; one that does not know the
// request may know others.
func (h *hub) portRequest(ctx context.Context, direction, request uint8, value uint16, port int, data []byte) (n int, err error) {
	n, err = h.device.request(ctx, usb.Setup{RequestType: direction | usb.TypeClass | recipientOther, Request: request,
		Value: value, Index: uint16(port), Length: uint16(len(data))}, data)
	if err != nil && !errors.Is(err, usb.ErrStall) {
		err = fmt.Errorf("%w: port %d: %w", errHub, port, err)
		h.fail(ctx, err)
	}
	return n, err
}
