package usbhost

import (
	"fmt"
	"time"

	"tamaccid/ccid/usb"
)

// Hub descriptors (USB 2.0, 11.23.2.1; USB 3.2, 10.15.2.1).
const (
	typeHub      = 0x29
	typeSuperHub = 0x2A

	hubDescriptorLeast = 7  // up to bHubContrCurrent; what follows depends on the number of ports
	superHubLeast      = 12 // the whole of it

	// maxHubPorts bounds bNbrPorts, of which real hubs have at most 16 (policy); a USB 3 hub has at most 15 (USB 3.2, table 10-5).
	maxHubPorts      = 31
	maxSuperHubPorts = 15

	// hubDescriptorSize is as much as is asked for: the bits for maxHubPorts ports and the change bits are in it.
	hubDescriptorSize = hubDescriptorLeast + 2*(maxHubPorts/8+1)
)

// hubDescriptor is what a hub says of itself.
type hubDescriptor struct {
	ports int
	// perPortPower says that each port is switched by itself; else all are at once, or none ever is.
	perPortPower bool
	// perPortCurrent says that over-current is told by port; else by the hub as a whole, or not at all.
	perPortCurrent bool
	thinkTime      uint8 // of the transaction translator, bits 6:5
	powerGood      time.Duration
}

// parseHubDescriptor reads a hub descriptor of either kind. What is behind the fixed part is of no interest, and need not be there.
func parseHubDescriptor(b []byte, super bool) (hubDescriptor, error) {
	kind, least, most := byte(typeHub), hubDescriptorLeast, maxHubPorts
	if super {
		kind, least, most = typeSuperHub, superHubLeast, maxSuperHubPorts
	}
	if len(b) < least || int(b[0]) < least || b[1] != kind {
		return hubDescriptor{}, fmt.Errorf("%w: hub descriptor of %d bytes", usb.ErrDescriptor, len(b))
	}
	if b[2] == 0 {
		return hubDescriptor{}, fmt.Errorf("%w: hub without ports", usb.ErrDescriptor)
	}
	// wHubCharacteristics: bits 1:0 power switching, 4:3 over-current, 6:5 think time; bPwrOn2PwrGood in units of 2 ms
	d := hubDescriptor{ports: min(int(b[2]), most), perPortPower: b[3]&3 == 1, perPortCurrent: b[3]>>3&3 == 1,
		powerGood: time.Duration(b[5]) * 2 * time.Millisecond}
	if !super {
		d.thinkTime = b[3] >> 5 & 3
	}
	return d, nil
}

// changedPorts reads a status change bitmap: bit 0 is the hub, bit n is port n (USB 2.0, 11.12.4). Bits without a port are
// ignored, missing ones are 0.
func changedPorts(bitmap []byte, ports int) (hub bool, numbers []int) {
	for n := 1; n <= ports && n/8 < len(bitmap); n++ {
		if bitmap[n/8]>>(n%8)&1 != 0 {
			numbers = append(numbers, n)
		}
	}
	return len(bitmap) > 0 && bitmap[0]&1 != 0, numbers
}
