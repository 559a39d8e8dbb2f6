package xhci

// haltReads bounds the wait for a controller to halt without a clock, or with one that has stopped:
// a register read takes at least 100 ns (policy), the halt at most 16 ms (xHCI 1.2, 5.4.1.1).
const haltReads = 1 << 18

// Halt implements usbhost.Controller.
func (c *Controller) Halt() {
	c.halted.Store(true)
	if c.readOp(opUSBSts) == allOnes {
		return
	}
	c.writeOp(opUSBCmd, 0)
	var end int64
	if c.o.Clock != nil {
		end = c.o.Clock() + int64(haltWait)
	}
	for range haltReads {
		if c.readOp(opUSBSts)&stsHCH != 0 || c.o.Clock != nil && c.o.Clock() > end {
			break
		}
	}
	c.writeRT(rtIMan, imanIP)
}

// Wipe implements usbhost.Controller.
func (c *Controller) Wipe() {
	for _, d := range c.slots {
		if d == nil {
			continue
		}
		for _, e := range d.endpoints {
			if e != nil {
				e.wipe(len(e.pieces) * pieceSize)
			}
		}
	}
}
