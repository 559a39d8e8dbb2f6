package usbtest

import (
	"errors"

	"tamaccid/ccid/usb"
)

// The transaction translators of a high-speed hub (USB 2.0, 11.14). The model has the buffer that
// stays busy with a control or bulk transaction that the host has abandoned: transfers of the
// endpoint fail until the host clears it (USB 2.0, 11.17.5). A control transfer that stalls leaves
// no buffer busy (USB 2.0, 8.5.3.4).

// bufferKey identifies the transactions of a buffer, in a translator.
type bufferKey struct {
	translator, address, endpoint uint8
	kind                          usb.TransferType
	in                            bool
}

// buffer is the buffer that a transfer uses. hub is nil without a translator, and for periodic
// transfers.
type buffer struct {
	hub  *Hub
	keys []bufferKey
}

// translator is the number of the translator of a port.
func (h *Hub) translator(port uint8) uint8 {
	if h.model.MultiTT && h.setting == 1 {
		return port
	}
	return 1
}

// buffer returns the buffer of a step. world is held.
func (h *handle) buffer(s Step) buffer {
	if h.ttHub == nil {
		return buffer{}
	}
	hub, ok := h.ttHub.node.device.(*Hub)
	if !ok {
		return buffer{}
	}
	key := bufferKey{translator: hub.translator(h.location.TTPort), address: h.address,
		endpoint: s.Endpoint & 0x0F, in: s.Endpoint&usb.DirIn != 0}
	if s.Do != "transfer" { // its stages have both directions
		other := key
		other.in = true
		return buffer{hub, []bufferKey{key, other}}
	}
	key.kind = h.kind(s.Endpoint)
	if key.kind != usb.BulkTransfer {
		return buffer{}
	}
	return buffer{hub, []bufferKey{key}}
}

// busy reports whether an earlier transfer has left the buffer busy. world is held.
func (b buffer) busy() bool {
	for _, k := range b.keys {
		if b.hub.busy[k] {
			return true
		}
	}
	return false
}

// end ends a transfer. world is held.
func (b buffer) end(err error) {
	if err == nil || b.hub == nil || !b.hub.configured ||
		errors.Is(err, usb.ErrStall) && b.keys[0].kind == usb.ControlTransfer {
		return
	}
	for _, k := range b.keys {
		b.hub.busy[k] = true
	}
}

// violate records a violation, unless the hub is on a controller of another package. world is held.
func (h *Hub) violate(format string, args ...any) {
	if c := h.controller(); c != nil {
		c.violate(format, args...)
	}
}

// requestClearTTBuffer is bRequest of CLEAR_TT_BUFFER (USB 2.0, table 11-16).
const requestClearTTBuffer = 8

// clearBuffer is CLEAR_TT_BUFFER (USB 2.0, 11.24.2.3, table 11-18).
func (h *Hub) clearBuffer(s usb.Setup) error {
	v := s.Value
	key := bufferKey{translator: uint8(s.Index), endpoint: uint8(v & 0xF),
		address: uint8(v >> 4 & 0x7F), kind: usb.TransferType(v >> 11 & 3), in: v>>15 != 0}
	last := uint16(1)
	if h.model.MultiTT && h.setting == 1 {
		last = uint16(len(h.ports))
	}
	switch {
	case h.model.Speed != usb.SpeedHigh || !h.configured:
		h.violate("CLEAR_TT_BUFFER for a hub without translators, or not configured")
	case s.In() || s.Length != 0 || v>>13&3 != 0:
		h.violate("CLEAR_TT_BUFFER with reserved bits, or data: %+v", s)
	case s.Index < 1 || s.Index > last:
		h.violate("CLEAR_TT_BUFFER for translator %d of %d", s.Index, last)
	case key.kind != usb.ControlTransfer && key.kind != usb.BulkTransfer:
		h.violate("CLEAR_TT_BUFFER for a periodic endpoint")
	default:
		delete(h.busy, key)
		return nil
	}
	return usb.ErrStall
}
