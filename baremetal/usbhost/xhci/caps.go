package xhci

import (
	"errors"
	"fmt"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/hcd"
	"tamaccid/ccid/usb"
)

// ErrRegisters: the capability registers are inconsistent. This is not an xHCI controller, or it is
// defective.
var ErrRegisters = errors.New("xhci: capability registers make no sense")

// capabilities are the contents of the capability registers (xHCI 1.2, 5.3, 7).
type capabilities struct {
	version uint16 // HCIVERSION, BCD

	slots, ports int
	scratchpads  int
	ac64         bool // AC64: addresses have 64 bits
	context      int  // size of a context, 32 or 64 bytes
	ppc          bool // PPC: ports have power switches

	op, runtime, doorbells uint32

	legacy uint32 // offset of USBLEGSUP, 0 if there is none
	root   []rootPort
}

// rootPort describes a port according to the supported protocol capabilities. The zero value is a
// port without a protocol.
type rootPort struct {
	major    uint8 // 2 or 3
	slotType uint8 // for Enable Slot
	speeds   [16]usb.Speed
}

// maxSpace bounds offsets when the size of the register space is unknown. Those of real controllers
// have at most 64 KiB (policy).
const maxSpace = 1 << 24

// Extended capabilities (xHCI 1.2, 7, table 7-1).
const (
	extLegacy   = 1
	extProtocol = 2

	maxExtended = 256 // how many are read; policy
)

// Bits of HCCPARAMS1 (xHCI 1.2, 5.3.6).
const (
	hccAC64 = 1 << 0 // 64-bit addressing capability
	hccCSZ  = 1 << 2 // context size: 64 bytes
	hccPPC  = 1 << 3 // port power control

	hccXECPShift = 16 // extended capabilities pointer, in words
)

// Wide reports whether a controller addresses memory with 64 bits (AC64, xHCI 1.2, 5.3.6).
func Wide(regs hcd.Registers) bool {
	v := regs.Read32(regHCCParams1)
	return v != allOnes && v&hccAC64 != 0
}

// readCapabilities reads the capability registers. It checks each value that is used as an offset
// or a count.
func readCapabilities(regs hcd.Registers, size uint32) (capabilities, error) {
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
	c.ac64 = h1&hccAC64 != 0
	c.ppc = h1&hccPPC != 0
	c.context = 32
	if h1&hccCSZ != 0 {
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
	case c.doorbells < c.op+opPortSC ||
		uint64(c.doorbells)+uint64(c.slots+1)*doorbellStride > uint64(size):
		return c, fmt.Errorf("%w: DBOFF %#x", ErrRegisters, c.doorbells)
	case c.runtime < c.op+opPortSC ||
		uint64(c.runtime)+rtIMan+interrupterStride > uint64(size):
		return c, fmt.Errorf("%w: RTSOFF %#x", ErrRegisters, c.runtime)
	}
	c.root = make([]rootPort, c.ports)
	c.readExtended(regs, h1>>hccXECPShift*4, size)
	for _, p := range c.root {
		if p.major != 0 {
			return c, nil
		}
	}
	return c, fmt.Errorf("%w: no port has a protocol", ErrRegisters)
}

// readExtended reads the list of extended capabilities. Each has the distance to the next one,
// which is always at a higher offset, so the list ends at the end of the register space at the
// latest.
func (c *capabilities) readExtended(regs hcd.Registers, at, size uint32) {
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

// readProtocol reads a supported protocol capability (xHCI 1.2, 7.2). Ports that do not exist, or
// that belong to an earlier capability, are ignored.
func (c *capabilities) readProtocol(regs hcd.Registers, at, size uint32) {
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

// defaultSpeeds are the speeds by ID without a table of the controller (xHCI 1.2, table 7-13).
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

// psiSpeed is the speed of a protocol speed ID dword (xHCI 1.2, 7.2.1): mantissa times 1000 to the
// power of the exponent, in bit/s.
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

// speedID is the default speed ID of a speed, for a slot context (xHCI 1.2, 6.2.2).
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
