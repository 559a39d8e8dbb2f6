package usbhost

import (
	"fmt"

	"tamaccid/ccid/usb"
)

// Bits of wPortStatus and wPortChange that both kinds of hub have (USB 2.0, tables 11-21, 11-22;
// USB 3.2, tables 10-13, 10-14).
const (
	bitConnection  = 1 << 0
	bitEnable      = 1 << 1
	bitOverCurrent = 1 << 3
	bitReset       = 1 << 4
)

// Bits of USB 2 hubs (USB 2.0, tables 11-21, 11-22).
const (
	bitSuspend   = 1 << 2
	bitPower     = 1 << 8
	bitLowSpeed  = 1 << 9
	bitHighSpeed = 1 << 10
)

// Bits of USB 3 hubs (USB 3.2, tables 10-13, 10-14).
const (
	superLinkShift   = 5
	superLinkMask    = 0xF
	superPower       = 1 << 9
	superSpeedMask   = 7 << 10 // 0: at least 5 Gb/s
	superWarmReset   = 1 << 5  // in wPortChange
	superLinkChange  = 1 << 6
	superConfigError = 1 << 7

	linkInactive   = 6 // values of the link state
	linkCompliance = 10
)

// parsePortStatus parses the response to GET_STATUS of a hub's port.
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
		Change:      parsePortChange(change, super),
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

func parsePortChange(change uint16, super bool) (c PortChange) {
	for _, k := range [...]struct {
		bit     uint16
		defined bool
		change  PortChange
	}{
		{bit: bitConnection, defined: true, change: ConnectChange},
		{bit: bitEnable, defined: !super, change: EnableChange},
		{bit: bitOverCurrent, defined: true, change: OverCurrentChange},
		{bit: bitReset, defined: true, change: ResetChange},
		{bit: superWarmReset, defined: super, change: ResetChange},
		{bit: superLinkChange, defined: super, change: LinkChange},
		{bit: superConfigError, defined: super, change: ConfigChange},
	} {
		if k.defined && change&k.bit != 0 {
			c |= k.change
		}
	}
	return c
}
