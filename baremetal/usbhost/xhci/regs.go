package xhci

// Capability registers, from the start of the register space (xHCI 1.2, 5.3).
const (
	regCapLength  = 0x00 // CAPLENGTH in bits 7:0, HCIVERSION in 31:16
	regHCSParams1 = 0x04
	regHCSParams2 = 0x08
	regHCSParams3 = 0x0C
	regHCCParams1 = 0x10
	regDBOff      = 0x14
	regRTSOff     = 0x18
	regHCCParams2 = 0x1C

	minCapLength = 0x20 // they end here (xHCI 1.2, table 5-9)
)

// Operational registers, from CAPLENGTH on (xHCI 1.2, 5.4).
const (
	opUSBCmd   = 0x00
	opUSBSts   = 0x04
	opPageSize = 0x08
	opDNCtrl   = 0x14
	opCRCR     = 0x18
	opDCBAAP   = 0x30
	opConfig   = 0x38
	opPortSC   = 0x400

	portStride = 0x10 // from one port's register set to the next (xHCI 1.2, table 5-19)
)

// Runtime registers, from RTSOFF on (xHCI 1.2, 5.5), and those of interrupter 0.
const (
	rtMFIndex = 0x00
	rtIMan    = 0x20
	rtIMod    = 0x24
	rtERSTSZ  = 0x28
	rtERSTBA  = 0x30
	rtERDP    = 0x38

	interrupterStride = 0x20
)

// doorbellStride is from one slot's doorbell to the next, after DBOFF (xHCI 1.2, 5.6).
const doorbellStride = 4

// Bits of USBCMD (xHCI 1.2, 5.4.1).
const (
	cmdRun   = 1 << 0
	cmdReset = 1 << 1
	cmdINTE  = 1 << 2
)

// Bits of USBSTS (xHCI 1.2, 5.4.2).
const (
	stsHalted      = 1 << 0  // HCH
	stsSystemError = 1 << 2  // HSE
	stsInterrupt   = 1 << 3  // EINT, write 1 to clear
	stsPortChange  = 1 << 4  // PCD, write 1 to clear
	stsNotReady    = 1 << 11 // CNR
	stsError       = 1 << 12 // HCE
)

// Bits of CRCR (xHCI 1.2, 5.4.5).
const (
	crcrCycle   = 1 << 0 // RCS
	crcrAbort   = 1 << 2 // CA
	crcrRunning = 1 << 3 // CRR
)

// Bits of PORTSC (xHCI 1.2, 5.4.8).
const (
	portConnected   = 1 << 0 // CCS
	portEnabled     = 1 << 1 // PED, write 1 to disable
	portOverCurrent = 1 << 3 // OCA
	portReset       = 1 << 4 // PR
	portLink        = 0xF << 5
	portPower       = 1 << 9
	portSpeed       = 0xF << 10
	portIndicator   = 3 << 14
	portLinkStrobe  = 1 << 16 // LWS
	portCSC         = 1 << 17 // these seven are changes, write 1 to clear
	portPEC         = 1 << 18
	portWRC         = 1 << 19
	portOCC         = 1 << 20
	portPRC         = 1 << 21
	portPLC         = 1 << 22
	portCEC         = 1 << 23
	portColdAttach  = 1 << 24 // CAS
	portWake        = 7 << 25
	portWarmReset   = 1 << 31

	portLinkShift  = 5
	portSpeedShift = 10

	// portKept is what a write must repeat for nothing else to happen: the other bits act when they are written as ones.
	portKept = portPower | portIndicator | portWake
)

// Link states, PORTSC bits 8:5 (xHCI 1.2, table 5-27).
const (
	linkInactive   = 6
	linkCompliance = 10
)

// Bits of IMAN and ERDP (xHCI 1.2, 5.5.2.1, 5.5.2.3.3).
const (
	imanPending = 1 << 0 // write 1 to clear
	imanEnable  = 1 << 1
	erdpBusy    = 1 << 3 // EHB, write 1 to clear
)

// allOnes is what a read of a device gives that is not there.
const allOnes = 0xFFFFFFFF

func (c *Controller) readOp(reg uint32) uint32 { return c.regs.Read32(c.caps.op + reg) }
func (c *Controller) writeOp(reg, v uint32)    { c.regs.Write32(c.caps.op+reg, v) }
func (c *Controller) writeRT(reg, v uint32)    { c.regs.Write32(c.caps.runtime+reg, v) }
func (c *Controller) doorbell(slot uint8, v uint32) {
	c.regs.Write32(c.caps.doorbells+uint32(slot)*doorbellStride, v)
}

// Registers of 64 bits are written in halves, the lower first (xHCI 1.2, 5.1).
func (c *Controller) writeOp64(reg uint32, v uint64) {
	c.writeOp(reg, uint32(v))
	c.writeOp(reg+4, uint32(v>>32))
}

func (c *Controller) writeRT64(reg uint32, v uint64) {
	c.writeRT(reg, uint32(v))
	c.writeRT(reg+4, uint32(v>>32))
}
