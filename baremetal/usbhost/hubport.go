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

// hubPorts operates the ports of a hub by requests to it.
type hubPorts struct {
	device *device // the hub
	super  bool
	fail   func(error) // called when the hub does not respond
}

// status reads the status of a port. Changes that PortChange does not have are acknowledged here,
// or the hub would report them again and again.
func (h *hubPorts) status(ctx context.Context, port int) (PortStatus, error) {
	var b [4]byte
	n, err := h.request(ctx, usb.DirIn, usb.RequestGetStatus, 0, port, b[:])
	if err != nil {
		return PortStatus{}, err
	}
	st, err := parsePortStatus(b[:n], h.super)
	if err == nil && !h.super && b[2]&bitSuspend != 0 {
		err = h.clearChange(ctx, featureChangeSuspend, port)
	}
	return st, err
}

// setPower switches the power of a port. Of a hub with ganged power switching, all ports go on with
// the first and off with the last one (USB 2.0, 11.11).
func (h *hubPorts) setPower(ctx context.Context, port int, on bool) error {
	request := uint8(usb.RequestClearFeature)
	if on {
		request = usb.RequestSetFeature
	}
	return h.feature(ctx, request, featurePortPower, port)
}

func (h *hubPorts) startReset(ctx context.Context, port int, kind Reset) error {
	feature := uint16(featurePortReset)
	if kind == WarmReset && h.super {
		feature = featureWarmReset
	}
	return h.feature(ctx, usb.RequestSetFeature, feature, port)
}

// disable disables a port. A USB 3 port is not disabled: the request does not exist, and a disabled
// port would not detect that the device is unplugged (USB 3.2, 10.3.1.1).
func (h *hubPorts) disable(ctx context.Context, port int) error {
	if h.super {
		return nil
	}
	return h.feature(ctx, usb.RequestClearFeature, featurePortEnable, port)
}

func (h *hubPorts) acknowledge(ctx context.Context, port int, changes PortChange) error {
	for _, k := range [...]struct {
		change  PortChange
		defined bool
		feature uint16
	}{
		{change: ConnectChange, defined: true, feature: featureChangeConnect},
		{change: EnableChange, defined: !h.super, feature: featureChangeEnable},
		{change: OverCurrentChange, defined: true, feature: featureChangeCurrent},
		{change: ResetChange, defined: true, feature: featureChangeReset},
		{change: ResetChange, defined: h.super, feature: featureChangeWarmReset},
		{change: LinkChange, defined: h.super, feature: featureChangeLink},
		{change: ConfigChange, defined: h.super, feature: featureChangeConfig},
	} {
		if !k.defined || changes&k.change == 0 {
			continue
		}
		if err := h.clearChange(ctx, k.feature, port); err != nil {
			return err
		}
	}
	return nil
}

// clearChange acknowledges a change. A stall is ignored: the hub does not support the change that
// it has reported.
func (h *hubPorts) clearChange(ctx context.Context, feature uint16, port int) error {
	err := h.feature(ctx, usb.RequestClearFeature, feature, port)
	if errors.Is(err, usb.ErrStall) {
		return nil
	}
	return err
}

func (h *hubPorts) feature(ctx context.Context, request uint8, feature uint16, port int) error {
	_, err := h.request(ctx, usb.DirOut, request, feature, port, nil)
	return err
}

// request sends a class request for a port. Any error other than a stall is an error of the hub.
func (h *hubPorts) request(
	ctx context.Context, direction, request uint8, value uint16, port int, data []byte,
) (n int, err error) {
	n, err = h.device.request(ctx, usb.Setup{
		RequestType: direction | usb.TypeClass | recipientOther,
		Request:     request,
		Value:       value,
		Index:       uint16(port),
		Length:      uint16(len(data)),
	}, data)
	if err != nil && !errors.Is(err, usb.ErrStall) {
		err = fmt.Errorf("%w: port %d: %w", errHub, port, err)
		if ctx.Err() == nil {
			h.fail(err)
		}
	}
	return n, err
}
