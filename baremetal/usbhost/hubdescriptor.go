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

	// hubDescriptorLeast ends with bHubContrCurrent. The length of the rest depends on the number
	// of ports.
	hubDescriptorLeast = 7
	superHubLeast      = 12 // the whole descriptor

	// maxHubPorts bounds bNbrPorts; real hubs have at most 16 ports (policy). A USB 3 hub has at
	// most 15 (USB 3.2, table 10-5).
	maxHubPorts      = 31
	maxSuperHubPorts = 15

	// hubDescriptorSize is the length of the request: the descriptor of a hub with maxHubPorts.
	hubDescriptorSize = hubDescriptorLeast + 2*(maxHubPorts/8+1)
)

// hubDescriptor is the part of a hub descriptor that the bus uses.
type hubDescriptor struct {
	ports     int
	thinkTime uint8 // of the transaction translator: wHubCharacteristics bits 6:5
	powerGood time.Duration
}

// parseHubDescriptor parses a hub descriptor of either kind. Only the fixed part must be present.
func parseHubDescriptor(b []byte, super bool) (hubDescriptor, error) {
	kind, least, most := byte(typeHub), hubDescriptorLeast, maxHubPorts
	if super {
		kind, least, most = typeSuperHub, superHubLeast, maxSuperHubPorts
	}
	if len(b) < least || int(b[0]) < least || b[1] != kind {
		return hubDescriptor{}, fmt.Errorf("%w: hub descriptor of %d bytes",
			usb.ErrDescriptor, len(b))
	}
	if b[2] == 0 {
		return hubDescriptor{}, fmt.Errorf("%w: hub without ports", usb.ErrDescriptor)
	}
	d := hubDescriptor{
		ports:     min(int(b[2]), most),
		powerGood: time.Duration(b[5]) * 2 * time.Millisecond, // bPwrOn2PwrGood
	}
	if !super {
		d.thinkTime = b[3] >> 5 & 3
	}
	return d, nil
}

// changedPorts parses a status change bitmap: bit 0 is the hub, bit n is port n (USB 2.0, 11.12.4).
// Bits beyond the last port are ignored, missing bits are 0.
func changedPorts(bitmap []byte, ports int) (hub bool, numbers []int) {
	for n := 1; n <= ports && n/8 < len(bitmap); n++ {
		if bitmap[n/8]>>(n%8)&1 != 0 {
			numbers = append(numbers, n)
		}
	}
	return len(bitmap) > 0 && bitmap[0]&1 != 0, numbers
}
