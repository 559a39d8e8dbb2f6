package usbhost

import "tamaccid/ccid/usb"

// DeviceInfo describes a configured device.
type DeviceInfo struct {
	Device     *usb.Device // shared, read only; its interface is the first one
	Controller Controller
	Location   Location
	// HubPorts is the number of ports of a hub, 0 for other devices.
	HubPorts   int
	Interfaces []InterfaceInfo
}

// InterfaceInfo describes an interface of a device.
type InterfaceInfo struct {
	Descriptor usb.Interface // of the current setting
	Claimed    bool
}

// appendDevices appends the configured devices on and behind the ports.
func (p *ports) appendDevices(all []DeviceInfo) []DeviceInfo {
	for _, port := range p.all {
		d := port.configured()
		if d == nil {
			continue
		}
		info := DeviceInfo{
			Device: &d.info, Controller: d.controller, Location: d.location,
			Interfaces: d.describeInterfaces(),
		}
		hub, _ := d.downstream.(*hub)
		if hub != nil {
			info.HubPorts = len(hub.ports.all)
		}
		all = append(all, info)
		if hub != nil {
			all = hub.ports.appendDevices(all)
		}
	}
	return all
}

func (d *device) describeInterfaces() (all []InterfaceInfo) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, i := range d.interfaces {
		all = append(all, InterfaceInfo{Descriptor: i.settings[i.current], Claimed: i.claimed})
	}
	return all
}
