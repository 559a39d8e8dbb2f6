package usbhost

import (
	"fmt"

	"tamaccid/ccid/usb"
)

// parseInterfaces groups a configuration's interfaces by their number, the settings of one in the order in which they came, the
// default one, 0, first. A damaged tail is cut off. A setting that came before is not taken again.
func parseInterfaces(config []byte, speed usb.Speed) ([][]usb.Interface, error) {
	all, err := usb.Interfaces(config)
	if len(all) == 0 {
		return nil, err // a device without interfaces is allowed: nobody will want it
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
	for _, s := range settings {
		if s.AltSetting == alt {
			return true
		}
	}
	return false
}

// endpointNumber is the part of an endpoint's address that may be set besides its direction (USB 2.0, table 9-13).
const endpointNumber = 0x0F

// usable are the endpoints of an interface that can be worked with: not the default pipe, no further control pipe and none that is
// isochronous, none that this or another interface has already (USB 2.0, 9.6.6), none without a packet size. Sizes are cut
// down to what the speed has, which is what goes over the wire.
func usable(i usb.Interface, speed usb.Speed, owner map[uint8]uint8) []usb.Endpoint {
	var kept []usb.Endpoint
	seen := map[uint8]bool{}
	for _, e := range i.Endpoints {
		e.Address &= usb.DirIn | endpointNumber
		user, taken := owner[e.Address]
		e.MaxPacketSize = min(e.MaxPacketSize, largestPacket(speed, e.Type))
		if e.Address&endpointNumber == 0 || e.MaxPacketSize == 0 || seen[e.Address] || taken && user != i.Number {
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

// largestPacket is the largest packet of a kind of endpoint, 0 where there are none that can be used (USB 2.0, 5.7.3, 5.8.3; USB
// 3.2, 9.6.6). Low speed has no bulk endpoints, but devices that have some all the same do as well as they can.
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

// findSetting is the index of the first setting for which f is true, among all interfaces.
func (d *device) findSetting(f func(usb.Interface) bool) (*Interface, int, error) {
	for _, i := range d.interfaces {
		for index, s := range i.settings {
			if f(s) {
				return i, index, nil
			}
		}
	}
	return nil, 0, fmt.Errorf("%w: no such interface", usb.ErrDescriptor)
}
