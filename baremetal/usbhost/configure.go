package usbhost

import (
	"context"
	"fmt"

	"tamaccid/ccid/usb"
)

// configure sets up the endpoints and puts the device into its configuration.
func (d *device) configure() error {
	if err := d.hardware.Configure(d.ctx, d.endpoints(nil, 0)); err != nil {
		return fmt.Errorf("endpoints: %w", err)
	}
	_, err := d.request(d.ctx, usb.Setup{
		RequestType: usb.DirOut | usb.TypeStandard | usb.ToDevice,
		Request:     usb.RequestSetConfiguration,
		Value:       uint16(configurationValue(d.config)),
	}, nil)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	return nil
}

// endpoints returns the endpoints of all interfaces in their current settings. The interface other
// counts with a different setting, or not at all if setting is negative.
func (d *device) endpoints(other *Interface, setting int) (all []usb.Endpoint) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, i := range d.interfaces {
		index := i.current
		if i == other {
			index = setting
		}
		if index >= 0 {
			all = append(all, i.settings[index].Endpoints...)
		}
	}
	return all
}

// setInterface changes the alternate setting of an interface that is not claimed (USB 2.0, 9.4.10).
// Its endpoints start with DATA0, also those that both settings have (9.1.1.5). The caller holds
// changing.
func (d *device) setInterface(ctx context.Context, i *Interface, index int) error {
	if err := d.hardware.Configure(ctx, d.endpoints(i, -1)); err != nil {
		return err
	}
	err := d.hardware.Configure(ctx, d.endpoints(i, index))
	if err == nil {
		s := &i.settings[index]
		_, err = d.request(ctx, usb.Setup{
			RequestType: usb.DirOut | usb.TypeStandard | usb.ToInterface,
			Request:     usb.RequestSetInterface,
			Value:       uint16(s.AltSetting),
			Index:       uint16(s.Number),
		}, nil)
	}
	if err != nil {
		// Restore the endpoints. Their data toggle may be reset on the host's side only.
		_ = d.hardware.Configure(d.ctx, d.endpoints(nil, 0))
		return err
	}
	d.mu.Lock()
	i.current = index
	d.mu.Unlock()
	return nil
}

// findSetting returns the first setting of any interface for which f is true, as the interface and
// the index of the setting.
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
