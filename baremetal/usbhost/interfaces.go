package usbhost

import (
	"slices"

	"tamaccid/ccid/usb"
)

// Bounds of the interfaces of one configuration (policy).
const (
	maxInterfaces = 32
	maxSettings   = 16 // of one interface
	maxDescribed  = 64 // settings of all interfaces
)

// parseInterfaces groups the interface descriptors of a configuration by interface number. The
// settings of an interface are in the order of the configuration, with the default setting, 0,
// moved to the front. A damaged tail is cut off. A second descriptor of the same setting is
// ignored.
func parseInterfaces(config []byte, speed usb.Speed) ([][]usb.Interface, error) {
	all, err := usb.Interfaces(config)
	if len(all) == 0 {
		return nil, err // nil for a device without interfaces, which is allowed
	}
	var grouped [][]usb.Interface
	place := map[uint8]int{}
	owner := map[uint8]uint8{} // endpoint to interface
	described := 0
	for _, i := range all {
		if described == maxDescribed {
			break
		}
		at, known := place[i.Number]
		switch {
		case !known && len(grouped) == maxInterfaces:
			continue
		case !known:
			at = len(grouped)
			place[i.Number] = at
			grouped = append(grouped, nil)
		case len(grouped[at]) == maxSettings || hasSetting(grouped[at], i.AltSetting):
			continue
		}
		described++
		i.Endpoints = usable(i, speed, owner)
		grouped[at] = append(grouped[at], i)
		if last := len(grouped[at]) - 1; i.AltSetting == 0 && last > 0 {
			copy(grouped[at][1:], grouped[at][:last])
			grouped[at][0] = i
		}
	}
	return grouped, nil
}

func hasSetting(settings []usb.Interface, alt uint8) bool {
	return slices.ContainsFunc(settings, func(s usb.Interface) bool { return s.AltSetting == alt })
}

// endpointNumber is the mask of the endpoint number in bEndpointAddress (USB 2.0, table 9-13).
const endpointNumber = 0x0F

// usable returns the endpoints of an interface that the bus supports: bulk and interrupt endpoints
// with a packet size that no other interface has (USB 2.0, 9.6.6). A packet size above the limit of
// the speed is reduced to it.
func usable(i usb.Interface, speed usb.Speed, owner map[uint8]uint8) []usb.Endpoint {
	var kept []usb.Endpoint
	seen := map[uint8]bool{}
	for _, e := range i.Endpoints {
		e.Address &= usb.DirIn | endpointNumber
		user, taken := owner[e.Address]
		e.MaxPacketSize = min(e.MaxPacketSize, largestPacket(speed, e.Type))
		if e.Address&endpointNumber == 0 || e.MaxPacketSize == 0 ||
			seen[e.Address] || taken && user != i.Number {
			continue
		}
		if speed < usb.SpeedHigh || speed == usb.SpeedHigh && e.Type == usb.BulkTransfer {
			e.MaxBurst = 0
		}
		seen[e.Address], owner[e.Address] = true, i.Number
		kept = append(kept, e)
	}
	return kept
}

// largestPacket is the largest packet size of a transfer type, 0 for types that the bus does not
// support (USB 2.0, 5.7.3, 5.8.3; USB 3.2, 9.6.6). Low speed has no bulk endpoints in USB 2.0.
// Devices that have them nevertheless work with the packet size of their interrupt endpoints.
func largestPacket(speed usb.Speed, kind usb.TransferType) uint16 {
	if kind != usb.BulkTransfer && kind != usb.InterruptTransfer {
		return 0
	}
	switch {
	case speed == usb.SpeedLow:
		return 8
	case speed == usb.SpeedFull:
		return 64
	case speed == usb.SpeedHigh && kind == usb.BulkTransfer:
		return 512
	}
	return 1024
}
