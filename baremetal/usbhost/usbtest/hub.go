package usbtest

import (
	"context"
	"time"

	"tamaccid/baremetal/usbhost"
	"tamaccid/ccid/usb"
)

// HubModel describes a hub.
type HubModel struct {
	Speed     usb.Speed // full, high or super
	Ports     int
	MultiTT   bool          // it has a second setting, with a translator for each port
	Ganged    bool          // power switching and over-current are common to all ports
	PowerGood time.Duration // from power on to good
	ResetTime time.Duration // 0: 10 ms
	Interval  time.Duration // delay of the status change endpoint; 0: 12 ms
	ThinkTime uint8         // bits 6:5 of wHubCharacteristics
	// Descriptor, if set, replaces the hub descriptor. Answer, if set, is called with each request.
	// Its result is the response if ok is true.
	Descriptor []byte
	Answer     func(setup usb.Setup) (reply []byte, err error, ok bool)
}

// Hub is a virtual hub.
type Hub struct {
	model HubModel
	ports []*port

	// Protected by world.
	at         *port // that it is plugged into; nil on a controller of another package
	configured bool
	setting    uint8
	depth      int // of SET_HUB_DEPTH, -1 before it
	change     byte
	status     byte
	halted     bool
	busy       map[bufferKey]bool // buffers of the transaction translators
	wake       chan struct{}
}

// NewHub returns a hub.
func NewHub(m HubModel) *Hub {
	if m.ResetTime == 0 {
		m.ResetTime = 10 * time.Millisecond
	}
	if m.Interval == 0 {
		m.Interval = 12 * time.Millisecond
	}
	h := &Hub{model: m, depth: -1, busy: map[bufferKey]bool{}, wake: make(chan struct{}, 1)}
	for n := 1; n <= m.Ports; n++ {
		h.ports = append(h.ports,
			&port{number: n, super: m.Speed == usb.SpeedSuper, hub: h, controller: h.controller,
				changedIt: h.signal,
				resetTime: m.ResetTime, trainTime: trainTime,
				status: usbhost.PortStatus{USB3: m.Speed == usb.SpeedSuper}})
	}
	return h
}

// trainTime is the duration of the training of a SuperSpeed link.
const trainTime = 15 * time.Millisecond

// controller is the controller that the hub is on, or nil.
func (h *Hub) controller() *Controller {
	if h.at == nil {
		return nil
	}
	return h.at.controller()
}

// signal wakes the status change endpoint. world is held.
func (h *Hub) signal() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// Plug connects a device to a port.
func (h *Hub) Plug(port int, d Device) { h.ports[port-1].plug(d) }

// Unplug disconnects the device of a port.
func (h *Hub) Unplug(port int) {
	world.Lock()
	defer world.Unlock()
	h.ports[port-1].unplug()
}

// Bounce interrupts the connection of a port for a moment.
func (h *Hub) Bounce(port int) { h.ports[port-1].bounce() }

// Fault disables a port because of an error.
func (h *Hub) Fault(port int) { h.ports[port-1].fault() }

// OverCurrent starts or ends an over-current, at a port or at the hub as a whole.
func (h *Hub) OverCurrent(port int, on bool) {
	if !h.model.Ganged {
		h.ports[port-1].overCurrent(on)
		return
	}
	world.Lock()
	defer world.Unlock()
	h.status, h.change = h.status&^2, h.change|2
	if on {
		h.status |= 2
		for _, p := range h.ports {
			p.power(false)
		}
	}
	h.signal()
}

// HaltPipe makes the status change endpoint stall until its halt is cleared.
func (h *Hub) HaltPipe() {
	world.Lock()
	defer world.Unlock()
	h.halted = true
	h.signal()
}

// Depth is the value of SET_HUB_DEPTH, -1 before it.
func (h *Hub) Depth() int {
	world.Lock()
	defer world.Unlock()
	return h.depth
}

// Setting is the current alternate setting.
func (h *Hub) Setting() uint8 {
	world.Lock()
	defer world.Unlock()
	return h.setting
}

// Speed is the model's.
func (h *Hub) Speed() usb.Speed { return h.model.Speed }

// BusReset is a reset of the hub.
func (h *Hub) BusReset() {
	world.Lock()
	defer world.Unlock()
	h.lose()
}

// Child returns the device on a port that is enabled, or nil.
func (h *Hub) Child(port int) Device {
	world.Lock()
	defer world.Unlock()
	if port < 1 || port > len(h.ports) || !h.ports[port-1].status.Enabled {
		return nil
	}
	return h.ports[port-1].node.device
}

