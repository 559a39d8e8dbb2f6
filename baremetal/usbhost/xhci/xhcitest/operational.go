package xhcitest

import (
	"context"
	"time"
)

// operational reads an operational register.
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

func (c *Controller) notReady() bool {
	return c.faults.NeverReady || time.Now().Before(c.notReadyUntil)
}

func (c *Controller) resetting() bool {
	return c.faults.NeverReset && !c.resetUntil.IsZero() || time.Now().Before(c.resetUntil)
}

// writeOperational writes an operational register.
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

// The duration of a reset, and of CNR after it.
const (
	resetTakes = 3 * time.Millisecond
	readyTakes = 5 * time.Millisecond
)

// writeCommand writes USBCMD.
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

// checkScratchpads checks the scratchpad buffers (xHCI 1.2, 4.20).
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
