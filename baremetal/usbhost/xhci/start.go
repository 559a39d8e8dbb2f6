package xhci

import (
	"errors"
	"fmt"
	"time"

	"tamaccid/baremetal/usbhost"
)

// How long a controller may take, and how often it is asked.
const (
	waitStep   = time.Millisecond       // policy
	haltWait   = 100 * time.Millisecond // xHCI 1.2, 5.4.1.1, allows 16 ms
	resetWait  = time.Second            // policy; the specification sets no bound
	readyWait  = 5 * time.Second        // CNR after power on; policy
	handoff    = time.Second            // for firmware to let go; policy (xHCI 1.2, 4.22.1 sets none)
	moderation = 160                    // IMOD, in 250 ns: at most one interrupt in 40 us; policy
)

// Errors of a start.
var (
	errNotReady = errors.New("controller not ready")
	errNoHalt   = errors.New("controller does not stop")
	errNoReset  = errors.New("reset does not end")
	errNoRun    = errors.New("controller does not run")
)

// wait asks a register until the bits in mask are as in want.
func (c *Controller) wait(read func() uint32, mask, want uint32, limit time.Duration, late error) error {
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
	command := uint32(cmdRun)
	if c.o.Interrupt != nil {
		c.writeRT(rtIMod, moderation)
		c.writeRT(rtIMan, imanPending|imanEnable)
		command |= cmdINTE
	}
	c.writeOp(opUSBCmd, command)
	return c.wait(c.status, stsHalted, 0, haltWait, errNoRun)
}

// Bits of USBLEGSUP and USBLEGCTLSTS, the word after it (xHCI 1.2, 7.1).
const (
	legacyFirmware = 1 << 16
	legacyOS       = 1 << 24
	legacyKept     = 7<<1 | 0xFF<<5 | 7<<17 // reserved bits that are written as they were read; all other enable an SMI
	legacyEvents   = 7 << 29                // write 1 to clear
)

// takeOver makes firmware let go of the controller (xHCI 1.2, 4.22.1), and sees to it that no SMI of the controller calls it again.
func (c *Controller) takeOver() {
	at := c.caps.legacy
	if at == 0 {
		return
	}
	read := func() uint32 { return c.regs.Read32(at) }
	if v := read(); v&legacyFirmware != 0 {
		c.regs.Write32(at, v|legacyOS)
		if err := c.wait(read, legacyFirmware, 0, handoff, errNotReady); err != nil {
			c.report("firmware does not release the controller; taken from it")
			c.regs.Write32(at, read()&^legacyFirmware|legacyOS)
		}
	} else {
		c.regs.Write32(at, v|legacyOS)
	}
	c.regs.Write32(at+4, c.regs.Read32(at+4)&legacyKept|legacyEvents)
}

// reset stops the controller and brings it into its initial state (xHCI 1.2, 4.2, 5.4.1: not while it is running).
func (c *Controller) reset() error {
	if err := c.wait(c.status, stsNotReady, 0, readyWait, errNotReady); err != nil {
		return err
	}
	c.writeOp(opUSBCmd, c.readOp(opUSBCmd)&^(cmdRun|cmdINTE|cmdReset))
	if err := c.wait(c.status, stsHalted, stsHalted, haltWait, errNoHalt); err != nil {
		return err
	}
	c.writeOp(opUSBCmd, cmdReset)
	// With Intel's controllers an access in the first millisecond may, rarely, hang the machine (Linux, quirk XHCI_INTEL_HOST).
	time.Sleep(waitStep)
	command := func() uint32 { return c.readOp(opUSBCmd) }
	if err := c.wait(command, cmdReset, 0, resetWait, errNoReset); err != nil {
		return err
	}
	return c.wait(c.status, stsNotReady, 0, resetWait, errNotReady)
}

// stop is the end of all DMA: true when the controller has said that it stands still, or is not there any more.
func (c *Controller) stop() bool {
	if c.status() == allOnes {
		return true
	}
	err := c.reset()
	return err == nil || c.status() == allOnes || c.status()&stsHalted != 0
}

// Sizes and boundaries of what the controller reads (xHCI 1.2, table 6-1). What must not cross a page is aligned by its size,
// rounded up to a power of two.
const (
	arrayAlign   = 2048
	contextCount = 32 // of a device, the slot context included; the input context has one more
	pageShift    = 12 // bit 0 of PAGESIZE stands for 4 KiB (xHCI 1.2, 5.4.3)
	pageBits     = 0xFFFF
)

// setUp gives the controller its memory, and tells it where that is.
func (c *Controller) setUp() (err error) {
	if c.contexts, err = c.alloc(arrayAlign, arrayAlign); err != nil {
		return err
	}
	if c.input, err = c.alloc((contextCount+1)*c.caps.context, 2*contextCount*c.caps.context); err != nil {
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
	c.writeRT64(rtERSTBA, c.events.table.Bus) // last: it starts the ring (xHCI 1.2, 4.9.4)
	return nil
}

// setUpScratchpads gives the controller the pages that it asks for, and never looks into them (xHCI 1.2, 4.20).
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
	c.scratchpads = append(make([]usbhost.Buffer, 0, n+1), array)
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