// lose resets the hub to the state without address and configuration: all ports are off. world is
// held.
func (h *Hub) lose() {
	h.configured, h.setting, h.depth, h.halted, h.change = false, 0, -1, false, 0
	clear(h.busy)
	for _, p := range h.ports {
		p.power(false)
		p.status.Change = 0
	}
}

// In is the status change endpoint (USB 2.0, 11.12.4).
func (h *Hub) In(ctx context.Context, _ uint8, buf []byte) (int, error) {
	for {
		world.Lock()
		halted := h.halted
		bitmap := make([]byte, len(h.ports)/8+1)
		if h.change != 0 {
			bitmap[0] |= 1
		}
		any := h.change != 0
		for _, p := range h.ports {
			if p.status.Change != 0 {
				bitmap[p.number/8] |= 1 << (p.number % 8)
				any = true
			}
		}
		world.Unlock()
		if halted {
			return 0, usb.ErrStall
		}
		if any {
			if err := sleep(ctx, h.model.Interval); err != nil {
				return 0, err
			}
			return copy(buf, bitmap), nil
		}
		select {
		case <-h.wake:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// Out stalls: a hub has no OUT endpoint.
func (h *Hub) Out(context.Context, uint8, []byte) error { return usb.ErrStall }

// Control responds to a request.
func (h *Hub) Control(_ context.Context, s usb.Setup, data []byte) (int, error) {
	if h.model.Answer != nil {
		if reply, err, ok := h.model.Answer(s); ok {
			return copy(data, reply), err
		}
	}
	world.Lock()
	defer world.Unlock()
	reply, err := h.reply(s)
	return copy(data, reply[:min(len(reply), int(s.Length))]), err
}

// Class requests with their type (USB 2.0, table 11-15).
const (
	toHub   = usb.TypeClass | usb.ToDevice
	toPort  = usb.TypeClass | 3
	hubType = 0x29
)

func (h *Hub) reply(s usb.Setup) ([]byte, error) {
	switch s.RequestType &^ usb.DirIn {
	case usb.TypeStandard, usb.TypeStandard | usb.ToInterface, usb.TypeStandard | usb.ToEndpoint:
		return h.standard(s)
	case toHub:
		switch {
		case s.In() && s.Request == usb.RequestGetDescriptor:
			return h.descriptor(), nil
		case s.In() && s.Request == usb.RequestGetStatus:
			return []byte{h.status, 0, h.change, 0}, nil
		case s.Request == usb.RequestClearFeature && s.Value <= 1:
			h.change &^= 1 << s.Value
			return nil, nil
		case s.Request == 12 && h.model.Speed == usb.SpeedSuper:
			h.depth = int(s.Value)
			return nil, nil
		}
	case toPort:
		if s.Request == requestClearTTBuffer {
			return nil, h.clearBuffer(s)
		}
		if n := int(uint8(s.Index)); h.configured && n >= 1 && n <= len(h.ports) {
			return h.portRequest(h.ports[n-1], s)
		}
	}
	return nil, usb.ErrStall
}

func (h *Hub) standard(s usb.Setup) ([]byte, error) {
	switch {
	case s.In() && s.Request == usb.RequestGetDescriptor && s.Value>>8 == usb.TypeDevice:
		return h.deviceDescriptor(), nil
	case s.In() && s.Request == usb.RequestGetDescriptor && s.Value == usb.TypeConfiguration<<8:
		return h.configDescriptor(), nil
	case s.Request == usb.RequestSetAddress:
		return nil, nil
	case s.Request == usb.RequestSetConfiguration:
		h.configured = true
		return nil, nil
	case s.Request == usb.RequestSetInterface && (s.Value == 0 || s.Value == 1 && h.model.MultiTT):
		h.setting = uint8(s.Value)
		return nil, nil
	case s.Request == usb.RequestClearFeature && s.RequestType == usb.ToEndpoint:
		h.halted = false
		return nil, nil
	}
	return nil, usb.ErrStall
}

// Descriptor fields.
func (h *Hub) deviceDescriptor() []byte {
	version, protocol, size := byte(0x02), byte(0), byte(64)
	switch h.model.Speed {
	case usb.SpeedHigh:
		protocol = 1
		if h.model.MultiTT {
			protocol = 2
		}
	case usb.SpeedSuper:
		version, protocol, size = 0x03, 3, 9
	}
	return []byte{18, usb.TypeDevice, 0, version, 9, 0, protocol, size, 0x09, 0x12, 2, 0, 0, 1, 0,
		0, 0, 1}
}

func (h *Hub) configDescriptor() []byte {
	setting := func(alt, protocol byte) []byte {
		b := []byte{9, usb.TypeInterface, 0, alt, 1, 9, 0, protocol, 0, 7, usb.TypeEndpoint, 0x81,
			3, byte(len(h.ports)/8 + 1), 0, 12}
		if h.model.Speed == usb.SpeedSuper {
			b = append(b, 6, usb.TypeEndpointCompanion, 0, 0, 2, 0)
		}
		return b
	}
	b := []byte{9, usb.TypeConfiguration, 0, 0, 1, 1, 0, 0xE0, 0}
	if h.model.MultiTT {
		b = append(b, setting(0, 1)...)
		b = append(b, setting(1, 2)...)
	} else {
		b = append(b, setting(0, 0)...)
	}
	b[2] = byte(len(b))
	return b
}

func (h *Hub) descriptor() []byte {
	if h.model.Descriptor != nil {
		return h.model.Descriptor
	}
	good := byte(h.model.PowerGood / (2 * time.Millisecond))
	character := h.model.ThinkTime << 5
	if !h.model.Ganged {
		character |= 1 | 1<<3
	}
	if h.model.Speed == usb.SpeedSuper {
		return []byte{12, hubType + 1, byte(len(h.ports)), character, 0, good, 0, 0, 0, 0, 0, 0}
	}
	b := []byte{0, hubType, byte(len(h.ports)), character, 0, good, 0}
	for range 2 * (len(h.ports)/8 + 1) {
		b = append(b, 0xFF)
	}
	b[0] = byte(len(b))
	return b
}

// portRequest responds to a request for a port (USB 2.0, 11.24.2; USB 3.2, 10.16.2).
func (h *Hub) portRequest(p *port, s usb.Setup) ([]byte, error) {
	super := h.model.Speed == usb.SpeedSuper
	switch {
	case s.In() && s.Request == usb.RequestGetStatus:
		return portStatus(p.status, super), nil
	case s.Request == usb.RequestSetFeature:
		switch {
		case s.Value == 4:
			p.startReset(usbhost.HotReset)
		case s.Value == 28 && super:
			p.startReset(usbhost.WarmReset)
		case s.Value == 8 && h.model.Ganged:
			for _, o := range h.ports {
				o.power(true)
			}
		case s.Value == 8:
			p.power(true)
		default:
			return nil, usb.ErrStall
		}
		return nil, nil
	case s.Request == usb.RequestClearFeature:
		return nil, h.clearFeature(p, s.Value, super)
	}
	return nil, usb.ErrStall
}

func (h *Hub) clearFeature(p *port, feature uint16, super bool) error {
	changes := map[uint16]usbhost.PortChange{16: usbhost.ConnectChange,
		19: usbhost.OverCurrentChange, 20: usbhost.ResetChange}
	if super {
		changes[25], changes[26] = usbhost.LinkChange, usbhost.ConfigChange
		changes[29] = usbhost.ResetChange
	} else {
		changes[17] = usbhost.EnableChange
	}
	if feature == 18 && !super {
		return nil // C_PORT_SUSPEND, which is never set
	}
	c, ok := changes[feature]
	switch {
	case ok:
		p.status.Change &^= c
	case feature == 1 && !super:
		p.disable()
	case feature == 8:
		p.power(false)
	default:
		return usb.ErrStall
	}
	return nil
}

// portStatus is the response to GET_STATUS of a port.
func portStatus(st usbhost.PortStatus, super bool) []byte {
	var status, change uint16
	bit := func(to *uint16, n int, on bool) {
		if on {
			*to |= 1 << n
		}
	}
	bit(&status, 0, st.Connected)
	bit(&status, 1, st.Enabled)
	bit(&status, 3, st.OverCurrent)
	bit(&status, 4, st.Resetting)
	bit(&change, 0, st.Change&usbhost.ConnectChange != 0)
	bit(&change, 3, st.Change&usbhost.OverCurrentChange != 0)
	bit(&change, 4, st.Change&usbhost.ResetChange != 0)
	if super {
		bit(&status, 9, st.Powered)
		if st.Stuck {
			status |= 6 << 5
		}
		bit(&change, 6, st.Change&usbhost.LinkChange != 0)
		bit(&change, 7, st.Change&usbhost.ConfigChange != 0)
	} else {
		bit(&status, 8, st.Powered)
		bit(&status, 9, st.Speed == usb.SpeedLow)
		bit(&status, 10, st.Speed == usb.SpeedHigh)
		bit(&change, 1, st.Change&usbhost.EnableChange != 0)
	}
	return []byte{byte(status), byte(status >> 8), byte(change), byte(change >> 8)}
}
