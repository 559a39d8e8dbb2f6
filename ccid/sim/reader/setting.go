package reader

import "tamaccid/ccid/usb"

// A device has the endpoints of the settings that its functions are in, and no others.

// selected reports whether a function is in the setting that its Model describes.
func (d *Device) selected(function int) bool {
	return d.settings[function] == d.model.Functions[function].Setting
}

// selectSetting puts a function into a setting, which ends the halts of its endpoints (USB 2.0,
// 9.4.5).
func (d *Device) selectSetting(function int, setting uint8) {
	d.settings[function] = setting
	for _, q := range d.in {
		if q.function == function {
			q.halted = false
		}
	}
	for _, p := range d.out {
		if p.function == function {
			p.message, p.skip, p.halted = p.message[:0], false, false
		}
	}
}

// queue is an IN endpoint that the device has now, nil for another address.
func (d *Device) queue(endpoint uint8) *queue {
	if q := d.in[endpoint]; q != nil && d.selected(q.function) {
		return q
	}
	return nil
}

// pipe is an OUT endpoint that the device has now, nil for another address.
func (d *Device) pipe(endpoint uint8) *pipe {
	if p := d.out[endpoint]; p != nil && d.selected(p.function) {
		return p
	}
	return nil
}

// Interfaces are the device's interfaces in the settings that they are in.
func (d *Device) Interfaces() (now []usb.Interface) {
	all, _ := usb.Interfaces(d.model.ConfigDescriptor()) // the simulator's own: it is sound
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, i := range all {
		if d.settings[i.Number] == i.AltSetting {
			now = append(now, i)
		}
	}
	return now
}
