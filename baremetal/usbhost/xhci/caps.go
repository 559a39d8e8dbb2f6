package xhci

import (
	"errors"
	"fmt"

	"tamaccid/baremetal/usbhost"
	"tamaccid/ccid/usb"
)

// ErrRegisters says that the capability registers contradict themselves: this is no xHCI controller, or not a whole one.
var ErrRegisters = errors.New("xhci: capability registers make no sense")

// capabilities is what a controller says of itself (xHCI 1.2, 5.3, 7).
type capabilities struct {
	version uint16 // HCIVERSION, BCD

	slots, ports int
	scratchpads  int
	wide         bool // AC64: takes addresses of 64 bits
	context      int  // size of a context, 32 or 64 bytes
	portPower    bool // PPC: ports have power switches

	op, runtime, doorbells uint32

	legacy uint32 // offset of USBLEGSUP, 0: none
	root   []rootPort
}

// rootPort is what the supported protocol capabilities say of a port. The zero value is a port of no protocol.
type rootPort struct {
	major    uint8 // 2 or 3
	slotType uint8 // for Enable Slot
	speeds   [16]usb.Speed
}

// maxSpace bounds offsets when the size of the register space is not known. Policy: real ones have 64 KiB at most.
const maxSpace = 1 << 24

// Extended capabilities (xHCI 1.2, 7, table 7-1).
const (
	extLegacy   = 1
	extProtocol = 2

	maxExtended = 256 // how many are looked at; policy
)

// readCapabilities checks all before it is used as an offset or a count.
func readCapabilities(regs Registers, size uint32) (capabilities, error) {
	var c capabilities
	if size == 0 || size > maxSpace {
		size = maxSpace
	}
	head := regs.Read32(regCapLength)
	if head == allOnes {
		return c, fmt.Errorf("%w: registers read as all ones", usbhost.ErrDead)
	}
	s1, s2, h1 := regs.Read32(regHCSParams1), regs.Read32(regHCSParams2), regs.Read32(regHCCParams1)
	c.version = uint16(head >> 16)
	c.op = head & 0xFF
	c.slots = int(s1 & 0xFF)
	c.ports = int(s1 >> 24)
	c.scratchpads = int(s2>>21&0x1F<<5 | s2>>27)
	c.wide = h1&(1<<0) != 0
	c.portPower = h1&(1<<3) != 0
	c.context = 32
	if h1&(1<<2) != 0 {
		c.context = 64
	}
	c.doorbells = regs.Read32(regDBOff) &^ 3
	c.runtime = regs.Read32(regRTSOff) &^ 0x1F
	switch {
	case c.op < minCapLength || c.op%4 != 0:
		return c, fmt.Errorf("%w: CAPLENGTH %d", ErrRegisters, c.op)
	case c.slots == 0:
		return c, fmt.Errorf("%w: no device slots", ErrRegisters)
	case c.ports == 0:
		return c, fmt.Errorf("%w: no ports", ErrRegisters)
	}
	opEnd := uint64(c.op) + opPortSC + uint64(c.ports)*portStride
	switch {
	case opEnd > uint64(size):
		return c, fmt.Errorf("%w: %d ports do not fit into %#x bytes", ErrRegisters, c.ports, size)
	case c.doorbells < c.op+opPortSC || uint64(c.doorbells)+uint64(c.slots+1)*doorbellStride > uint64(size):
		return c, fmt.Errorf("%w: DBOFF %#x", ErrRegisters, c.doorbells)
	case c.runtime < c.op+opPortSC || uint64(c.runtime)+rtIMan+interrupterStride > uint64(size):
		return c, fmt.Errorf("%w: RTSOFF %#x", ErrRegisters, c.runtime)
	}
	c.root = make([]rootPort, c.ports)
	c.readExtended(regs, h1>>16*4, size)
	for _, p := range c.root {
		if p.major != 0 {
			return c, nil
		}
	}
	return c, fmt.Errorf("%w: no port has a protocol", ErrRegisters)
}

// readExtended walks the list of extended capabilities. Each says how far the next one is, always further up; the walk ends with
// the register space at the latest.
func (c *capabilities) readExtended(regs Registers, at, size uint32) {
	for n := 0; n < maxExtended && at >= minCapLength && at <= size-4; n++ {
		v := regs.Read32(at)
		if v == allOnes {
			return
		}
		switch v & 0xFF {
		case extLegacy:
			if c.legacy == 0 && at <= size-8 {
				c.legacy = at
			}
		case extProtocol:
			c.readProtocol(regs, at, size)
		}
		next := v >> 8 & 0xFF * 4
		if next == 0 {
			return
		}
		at += next
	}
}

// readProtocol reads a supported protocol capability (xHCI 1.2, 7.2). One that names ports which do not exist, or ports of
// another capability, is believed in no more than the rest of it.
func (c *capabilities) readProtocol(regs Registers, at, size uint32) {
	const fixed = 16 // bytes before the speed IDs
	if at > size-fixed {
		return
	}
	major := uint8(regs.Read32(at) >> 24)
	w := regs.Read32(at + 8)
	first, count, ids := int(w&0xFF), int(w>>8&0xFF), w>>28
	slot := uint8(regs.Read32(at+12) & 0x1F)
	if major != 2 && major != 3 || first == 0 {
		return
	}
	speeds := defaultSpeeds(major)
	if ids > 0 {
		speeds = [16]usb.Speed{}
	}
	for i := range ids {
		if at+fixed+i*4 > size-4 {
			return
		}
		psi := regs.Read32(at + fixed + i*4)
		speeds[psi&0xF] = psiSpeed(major, psi)
	}
	for p := first; p < first+count && p <= c.ports; p++ {
		if c.root[p-1].major == 0 {
			c.root[p-1] = rootPort{major: major, slotType: slot, speeds: speeds}
		}
	}
}

// defaultSpeeds is the meaning of PORTSC's speed where no table says otherwise (xHCI 1.2, table 7-13).
func defaultSpeeds(major uint8) (s [16]usb.Speed) {
	if major == 2 {
		s[idFull], s[idLow], s[idHigh] = usb.SpeedFull, usb.SpeedLow, usb.SpeedHigh
		return s
	}
	for id := idSuper; id <= 7; id++ {
		s[id] = usb.SpeedSuper
	}
	return s
}

// Default speed IDs (xHCI 1.2, table 7-13).
const (
	idFull  = 1
	idLow   = 2
	idHigh  = 3
	idSuper = 4
)

// psiSpeed is the speed that a protocol speed ID stands for (xHCI 1.2, 7.2.1): mantissa times 1000 to the exponent, in bit/s.
func psiSpeed(major uint8, psi uint32) usb.Speed {
	rate := uint64(psi >> 16)
	for range psi >> 4 & 3 {
		rate *= 1000
	}
	switch {
	case psi&0xF == 0:
		return usb.SpeedUnknown // reserved
	case major == 3:
		return usb.SpeedSuper
	case rate >= 480e6:
		return usb.SpeedHigh
	case rate >= 12e6:
		return usb.SpeedFull
	}
	return usb.SpeedLow
}

// speedID is what a slot context has for a speed (xHCI 1.2, table 6-4).
func speedID(s usb.Speed) uint32 {
	switch s {
	case usb.SpeedLow:
		return idLow
	case usb.SpeedHigh:
		return idHigh
	case usb.SpeedSuper:
		return idSuper
	}
	return idFull
}
