package xhcitest

// capability reads a capability register.
func (c *Controller) capability(at uint32) uint32 {
	switch at {
	case 0x00:
		return uint32(c.o.Version)<<16 | capLength
	case 0x04:
		return uint32(len(c.ports))<<24 | 1<<8 | uint32(c.o.Slots)
	case 0x08:
		return uint32(c.o.Scratchpads&0x1F)<<27 | uint32(c.o.Scratchpads>>5)<<21
	case 0x10:
		return extended/4<<16 | flag(c.o.Wide, 0) | flag(c.o.LongContexts, 2) |
			flag(c.o.PortPower, 3)
	case 0x14:
		return doorbells
	case 0x18:
		return runtime
	}
	return 0
}

// extendedCapability is the list of extended capabilities: legacy support and two supported
// protocols.
func (c *Controller) extendedCapability(at uint32) uint32 {
	usb2, usb3 := uint32(0x40), uint32(0x80)
	switch at {
	case 0x00:
		return c.legacy | usb2/4<<8 | 1
	case 0x04:
		return c.legacyCtl
	case usb2:
		return 0x02<<24 | (usb3-usb2)/4<<8 | 2
	case usb3:
		return 0x03<<24 | 2
	case usb2 + 4, usb3 + 4:
		return 0x20425355 // "USB "
	case usb2 + 8:
		return uint32(c.o.Ports2)<<8 | 1 | flag(c.o.SpeedTable, 28)*3
	case usb3 + 8:
		return uint32(c.o.Ports3)<<8 | uint32(c.o.Ports2+1) | flag(c.o.SpeedTable, 28)
	}
	if !c.o.SpeedTable {
		return 0
	}
	switch at { // mantissa, exponent of 1000, ID
	case usb2 + 16:
		return 1500<<16 | 1<<4 | 5
	case usb2 + 20:
		return 12<<16 | 2<<4 | 6
	case usb2 + 24:
		return 480<<16 | 2<<4 | 7
	case usb3 + 16:
		return 5<<16 | 3<<4 | 9
	}
	return 0
}

// writeLegacy writes USBLEGSUP.
func (c *Controller) writeLegacy(v uint32) {
	if c.faults.KeepsFirmware && v&(1<<16) == 0 {
		c.legacy = v & (1<<16 | 1<<24) // the driver has cleared the semaphore of firmware
		return
	}
	if v&(1<<24) != 0 && c.legacy&(1<<16) != 0 && !c.faults.KeepsFirmware {
		v &^= 1 << 16 // firmware releases the controller
	}
	c.legacy = v & (1<<16 | 1<<24)
}
