package xhci

import (
	"math/bits"

	"tamaccid/ccid/usb"
)

// Words of a context (xHCI 1.2, 6.2.2, 6.2.3, 6.2.5.1). An input context consists of the control
// context, the slot context and the endpoint contexts, of 32 or 64 bytes each.
const (
	inputDrop = 0x00
	inputAdd  = 0x04

	slotRoute   = 0x00 // route string, speed, MTT, hub, context entries
	slotPort    = 0x04 // root hub port, number of ports
	slotTT      = 0x08 // TT hub slot, TT port, think time
	slotAddress = 0x0C // device address, slot state

	slotSpeedShift    = 20
	slotMTT           = 1 << 25
	slotHub           = 1 << 26
	slotEntriesShift  = 27
	slotRootShift     = 16
	slotPortsShift    = 24
	slotTTPortShift   = 8
	slotThinkShift    = 16
	slotAddressMask   = 0xFF
	slotRouteMask     = 0xFFFFF
	endpointState     = 0x00 // state, interval, upper part of max ESIT payload
	endpointType      = 0x04 // error count, type, max burst, max packet size
	endpointDequeue   = 0x08
	endpointLengths   = 0x10 // average TRB length, max ESIT payload
	stateMask         = 7
	intervalShift     = 16
	esitHighShift     = 24
	errorCountShift   = 1
	endpointTypeShift = 3
	burstShift        = 8
	packetShift       = 16
	esitLowShift      = 16
)

// Endpoint types (xHCI 1.2, table 6-9).
const (
	typeControl = 4
	typeIn      = 4 // is added to the transfer type
)

// errorCount is the number of attempts of a transaction (xHCI 1.2, 6.2.3, CErr).
const errorCount = 3

// Initial average TRB lengths (xHCI 1.2, 4.14.1.1).
const (
	averageControl   = 8
	averageInterrupt = 1024
	averageBulk      = 3072
)

// hardwareState is the state of an endpoint in the controller (xHCI 1.2, table 6-8).
type hardwareState uint32

const (
	hwDisabled hardwareState = 0
	hwRunning  hardwareState = 1
	hwHalted   hardwareState = 2
	hwStopped  hardwareState = 3
	hwError    hardwareState = 4
)

// defaultPipe is the index of the default control pipe in contexts and doorbells (xHCI 1.2, 4.5.1).
const defaultPipe = 1

// endpointIndex is the index of an endpoint: 2n for OUT and 2n+1 for IN (xHCI 1.2, 4.5.1).
func endpointIndex(address uint8) uint8 {
	n := address & 0xF
	switch {
	case n == 0:
		return defaultPipe
	case address&usb.DirIn != 0:
		return 2*n + 1
	}
	return 2 * n
}

// inputContext returns one context of the input context: -1 is the control context, 0 the slot
// context. c.commands is held.
func (c *Controller) inputContext(i int) []byte {
	return c.input.Bytes[(i+1)*c.caps.context:][:c.caps.context]
}

// startInput clears the input context and sets its drop and add flags. c.commands is held.
func (c *Controller) startInput(drop, add uint32) {
	clear(c.input.Bytes)
	control := c.inputContext(-1)
	put32(control, inputDrop, drop)
	put32(control, inputAdd, add)
}

// Bits of the add and drop flags.
const (
	addSlot = 1 << 0
	addPipe = 1 << defaultPipe
)

// fillSlot writes the slot context (xHCI 1.2, 6.2.2). entries is the index of the last valid
// endpoint context.
func (d *device) fillSlot(b []byte, entries int) {
	at := &d.at
	route := at.Route&slotRouteMask | d.speedID<<slotSpeedShift |
		uint32(entries)<<slotEntriesShift
	port := uint32(at.RootPort) << slotRootShift
	var tt uint32
	if d.isHub {
		route |= slotHub
		port |= uint32(d.hub.Ports) << slotPortsShift
		if at.Speed == usb.SpeedHigh {
			tt |= uint32(d.hub.ThinkTime&3) << slotThinkShift
			if d.hub.MultiTT {
				route |= slotMTT
			}
		}
	}
	if d.ttSlot != 0 && (at.Speed == usb.SpeedLow || at.Speed == usb.SpeedFull) {
		tt |= uint32(d.ttSlot) | uint32(at.TTPort)<<slotTTPortShift
		if at.MultiTT {
			route |= slotMTT
		}
	}
	put32(b, slotRoute, route)
	put32(b, slotPort, port)
	put32(b, slotTT, tt)
}

// fillPipe writes the endpoint context of the default control pipe.
func (e *endpoint) fillPipe(b []byte) {
	put32(b, endpointType, errorCount<<errorCountShift|typeControl<<endpointTypeShift|
		uint32(e.packet)<<packetShift)
	put64(b, endpointDequeue, e.ring.dequeue())
	put32(b, endpointLengths, averageControl)
}

