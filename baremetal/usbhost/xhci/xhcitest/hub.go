package xhcitest

import (
	"context"
	"sync"
	"time"

	"tamaccid/ccid/usb"
)

// HighSpeedHub is a hub of USB 2.0 with one transaction translator, or one for each port, and nothing that goes wrong.
type HighSpeedHub struct {
	mu    sync.Mutex
	ports []hubPort // the first is port 1
	wake  chan struct{}
	asked []usb.Setup
	multi bool
}

type hubPort struct {
	device  Device
	power   bool
	enabled bool
	busy    bool
	changes uint16
}

// Bits of a port's status and of its changes (USB 2.0, tables 11-21, 11-22), and feature selectors (table 11-17).
const (
	hubConnected = 1 << 0
	hubEnabled   = 1 << 1
	hubReset     = 1 << 4
	hubPower     = 1 << 8
	hubLow       = 1 << 9
	hubHigh      = 1 << 10

	featureReset  = 4
	featurePower  = 8
	featureEnable = 1
	featureChange = 16 // the first of the changes

	requestClearTTBuffer = 8 // USB 2.0, table 11-16

	hubResetTime = 10 * time.Millisecond
)

// NewHub makes a hub with a number of ports.
func NewHub(ports int) *HighSpeedHub {
	return &HighSpeedHub{ports: make([]hubPort, ports), wake: make(chan struct{})}
}

// Multi gives the hub a second setting, with a translator for each port (USB 2.0, 11.23.1), and returns it.
func (h *HighSpeedHub) Multi() *HighSpeedHub {
	h.multi = true
	return h
}

// Attach plugs a device in.
func (h *HighSpeedHub) Attach(port int, d Device) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := &h.ports[port-1]
	p.device, p.enabled = d, false
	h.changed(p, hubConnected)
}

func (h *HighSpeedHub) changed(p *hubPort, bit uint16) {
	if p.power {
		p.changes |= bit
		close(h.wake)
		h.wake = make(chan struct{})
	}
}

// Cleared are the requests to clear a buffer of the translator.
func (h *HighSpeedHub) Cleared() []usb.Setup {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]usb.Setup(nil), h.asked...)
}

// Child is Hub's.
func (h *HighSpeedHub) Child(port int) Device {
	h.mu.Lock()
	defer h.mu.Unlock()
	if port < 1 || port > len(h.ports) || !h.ports[port-1].enabled {
		return nil
	}
	return h.ports[port-1].device
}

// Speed is Device's.
func (h *HighSpeedHub) Speed() usb.Speed { return usb.SpeedHigh }

// Reset is Device's.
func (h *HighSpeedHub) Reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.ports {
		h.ports[i] = hubPort{device: h.ports[i].device}
	}
}

// Out is Device's.
func (h *HighSpeedHub) Out(context.Context, uint8, []byte) error { return usb.ErrStall }

// In is the status change pipe (USB 2.0, 11.12.4).
func (h *HighSpeedHub) In(ctx context.Context, _ uint8, buf []byte) (int, error) {
	for {
		h.mu.Lock()
		bits := byte(0)
		for i, p := range h.ports {
			if p.changes != 0 {
				bits |= 2 << i
			}
		}
		wake := h.wake
		h.mu.Unlock()
		if bits != 0 {
			time.Sleep(time.Millisecond)
			return copy(buf, []byte{bits}), nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// Control is Device's.
func (h *HighSpeedHub) Control(_ context.Context, s usb.Setup, data []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	const toPort = usb.TypeClass | 3
	var b []byte
	switch {
	case s.RequestType == usb.DirIn && s.Request == usb.RequestGetDescriptor:
		b = h.descriptor(uint8(s.Value >> 8))
	case s.RequestType == usb.DirIn|usb.TypeClass && s.Request == usb.RequestGetDescriptor:
		b = []byte{9, 0x29, byte(len(h.ports)), 0x29, 0, 10, 0, 0, 0xFF} // think time 1, per port, 20 ms to power good
	case s.In() && s.Request == usb.RequestGetStatus && s.RequestType&0x1F != 3:
		b = make([]byte, s.Length)
	case s.RequestType == toPort && s.Request == requestClearTTBuffer:
		h.asked = append(h.asked, s)
	case s.RequestType&^usb.DirIn == toPort && int(s.Index&0xFF) >= 1 && int(s.Index&0xFF) <= len(h.ports):
		b = h.portRequest(&h.ports[s.Index&0xFF-1], s)
	case s.RequestType == 0, h.multi && s.RequestType == usb.ToInterface && s.Request == usb.RequestSetInterface && s.Value <= 1:
	default:
		return 0, usb.ErrStall
	}
	if s.In() && b == nil {
		return 0, usb.ErrStall
	}
	return copy(data, b[:min(len(b), int(s.Length))]), nil
}

func (h *HighSpeedHub) descriptor(kind uint8) []byte {
	switch {
	case kind == usb.TypeDevice && h.multi:
		return []byte{18, 1, 0, 2, 9, 0, 2, 64, 0x24, 4, 4, 0x25, 0, 1, 0, 0, 0, 1}
	case kind == usb.TypeDevice:
		return []byte{18, 1, 0, 2, 9, 0, 1, 64, 0x24, 4, 4, 0x25, 0, 1, 0, 0, 0, 1}
	case kind == usb.TypeConfiguration && h.multi:
		return []byte{9, 2, 41, 0, 1, 1, 0, 0xE0, 0, 9, 4, 0, 0, 1, 9, 0, 1, 0, 7, 5, 0x81, 3, 1, 0, 12,
			9, 4, 0, 1, 1, 9, 0, 2, 0, 7, 5, 0x81, 3, 1, 0, 12}
	case kind == usb.TypeConfiguration:
		return []byte{9, 2, 25, 0, 1, 1, 0, 0xE0, 0, 9, 4, 0, 0, 1, 9, 0, 0, 0, 7, 5, 0x81, 3, 1, 0, 12}
	}
	return nil
}

func (h *HighSpeedHub) portRequest(p *hubPort, s usb.Setup) []byte {
	switch {
	case s.In():
		st := p.status()
		return []byte{byte(st), byte(st >> 8), byte(p.changes), byte(p.changes >> 8)}
	case s.Request == usb.RequestSetFeature && s.Value == featurePower && !p.power:
		p.power = true
		if p.device != nil {
			h.changed(p, hubConnected)
		}
	case s.Request == usb.RequestSetFeature && s.Value == featureReset:
		p.busy, p.enabled = true, false
		time.AfterFunc(hubResetTime, func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			p.busy, p.enabled = false, p.device != nil
			if p.device != nil {
				p.device.Reset()
			}
			h.changed(p, hubReset)
		})
	case s.Request == usb.RequestClearFeature && s.Value == featureEnable:
		p.enabled = false
	case s.Request == usb.RequestClearFeature && s.Value >= featureChange:
		p.changes &^= 1 << (s.Value - featureChange)
	}
	return nil
}

func (p *hubPort) status() (v uint16) {
	for _, b := range []struct {
		on  bool
		bit uint16
	}{
		{p.device != nil && p.power, hubConnected}, {p.enabled, hubEnabled}, {p.busy, hubReset}, {p.power, hubPower},
		{p.enabled && p.device.Speed() == usb.SpeedLow, hubLow}, {p.enabled && p.device.Speed() == usb.SpeedHigh, hubHigh},
	} {
		if b.on {
			v |= b.bit
		}
	}
	return v
}
