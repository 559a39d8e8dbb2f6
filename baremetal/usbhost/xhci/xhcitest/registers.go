package xhcitest

import goruntime "runtime"

// Read32 implements hcd.Registers.
func (c *Controller) Read32(at uint32) uint32 {
	if at == capLength+0x04 {
		// Halt reads USBSTS without a sleep. The goroutines of the model must run between two
		// reads, or the controller does not halt on a busy host.
		goruntime.Gosched()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if at%4 != 0 || at >= Size {
		c.fail("read of register %#x", at)
		return 0
	}
	if c.removed {
		return ^uint32(0)
	}
	if v, ok := c.faults.Read[at]; ok {
		return v
	}
	switch {
	case at < capLength:
		return c.capability(at)
	case at >= portBase && at < portBase+uint32(len(c.ports))*16:
		if at%16 != 0 {
			return 0
		}
		return c.ports[(at-portBase)/16].read()
	case at < runtime:
		return c.operational(at - capLength)
	case at < doorbells:
		return c.runtimeRegister(at - runtime)
	case at < extended:
		return 0 // doorbells read as zero
	}
	return c.extendedCapability(at - extended)
}

// Read8 fails, as Read16, Write8 and Write16 do: the driver must use accesses of 32 bits, since
// some controllers support no other (policy).
func (c *Controller) Read8(at uint32) uint8 {
	c.fail("8-bit read of register %#x", at)
	return 0
}

// Read16 fails.
func (c *Controller) Read16(at uint32) uint16 {
	c.fail("16-bit read of register %#x", at)
	return 0
}

// Write8 fails.
func (c *Controller) Write8(at uint32, _ uint8) { c.fail("8-bit write of register %#x", at) }

// Write16 fails.
func (c *Controller) Write16(at uint32, _ uint16) { c.fail("16-bit write of register %#x", at) }

// Write32 implements hcd.Registers.
func (c *Controller) Write32(at uint32, v uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case at%4 != 0 || at >= Size:
		c.fail("write of register %#x", at)
	case c.removed:
	case at < capLength:
		c.fail("write of capability register %#x", at)
	case at >= portBase && at < portBase+uint32(len(c.ports))*16:
		c.mustBeReady(at)
		if at%16 == 0 {
			c.ports[(at-portBase)/16].write(v)
		}
	case at < runtime:
		c.mustBeReady(at)
		c.writeOperational(at-capLength, v)
	case at < doorbells:
		c.writeRuntime(at-runtime, v)
	case at < extended:
		c.mustBeReady(at)
		c.ring((at-doorbells)/4, v)
	case at == extended:
		c.writeLegacy(v)
	case at == extended+4:
		c.legacyCtl = v &^ (7 << 29)
	default:
		c.fail("write of register %#x", at)
	}
}

// mustBeReady fails if the controller is not ready for a write of an operational register other
// than USBSTS, or of a doorbell (xHCI 1.2, 5.4.2, CNR).
func (c *Controller) mustBeReady(at uint32) {
	if c.notReady() && at != capLength+4 {
		c.fail("register %#x written while the controller is not ready", at)
	}
}

func flag(on bool, bit int) uint32 {
	if on {
		return 1 << bit
	}
	return 0
}

func (c *Controller) runtimeRegister(at uint32) uint32 {
	switch at {
	case 0x20:
		return c.iman
	case 0x24:
		return c.imod
	case 0x28:
		return c.erstsz
	case 0x30:
		return uint32(c.erstba)
	case 0x34:
		return uint32(c.erstba >> 32)
	case 0x38:
		return uint32(c.erdp)
	case 0x3C:
		return uint32(c.erdp >> 32)
	}
	return 0
}

func (c *Controller) writeRuntime(at, v uint32) {
	if c.usbcmd&1 != 0 && at >= 0x28 && at < 0x38 {
		c.fail("event ring moved while the controller is running")
		return
	}
	switch at {
	case 0x20:
		c.iman = c.iman&^(v&1)&1 | v&2
	case 0x24:
		c.imod = v
	case 0x28:
		c.erstsz = v
	case 0x30:
		c.erstba = c.erstba&^0xFFFFFFFF | uint64(v)
	case 0x34:
		c.erstba = c.erstba&0xFFFFFFFF | uint64(v)<<32
		c.startEvents()
	case 0x38:
		c.erdp = c.erdp&^0xFFFFFFFF | uint64(v&^(1<<3))
	case 0x3C:
		c.erdp = c.erdp&0xFFFFFFFF | uint64(v)<<32
		c.flushEvents()
	default:
		c.fail("write of runtime register %#x", at)
	}
}
