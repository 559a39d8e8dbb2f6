package xhci

// haltReads bounds the wait for a controller to stop where there is no clock, or one that stands still: a register read takes
// 100 ns at least, the stop at most 16 ms (xHCI 1.2, 5.4.1.1).
const haltReads = 1 << 18

// Halt stops the controller at once, and for ever: no DMA of it goes on when it returns, unless it is broken. It is for the last moment
// before an operating system takes over: it allocates nothing, takes no lock, needs no goroutine, and may interrupt any
// other method. It may be called twice. Everything else fails afterwards.
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
		if c.readOp(opUSBSts)&stsHalted != 0 || c.o.Clock != nil && c.o.Clock() > end {
			break
		}
	}
	c.writeRT(rtIMan, imanPending)
}

// Wipe clears the data of transfers in flight. Like Halt, after which it belongs, it allocates
// nothing, takes no lock and may interrupt any other method.
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
