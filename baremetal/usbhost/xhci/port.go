package xhci

import (
	"fmt"

	"tamaccid/baremetal/usbhost"
	"tamaccid/ccid/usb"
)

// Ports is usbhost.Controller's.
func (c *Controller) Ports() int { return c.caps.ports }

// changeBits says which bits of PORTSC make up which change (xHCI 1.2, 5.4.8).
var changeBits = [...]struct {
	bits   uint32
	change usbhost.PortChange
}{
	{portCSC, usbhost.ConnectChange},
	{portPEC, usbhost.EnableChange},
	{portOCC, usbhost.OverCurrentChange},
	{portPRC | portWRC, usbhost.ResetChange},
	{portPLC, usbhost.LinkChange},
	{portCEC, usbhost.ConfigChange},
}

// portRegister is where PORTSC of a port is, or an error.
func (c *Controller) portRegister(port int) (uint32, error) {
	if port < 1 || port > c.caps.ports {
		return 0, fmt.Errorf("xhci: no root port %d", port)
	}
	return opPortSC + uint32(port-1)*portStride, nil
}

// Port is usbhost.Controller's. A port of no protocol is never connected.
func (c *Controller) Port(port int) (usbhost.PortStatus, error) {
	v, err := c.readPort(port)
	if err != nil {
		return usbhost.PortStatus{}, err
	}
	return portStatus(v, c.caps.root[port-1]), nil
}

// readPort reads PORTSC; all ones are the end of the controller.
func (c *Controller) readPort(port int) (uint32, error) {
	reg, err := c.portRegister(port)
	if err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	v := c.readOp(reg)
	if v == allOnes {
		c.die("removed: a port reads as all ones")
		return 0, c.err
	}
	return v, nil
}

// portStatus says what PORTSC means on a port.
func portStatus(v uint32, p rootPort) usbhost.PortStatus {
	if p.major == 0 {
		return usbhost.PortStatus{}
	}
	link := v & portLink >> portLinkShift
	s := usbhost.PortStatus{
		Connected:   v&portConnected != 0,
		Enabled:     v&portEnabled != 0,
		Powered:     v&portPower != 0,
		Resetting:   v&portReset != 0,
		OverCurrent: v&portOverCurrent != 0,
		USB3:        p.major == 3,
	}
	s.Stuck = s.USB3 && (link == linkInactive || link == linkCompliance || v&portColdAttach != 0)
	if s.Enabled {
		id := v & portSpeed >> portSpeedShift
		if s.Speed = p.speeds[id]; s.Speed == usb.SpeedUnknown { // not in the controller's table
			s.Speed = defaultSpeeds(p.major)[id]
		}
	}
	for _, b := range changeBits {
		if v&b.bits != 0 {
			s.Change |= b.change
		}
	}
	return s
}

// writePort changes PORTSC: clear and set are bits, all that acts when written as one and is not in set stays as it is.
func (c *Controller) writePort(port int, clear, set uint32) error {
	reg, err := c.portRegister(port)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	v := c.readOp(reg)
	if v == allOnes {
		c.die("removed: a port reads as all ones")
		return c.err
	}
	c.writeOp(reg, v&portKept&^clear|set)
	return nil
}

// SetPower is usbhost.Controller's. Without power switches ports are always on (xHCI 1.2, 5.4.8, PP).
func (c *Controller) SetPower(port int, on bool) error {
	switch {
	case !c.caps.portPower:
		_, err := c.portRegister(port)
		return err
	case on:
		return c.writePort(port, 0, portPower)
	}
	return c.writePort(port, portPower, 0)
}

// StartReset is usbhost.Controller's. A USB 2 port knows no warm reset: it gets the only one that it has.
func (c *Controller) StartReset(port int, kind usbhost.Reset) error {
	if _, err := c.portRegister(port); err != nil {
		return err
	}
	if kind == usbhost.WarmReset && c.caps.root[port-1].major == 3 {
		return c.writePort(port, 0, portWarmReset)
	}
	return c.writePort(port, 0, portReset)
}

// Disable is usbhost.Controller's. A SuperSpeed port is left alone: it would stay deaf to new devices (xHCI 1.2, 4.19.1.2.3), and the
// controller sends nothing to a device without a slot.
func (c *Controller) Disable(port int) error {
	if _, err := c.portRegister(port); err != nil {
		return err
	}
	if c.caps.root[port-1].major == 3 {
		return nil
	}
	return c.writePort(port, 0, portEnabled)
}

// Acknowledge is usbhost.Controller's. The controller has no event for a change while another is unacknowledged (xHCI 1.2, 4.19.2):
// what is left, or new, is announced again.
func (c *Controller) Acknowledge(port int, changes usbhost.PortChange) error {
	var bits uint32
	for _, b := range changeBits {
		if changes&b.change != 0 {
			bits |= b.bits
		}
	}
	if err := c.writePort(port, 0, bits); err != nil {
		return err
	}
	v, err := c.readPort(port)
	if err != nil {
		return err
	}
	if portStatus(v, c.caps.root[port-1]).Change != 0 {
		c.mu.Lock()
		c.changed()
		c.mu.Unlock()
	}
	return nil
}
