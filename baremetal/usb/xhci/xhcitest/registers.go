package xhcitest

import (
	"context"
	"time"
)

// Read32 is the driver's.
func (c *Controller) Read32(at uint32) uint32 {
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

// mustBeReady is for operational registers and doorbells (xHCI 1.2, 5.4.2, CNR), but USBSTS.
func (c *Controller) mustBeReady(at uint32) {
	if c.notReady() && at != capLength+4 {
		c.fail("register %#x written while the controller is not ready", at)
	}
}

func (c *Controller) notReady() bool {
	return c.faults.NeverReady || time.Now().Before(c.notReadyUntil)
}

func flag(on bool, bit int) uint32 {
	if on {
		return 1 << bit
	}
	return 0
}

func (c *Controller) capability(at uint32) uint32 {
	switch at {
	case 0x00:
		return uint32(c.o.Version)<<16 | capLength
	case 0x04:
		return uint32(len(c.ports))<<24 | 1<<8 | uint32(c.o.Slots)
	case 0x08:
		return uint32(c.o.Scratchpads&0x1F)<<27 | uint32(c.o.Scratchpads>>5)<<21
	case 0x10:
		return extended/4<<16 | flag(c.o.Wide, 0) | flag(c.o.LongContexts, 2) | flag(c.o.PortPower, 3)
	case 0x14:
		return doorbells
	case 0x18:
		return runtime
	}
	return 0
}

// extendedCapability: legacy support, two supported protocols.
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
	switch at { // mantissa, exponent of 1000, number
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

func (c *Controller) operational(at uint32) uint32 {
	switch at {
	case 0x00:
		return c.usbcmd | flag(c.resetting(), 1)
	case 0x04:
		return c.usbsts | flag(c.halted() && !c.faults.NeverHalts, 0) | flag(c.notReady(), 11)
	case 0x08:
		return 1
	case 0x18:
		return flag(c.command.running, 3) // the pointer reads as zero
	case 0x30:
		return uint32(c.dcbaap)
	case 0x34:
		return uint32(c.dcbaap >> 32)
	case 0x38:
		return c.config
	}
	return 0
}

func (c *Controller) resetting() bool {
	return c.faults.NeverReset && !c.resetUntil.IsZero() || time.Now().Before(c.resetUntil)
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

// Write32 is the driver's.
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

func (c *Controller) writeLegacy(v uint32) {
	if c.faults.KeepsFirmware && v&(1<<16) == 0 {
		c.legacy = v & (1<<16 | 1<<24) // taken by force
		return
	}
	if v&(1<<24) != 0 && c.legacy&(1<<16) != 0 && !c.faults.KeepsFirmware {
		v &^= 1 << 16 // firmware lets go
	}
	c.legacy = v & (1<<16 | 1<<24)
}

func (c *Controller) writeOperational(at, v uint32) {
	stopped := func(what string) bool {
		if c.usbcmd&1 != 0 {
			c.fail("%s written while the controller is running", what)
			return false
		}
		return true
	}
	switch at {
	case 0x00:
		c.writeCommand(v)
	case 0x04:
		c.usbsts &^= v & (1<<2 | 1<<3 | 1<<4)
	case 0x18:
		c.writeCRCR(c.crcr&^0xFFFFFFFF|uint64(v), false)
	case 0x1C:
		c.writeCRCR(c.crcr&0xFFFFFFFF|uint64(v)<<32, true)
	case 0x30:
		if v&0x3F != 0 {
			c.fail("DCBAAP %#x", v)
		}
		if stopped("DCBAAP") {
			c.dcbaap = c.dcbaap&^0xFFFFFFFF | uint64(v)
		}
	case 0x34:
		if stopped("DCBAAP") {
			c.dcbaap = c.dcbaap&0xFFFFFFFF | uint64(v)<<32
		}
	case 0x38:
		if int(v&0xFF) > c.o.Slots || v>>8 != 0 {
			c.fail("CONFIG %#x", v)
		}
		if stopped("CONFIG") {
			c.config = v
		}
	case 0x14:
		c.fail("notifications enabled: %#x", v)
	default:
		c.fail("write of operational register %#x", at)
	}
}

// How long a reset takes, and the controller to be ready after it.
const (
	resetTakes = 3 * time.Millisecond
	readyTakes = 5 * time.Millisecond
)

func (c *Controller) writeCommand(v uint32) {
	if v&^(1<<0|1<<1|1<<2|1<<3) != 0 {
		c.fail("USBCMD %#x", v)
	}
	if v&2 != 0 {
		if !c.halted() {
			c.fail("reset while running")
		}
		c.resetUntil = time.Now().Add(resetTakes)
		c.notReadyUntil = c.resetUntil.Add(readyTakes)
		c.reset()
		return
	}
	was := c.usbcmd & 1
	c.usbcmd = v & 0xF
	switch {
	case was == 0 && v&1 != 0:
		if c.faults.NeverRuns {
			c.usbcmd &^= 1
			return
		}
		c.run, c.stop = context.WithCancel(context.Background())
		if c.events.size == 0 {
			c.fail("started without an event ring")
		}
		if c.config&0xFF == 0 {
			c.fail("started without device slots")
		}
		c.checkScratchpads()
		for _, p := range c.ports {
			if p.changed() {
				p.announce()
			}
		}
	case was != 0 && v&1 == 0:
		c.stop()
		c.command.running = false
		if c.command.aborted != nil {
			close(c.command.aborted)
			c.command.aborted = nil
		}
	}
}

func (c *Controller) checkScratchpads() {
	if c.o.Scratchpads == 0 {
		return
	}
	b := c.mem.dma(c.dcbaap, 8, "DCBAA")
	if b == nil {
		return
	}
	array := c.mem.dma(u64(b, 0), 8*c.o.Scratchpads, "scratchpad array")
	for i := 0; array != nil && i < c.o.Scratchpads; i++ {
		at := u64(array, i*8)
		if at%0x1000 != 0 {
			c.fail("scratchpad %d at %#x", i, at)
		}
		c.mem.dma(at, 0x1000, "scratchpad")
	}
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
