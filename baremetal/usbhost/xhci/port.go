package xhci

import (
	"fmt"
	"time"

	"tamaccid/baremetal/usbhost"
	"tamaccid/ccid/usb"
)

// Ports implements usbhost.Controller.
func (c *Controller) Ports() int { return c.caps.ports }

// changeBits has the bits of PORTSC for each change (xHCI 1.2, 5.4.8).
var changeBits = [...]struct {
	bits   uint32
	change usbhost.PortChange
}{
	{bits: portCSC, change: usbhost.ConnectChange},
	{bits: portPEC, change: usbhost.EnableChange},
	{bits: portOCC, change: usbhost.OverCurrentChange},
	{bits: portPRC | portWRC, change: usbhost.ResetChange},
	{bits: portPLC, change: usbhost.LinkChange},
	{bits: portCEC, change: usbhost.ConfigChange},
}

// portRegister is the offset of PORTSC of a port.
func (c *Controller) portRegister(port int) (uint32, error) {
	if port < 1 || port > c.caps.ports {
		return 0, fmt.Errorf("xhci: no root port %d", port)
	}
	return opPortSC + uint32(port-1)*portStride, nil
}

// Port implements usbhost.Controller. A port without a protocol is never connected.
func (c *Controller) Port(port int) (usbhost.PortStatus, error) {
	v, err := c.readPort(port)
	if err != nil {
		return usbhost.PortStatus{}, err
	}
	return portStatus(v, c.caps.root[port-1]), nil
}

// readPort reads PORTSC. If it is all ones, the controller was removed.
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

// portStatus converts PORTSC to a status.
func portStatus(v uint32, p rootPort) usbhost.PortStatus {
	if p.major == 0 {
		return usbhost.PortStatus{}
	}
	link := v & portPLS >> portPLSShift
	s := usbhost.PortStatus{
		Connected:   v&portCCS != 0,
		Enabled:     v&portPED != 0,
		Powered:     v&portPP != 0,
		Resetting:   v&portPR != 0,
		OverCurrent: v&portOCA != 0,
		USB3:        p.major == 3,
	}
	s.Stuck = s.USB3 &&
		(link == linkInactive || link == linkCompliance || v&portCAS != 0)
	if s.Enabled {
		id := v & portSpeed >> portSpeedShift
		s.Speed = p.speeds[id]
		if s.Speed == usb.SpeedUnknown { // not in the controller's table
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

// writePort writes PORTSC with the bits of set set and those of clear cleared. It has no effect on
// other bits.
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

// powerGood is the time from power on to good power (xHCI 1.2, 5.4.8, PP: 20 ms).
const powerGood = 20 * time.Millisecond

// PowerGood implements usbhost.Controller.
func (c *Controller) PowerGood() time.Duration { return powerGood }

// SetPower implements usbhost.Controller. Without power switches the ports are always powered (xHCI
// 1.2, 5.4.8, PP).
func (c *Controller) SetPower(port int, on bool) error {
	switch {
	case !c.caps.ppc:
		_, err := c.portRegister(port)
		return err
	case on:
		return c.writePort(port, 0, portPP)
	}
	return c.writePort(port, portPP, 0)
}

// StartReset implements usbhost.Controller. A USB 2 port has only one kind of reset.
func (c *Controller) StartReset(port int, kind usbhost.Reset) error {
	if _, err := c.portRegister(port); err != nil {
		return err
	}
	if kind == usbhost.WarmReset && c.caps.root[port-1].major == 3 {
		return c.writePort(port, 0, portWPR)
	}
	return c.writePort(port, 0, portPR)
}

// Disable implements usbhost.Controller. A SuperSpeed port is not disabled: it would not detect new
// devices (xHCI 1.2, 4.19.1.2.3). The controller sends nothing to a device without a slot.
func (c *Controller) Disable(port int) error {
	if _, err := c.portRegister(port); err != nil {
		return err
	}
	if c.caps.root[port-1].major == 3 {
		return nil
	}
	return c.writePort(port, 0, portPED)
}

// Acknowledge implements usbhost.Controller. The controller sends no event for a change while
// another change is not acknowledged (xHCI 1.2, 4.19.2). Therefore Changes receives a value again
// if changes are left.
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
