package xhci

import (
	"errors"
	"fmt"
	"time"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/hcd"
)

// Bounds of the waits for a controller, and the time between two reads.
const (
	waitStep  = time.Millisecond       // policy
	haltWait  = 100 * time.Millisecond // xHCI 1.2, 5.4.1.1, allows 16 ms
	resetWait = time.Second            // policy; the specification sets no bound
	readyWait = 5 * time.Second        // CNR after power on; policy
	// For firmware's release; policy (xHCI 1.2, 4.22.1, sets none).
	handoff    = time.Second
	moderation = 160 // IMOD, in 250 ns: at most one interrupt in 40 us; policy
)

// Errors of reset and start.
var (
	errNotReady = errors.New("controller not ready")
	errNoHalt   = errors.New("controller does not stop")
	errNoReset  = errors.New("reset does not end")
	errNoRun    = errors.New("controller does not run")
)

// wait reads a register until the bits in mask are as in want. late is the error when limit has
// passed.
func (c *Controller) wait(
	read func() uint32, mask, want uint32, limit time.Duration, late error,
) error {
	for left := limit; ; left -= waitStep {
		v := read()
		switch {
		case v == allOnes:
			return fmt.Errorf("%w: registers read as all ones", usbhost.ErrDead)
		case v&mask == want:
			return nil
		case left <= 0:
			return fmt.Errorf("%w: %w", usbhost.ErrDead, late)
		}
		time.Sleep(waitStep)
	}
}

func (c *Controller) status() uint32 { return c.readOp(opUSBSts) }

// start is the initialisation of xHCI 1.2, 4.2.
func (c *Controller) start() error {
	c.takeOver()
	if err := c.reset(); err != nil {
		return err
	}
	if err := c.setUp(); err != nil {
		return err
	}
	command := uint32(cmdRS)
	if c.o.Interrupt != nil {
		c.writeRT(rtIMod, moderation)
		c.writeRT(rtIMan, imanIP|imanIE)
		command |= cmdINTE
	}
	c.writeOp(opUSBCmd, command)
	return c.wait(c.status, stsHCH, 0, haltWait, errNoRun)
}

// Bits of USBLEGSUP and USBLEGCTLSTS, the word after it (xHCI 1.2, 7.1).
const (
	legacyBIOS = 1 << 16 // HC BIOS owned semaphore
	legacyOS   = 1 << 24 // HC OS owned semaphore

	// Reserved bits, which keep their value; the others enable SMIs.
	legacyKept   = 7<<1 | 0xFF<<5 | 7<<17
	legacyEvents = 7 << 29 // write 1 to clear
)

// takeOver takes the ownership of the controller from firmware (xHCI 1.2, 4.22.1), and disables the
// SMIs by which the controller would call firmware.
func (c *Controller) takeOver() {
	at := c.caps.legacy
	if at == 0 {
		return
	}
	read := func() uint32 { return c.regs.Read32(at) }
	if v := read(); v&legacyBIOS != 0 {
		c.regs.Write32(at, v|legacyOS)
		if err := c.wait(read, legacyBIOS, 0, handoff, errNotReady); err != nil {
			c.report("firmware does not release the controller; taken from it")
			c.regs.Write32(at, read()&^legacyBIOS|legacyOS)
		}
	} else {
		c.regs.Write32(at, v|legacyOS)
	}
	c.regs.Write32(at+4, c.regs.Read32(at+4)&legacyKept|legacyEvents)
}

// reset stops the controller and resets it to its initial state (xHCI 1.2, 4.2; 5.4.1 forbids a
// reset of a running controller).
func (c *Controller) reset() error {
	if err := c.wait(c.status, stsCNR, 0, readyWait, errNotReady); err != nil {
		return err
	}
	c.writeOp(opUSBCmd, c.readOp(opUSBCmd)&^(cmdRS|cmdINTE|cmdHCRST))
	if err := c.wait(c.status, stsHCH, stsHCH, haltWait, errNoHalt); err != nil {
		return err
	}
	c.writeOp(opUSBCmd, cmdHCRST)
	// With Intel's controllers an access in the first millisecond may, rarely, hang the machine
	// (Linux, quirk XHCI_INTEL_HOST).
	time.Sleep(waitStep)
	command := func() uint32 { return c.readOp(opUSBCmd) }
	if err := c.wait(command, cmdHCRST, 0, resetWait, errNoReset); err != nil {
		return err
	}
	return c.wait(c.status, stsCNR, 0, resetWait, errNotReady)
}

// stop ends all DMA. It reports whether the controller has halted or was removed.
func (c *Controller) stop() bool {
	if c.status() == allOnes {
		return true
	}
	err := c.reset()
	return err == nil || c.status() == allOnes || c.status()&stsHCH != 0
}

// Sizes and boundaries of data structures (xHCI 1.2, table 6-1). Those that must not cross a page
// are aligned to their size, rounded up to a power of two.
const (
	arrayAlign   = 2048
	contextCount = 32 // of a device, with the slot context; the input context has one more
	pageShift    = 12 // bit 0 of PAGESIZE is 4 KiB (xHCI 1.2, 5.4.3)
	pageBits     = 0xFFFF
)

// setUp allocates the controller's data structures and writes their addresses to its registers.
func (c *Controller) setUp() (err error) {
	if c.contexts, err = c.alloc(arrayAlign, arrayAlign); err != nil {
		return err
	}
	size := (contextCount + 1) * c.caps.context
	if c.input, err = c.alloc(size, 2*contextCount*c.caps.context); err != nil {
		return err
	}
	if c.events.buf, err = c.alloc(eventRingSize*trbSize, eventRingSize*trbSize); err != nil {
		return err
	}
	if c.events.table, err = c.alloc(segmentTableSize, segmentAlign); err != nil {
		return err
	}
	if c.command.ring, err = c.allocRing(); err != nil {
		return err
	}
	if err := c.setUpScratchpads(); err != nil {
		return err
	}
	c.events.describe()
	c.writeOp(opConfig, uint32(c.caps.slots))
	c.writeOp64(opDCBAAP, c.contexts.Bus)
	c.writeOp64(opCRCR, c.command.ring.dequeue())
	c.writeRT(rtERSTSZ, 1)
	c.writeRT64(rtERDP, c.events.dequeue())
	c.writeRT64(rtERSTBA, c.events.table.Bus) // last, since it starts the ring (xHCI 1.2, 4.9.4)
	return nil
}

// setUpScratchpads allocates the scratchpad pages of the controller (xHCI 1.2, 4.20).
func (c *Controller) setUpScratchpads() error {
	n := c.caps.scratchpads
	if n == 0 {
		return nil
	}
	page := c.readOp(opPageSize) & pageBits
	if page == 0 {
		return fmt.Errorf("%w: no page size", ErrRegisters)
	}
	size := int(page&-page) << pageShift
	array, err := c.alloc(n*8, size)
	if err != nil {
		return err
	}
	c.scratchpads = append(make([]hcd.Buffer, 0, n+1), array)
	for i := range n {
		b, err := c.alloc(size, size)
		if err != nil {
			return err
		}
		c.scratchpads = append(c.scratchpads, b)
		put64(array.Bytes, i*8, b.Bus)
	}
	put64(c.contexts.Bytes, 0, array.Bus)
	return nil
}