// fill writes the endpoint context of another endpoint (xHCI 1.2, 4.8.2, 6.2.3).
func (e *endpoint) fill(b []byte, speed usb.Speed) {
	d := &e.descriptor
	kind := uint32(d.Type)
	if d.In() {
		kind += typeIn
	}
	burst := uint32(d.MaxBurst)
	if speed == usb.SpeedLow || speed == usb.SpeedFull ||
		speed == usb.SpeedHigh && d.Type == usb.BulkTransfer {
		burst = 0
	}
	average, esit := uint32(averageBulk), uint32(0)
	if d.Type == usb.InterruptTransfer {
		esit = e.payload(burst, speed)
		average = min(averageInterrupt, esit)
	}
	put32(b, endpointState, interval(*d, speed)<<intervalShift|esit>>16<<esitHighShift)
	put32(b, endpointType, errorCount<<errorCountShift|kind<<endpointTypeShift|
		burst<<burstShift|uint32(e.packet)<<packetShift)
	put64(b, endpointDequeue, e.ring.dequeue())
	put32(b, endpointLengths, average|esit<<esitLowShift)
}

// payload is the max ESIT payload of an interrupt endpoint, for which the controller reserves
// bandwidth (xHCI 1.2, 4.14.2, 6.2.3.8): the size of its packets, or wBytesPerInterval of a
// SuperSpeed endpoint if that is less (USB 3.2, 9.6.7). A wBytesPerInterval of 0 is ignored: such
// an endpoint could not transfer any data.
func (e *endpoint) payload(burst uint32, speed usb.Speed) uint32 {
	most := uint32(e.packet) * (burst + 1)
	bytes := uint32(e.descriptor.BytesPerInterval)
	if speed == usb.SpeedSuper && bytes > 0 {
		return min(bytes, most)
	}
	return most
}

// Bounds of the exponent of an interval, in 125 us (xHCI 1.2, table 6-12). At high speed and
// SuperSpeed it may be 15, but TI's TUSB73x0 does not work with more than 6 (Linux:
// XHCI_LIMIT_ENDPOINT_INTERVAL_7), and a host may poll a device more often than its bInterval (USB
// 2.0, 5.7.4).
const (
	fastestFrame = 3  // 1 ms
	slowestFrame = 10 // 128 ms
	slowest      = 6  // 8 ms
	microframes  = 8  // in a frame

	mostNAKs = 15 // exponent of the NAK rate of a bulk OUT endpoint
)

// interval is the exponent of the time between two transactions, from bInterval (xHCI 1.2, 6.2.3.6,
// table 6-12).
func interval(d usb.Endpoint, speed usb.Speed) uint32 {
	b := max(uint32(d.Interval), 1)
	high := speed == usb.SpeedHigh || speed == usb.SpeedSuper
	switch {
	case d.Type == usb.InterruptTransfer && high:
		return min(b-1, slowest)
	case d.Type == usb.InterruptTransfer:
		return min(max(log2(b*microframes), fastestFrame), slowestFrame)
	case speed == usb.SpeedHigh && !d.In() && d.Interval > 0:
		return min(log2(b), mostNAKs)
	}
	return 0
}

func log2(v uint32) uint32 { return uint32(bits.Len32(v)) - 1 }

// firstPacket is the packet size of the default control pipe that all devices of a speed support
// (USB 2.0, 5.5.3; USB 3.2, 9.6.1).
func firstPacket(s usb.Speed) int {
	switch s {
	case usb.SpeedHigh:
		return 64
	case usb.SpeedSuper:
		return 512
	}
	return 8
}

// validPacket0 reports whether n is a valid packet size of the default control pipe.
func validPacket0(s usb.Speed, n int) bool {
	if s == usb.SpeedFull {
		return n == 8 || n == 16 || n == 32 || n == 64
	}
	return n == firstPacket(s)
}

// packetSize is the packet size of an endpoint, adjusted to the range of its speed and type (USB
// 2.0, 5.7.3, 5.8.3; USB 3.2, 9.6.6). A controller rejects the whole configuration for one invalid
// size.
func packetSize(d usb.Endpoint, s usb.Speed) int {
	n := int(d.MaxPacketSize)
	if d.Type == usb.BulkTransfer {
		switch s {
		case usb.SpeedHigh:
			return 512
		case usb.SpeedSuper:
			return 1024
		}
		return 1 << log2(uint32(min(max(n, 8), 64)))
	}
	switch s {
	case usb.SpeedLow:
		return min(max(n, 1), 8)
	case usb.SpeedFull:
		return min(max(n, 1), 64)
	}
	return min(max(n, 1), 1024)
}
