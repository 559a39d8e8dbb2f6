package reader

import (
	"encoding/binary"

	"tamaccid/ccid/usb"
)

// Class requests (CCID 1.1, 5.3).
const (
	requestAbort  = 0x01
	requestClocks = 0x02
	requestRates  = 0x03

	typeBOS = 0x0F // USB 3.2, table 9-6
)

// Control does one control transfer and returns its number of data bytes. The answer to an IN
// request is in data, of at most setup.Length bytes. An unknown request is usb.ErrStall, an endless
// NAK ErrBlocked, an unplugged device usb.ErrGone.
func (d *Device) Control(setup usb.Setup, data []byte) (n int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.present {
		return 0, usb.ErrGone
	}
	if !setup.In() {
		data = data[:min(len(data), int(setup.Length))]
	}
	if len(d.script) > 0 {
		e := Event{Moment: AtControl, Device: d, Setup: setup, Message: data}
		d.faults(&e)
		switch {
		case !d.present:
			return 0, usb.ErrGone
		case e.Err != nil:
			return 0, e.Err
		case e.Blocked:
			return 0, ErrBlocked
		}
		if e.Reply != nil {
			return copy(data, e.Reply[:min(len(e.Reply), int(setup.Length))]), nil
		}
	}
	var answer []byte
	switch setup.RequestType &^ usb.DirIn {
	case usb.TypeClass | usb.ToInterface:
		answer, err = d.classRequest(setup, data)
	case usb.TypeStandard | usb.ToDevice, usb.TypeStandard | usb.ToInterface, usb.TypeStandard |
		usb.ToEndpoint:
		answer, err = d.standardRequest(setup)
	default:
		err = usb.ErrStall
	}
	if err != nil {
		return 0, err
	}
	if !d.present {
		return 0, usb.ErrGone
	}
	if setup.In() {
		return copy(data, answer[:min(len(answer), int(setup.Length))]), nil
	}
	return len(data), nil
}

// standardRequest executes a standard request (USB 2.0, 9.4).
func (d *Device) standardRequest(s usb.Setup) ([]byte, error) {
	in := s.In()
	switch {
	case in && s.Request == usb.RequestGetDescriptor:
		return d.descriptor(uint8(s.Value>>8), uint8(s.Value))
	case in && s.Request == usb.RequestGetStatus:
		halted := byte(0)
		if s.RequestType&0x1F == usb.ToEndpoint {
			if q := d.queue(uint8(s.Index)); q != nil && q.halted {
				halted = 1
			}
			if p := d.pipe(uint8(s.Index)); p != nil && p.halted {
				halted = 1
			}
		}
		return []byte{halted, 0}, nil
	case in && s.Request == usb.RequestGetConfiguration:
		return []byte{d.config}, nil
	case in && s.Request == usb.RequestGetInterface && int(s.Index) < len(d.model.Functions):
		return []byte{d.settings[s.Index]}, nil
	case !in && s.Request == usb.RequestSetConfiguration && s.Value <= 1:
		d.config = uint8(s.Value)
		for function := range d.settings {
			d.selectSetting(function, 0)
		}
		return nil, nil
	case !in && s.Request == usb.RequestSetInterface && int(s.Index) < len(d.model.Functions) &&
		(s.Value == 0 || s.Value == uint16(d.model.Functions[s.Index].Setting)):
		d.selectSetting(int(s.Index), uint8(s.Value))
		return nil, nil
	case !in && s.Request == usb.RequestClearFeature && s.RequestType&0x1F == usb.ToEndpoint &&
		s.Value == usb.FeatureEndpointHalt:
		return nil, d.clearHalt(uint8(s.Index))
	case !in && (s.Request == usb.RequestSetAddress || s.Request == 0x30 || s.Request == 0x31):
		return nil, nil // the bus handles the address; SET_SEL and SET_ISOCH_DELAY (USB 3.2, 9.4)
	}
	return nil, usb.ErrStall
}

// descriptor answers GET_DESCRIPTOR.
func (d *Device) descriptor(kind, index uint8) ([]byte, error) {
	var b []byte
	switch {
	case kind == usb.TypeDevice && index == 0:
		b = d.model.DeviceDescriptor()
	case kind == usb.TypeConfiguration && index == 0:
		b = d.model.ConfigDescriptor()
	case kind == usb.TypeString:
		b = d.model.stringDescriptor(index)
	case kind == typeBOS && d.model.speed() == usb.SpeedSuper:
		b = d.model.bosDescriptor()
	}
	if b == nil {
		return nil, usb.ErrStall
	}
	return b, nil
}

// classRequest executes a class request (CCID 1.1, 5.3).
func (d *Device) classRequest(s usb.Setup, data []byte) ([]byte, error) {
	i := int(uint8(s.Index))
	if i >= len(d.readers) || d.readers[i] == nil || !d.selected(i) {
		return nil, usb.ErrStall
	}
	r := d.readers[i]
	if k := r.function().Protocol; k != BulkCCID && r.function().Endpoints < 2 {
		return r.iccd(k, s, data)
	}
	switch {
	case !s.In() && s.Request == requestAbort:
		return nil, r.abortRequest(uint8(s.Value), uint8(s.Value>>8))
	case s.In() && s.Request == requestClocks:
		return words(r.function().Clocks)
	case s.In() && s.Request == requestRates:
		return words(r.function().Rates)
	}
	return nil, usb.ErrStall
}

// words encodes a table of clocks or data rates. Without one the request stalls.
func words(v []uint32) ([]byte, error) {
	if v == nil {
		return nil, usb.ErrStall
	}
	var b []byte
	for _, w := range v {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return b, nil
}
