package xhci

// Capability registers, from the start of the register space (xHCI 1.2, 5.3).
const (
	regCapLength  = 0x00 // CAPLENGTH in bits 7:0, HCIVERSION in 31:16
	regHCSParams1 = 0x04
	regHCSParams2 = 0x08
	regHCCParams1 = 0x10
	regDBOff      = 0x14
	regRTSOff     = 0x18

	minCapLength = 0x20 // their length (xHCI 1.2, table 5-9)
)

// Operational registers, from offset CAPLENGTH (xHCI 1.2, 5.4).
const (
	opUSBCmd   = 0x00
	opUSBSts   = 0x04
	opPageSize = 0x08
	opCRCR     = 0x18
	opDCBAAP   = 0x30
	opConfig   = 0x38
	opPortSC   = 0x400

	portStride = 0x10 // size of a port's register set (xHCI 1.2, table 5-19)
)

// Runtime registers of interrupter 0, from offset RTSOFF (xHCI 1.2, 5.5).
const (
	rtIMan   = 0x20
	rtIMod   = 0x24
	rtERSTSZ = 0x28
	rtERSTBA = 0x30
	rtERDP   = 0x38

	interrupterStride = 0x20
)

// doorbellStride is the size of a doorbell register, from offset DBOFF (xHCI 1.2, 5.6).
const doorbellStride = 4

// Bits of USBCMD (xHCI 1.2, 5.4.1).
const (
	cmdRS    = 1 << 0
	cmdHCRST = 1 << 1
	cmdINTE  = 1 << 2
)

// Bits of USBSTS (xHCI 1.2, 5.4.2).
const (
	stsHCH  = 1 << 0  // host controller halted
	stsHSE  = 1 << 2  // host system error
	stsEINT = 1 << 3  // event interrupt, write 1 to clear
	stsPCD  = 1 << 4  // port change detect, write 1 to clear
	stsCNR  = 1 << 11 // controller not ready
	stsHCE  = 1 << 12 // host controller error
)

// Bits of CRCR (xHCI 1.2, 5.4.5).
const (
	crcrCA  = 1 << 2 // command abort
	crcrCRR = 1 << 3 // command ring running
)

// Bits of PORTSC (xHCI 1.2, 5.4.8).
const (
	portCCS   = 1 << 0   // current connect status
	portPED   = 1 << 1   // port enabled/disabled, write 1 to disable
	portOCA   = 1 << 3   // over-current active
	portPR    = 1 << 4   // port reset
	portPLS   = 0xF << 5 // port link state
	portPP    = 1 << 9   // port power
	portSpeed = 0xF << 10
	portPIC   = 3 << 14 // port indicator control
	portCSC   = 1 << 17 // the following seven are changes, write 1 to clear
	portPEC   = 1 << 18
	portWRC   = 1 << 19
	portOCC   = 1 << 20
	portPRC   = 1 << 21
	portPLC   = 1 << 22
	portCEC   = 1 << 23
	portCAS   = 1 << 24 // cold attach status
	portWake  = 7 << 25 // WCE, WDE, WOE
	portWPR   = 1 << 31 // warm port reset

	portPLSShift   = 5
	portSpeedShift = 10

	// portKept are the bits that a write must repeat to keep their value. Writing 0 to the others
	// has no effect.
	portKept = portPP | portPIC | portWake
)

// Link states, PORTSC bits 8:5 (xHCI 1.2, table 5-27).
const (
	linkInactive   = 6
	linkCompliance = 10
)

// Bits of IMAN and ERDP (xHCI 1.2, 5.5.2.1, 5.5.2.3.3).
const (
	imanIP  = 1 << 0 // interrupt pending, write 1 to clear
	imanIE  = 1 << 1 // interrupt enable
	erdpEHB = 1 << 3 // event handler busy, write 1 to clear
)

// allOnes is the result of a read from a controller that was removed (hcd.Registers).
const allOnes = 0xFFFFFFFF

func (c *Controller) readOp(reg uint32) uint32 { return c.regs.Read32(c.caps.op + reg) }
func (c *Controller) writeOp(reg, v uint32)    { c.regs.Write32(c.caps.op+reg, v) }
func (c *Controller) writeRT(reg, v uint32)    { c.regs.Write32(c.caps.runtime+reg, v) }
func (c *Controller) doorbell(slot uint8, v uint32) {
	c.regs.Write32(c.caps.doorbells+uint32(slot)*doorbellStride, v)
}

// writeOp64 and writeRT64 write a register of 64 bits in halves, the lower one first (xHCI 1.2,
// 5.1).
func (c *Controller) writeOp64(reg uint32, v uint64) {
	c.writeOp(reg, uint32(v))
	c.writeOp(reg+4, uint32(v>>32))
}

func (c *Controller) writeRT64(reg uint32, v uint64) {
	c.writeRT(reg, uint32(v))
	c.writeRT(reg+4, uint32(v>>32))
}
