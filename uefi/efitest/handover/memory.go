//go:build tamago

package main

import "tamaccid/uefi"

// A controller writes to event rings, device contexts and the buffers of transfers. All of these
// are found from its registers while a driver uses it.

// Of a device context and its endpoints (xHCI 1.2, 6.2.1, 6.2.3), of segments (6.5) and of transfer
// requests (6.4).
const (
	contexts     = 32
	dequeue      = 0x08
	requestSize  = 16
	requestType  = 10 // bit of the control word
	typeNormal   = 1
	typeData     = 3
	typeLink     = 6
	pageSize     = 4096
	maxWatch     = 512   // policy
	maxLook      = 64    // requests of a ring that are looked at, policy
	maxBuffer    = 65536 // of a transfer request (xHCI 1.2, 4.11.7.1)
	maxTableSize = 16    // segments of an event ring, policy
)

type region struct{ start, length uintptr }

var (
	watched [maxWatch]region
	regions int
)

func watch(start, length uintptr) {
	if start >= pageSize && length > 0 && regions < maxWatch {
		watched[regions] = region{start, length}
		regions++
	}
}

// note records what the controllers may write to.
func note() {
	for i := range count {
		c := &controllers[i]
		interrupter := c.runtime
		table := read64(interrupter+segmentTable) &^ 0x3F
		if table == 0 || read(c.operational+usbCommand)&runStop == 0 {
			continue
		}
		for n := range min(read(interrupter+segmentSize)&0xFFFF, maxTableSize) {
			entry := table + n*requestSize
			watch(read64(entry)&^0x3F, read(entry+8)&0xFFFF*requestSize)
		}
		for slot := uintptr(1); slot <= c.slots; slot++ {
			device := read64(read64(c.operation(dcbaaPtr))&^0x3F+8*slot) &^ 0x3F
			if device == 0 {
				continue
			}
			watch(device, contexts*c.contextSize)
			for e := uintptr(1); e < contexts; e++ {
				buffers(read64(device+e*c.contextSize+dequeue) &^ 0xF)
			}
		}
	}
}

func (c *controller) operation(register uintptr) uintptr { return c.operational + register }

// buffers notes the buffers of the requests of a transfer ring, from one request to the end of the
// ring or its page.
func buffers(request uintptr) {
	if request == 0 {
		return
	}
	for range maxLook {
		kind := read(request+12) >> requestType & 0x3F
		if kind == typeLink {
			return
		}
		if kind == typeNormal || kind == typeData {
			watch(read64(request), min(read(request+8)&0x1FFFF, maxBuffer))
		}
		if request += requestSize; request%pageSize == 0 {
			return
		}
	}
}

// checksum is a checksum of that memory (FNV-1a).
func checksum() uint64 {
	sum := uint64(14695981039346656037)
	for i := range regions {
		for n := range watched[i].length {
			sum = (sum ^ uint64(*uefi.At[byte](watched[i].start + n))) * 1099511628211
		}
	}
	return sum
}

func watchedBytes() (n uintptr) {
	for i := range regions {
		n += watched[i].length
	}
	return n
}
