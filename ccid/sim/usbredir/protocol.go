//go:build !tamago

// Package usbredir attaches a virtual USB device to QEMU's usb-redir device. It is the "usb-host"
// of the usbredir protocol, the side with the device.
//
//	qemu-system-x86_64 ... -device qemu-xhci \
//	    -chardev socket,id=reader,path=/tmp/reader -device usb-redir,chardev=reader
//
// Specification: USB Network Redirection protocol 0.7 (usbredir).
package usbredir

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Packet types (usbredir, "Packet format" of each).
const (
	typeHello            = 0
	typeDeviceConnect    = 1
	typeDeviceDisconnect = 2
	typeReset            = 3
	typeInterfaceInfo    = 4
	typeEndpointInfo     = 5
	typeSetConfiguration = 6
	typeGetConfiguration = 7
	typeConfiguration    = 8
	typeSetAltSetting    = 9
	typeGetAltSetting    = 10
	typeAltSetting       = 11
	typeStartIso         = 12
	typeStopIso          = 13
	typeIsoStatus        = 14
	typeStartInterrupt   = 15
	typeStopInterrupt    = 16
	typeInterruptStatus  = 17
	typeAllocStreams     = 18
	typeFreeStreams      = 19
	typeStreamsStatus    = 20
	typeCancel           = 21
	typeFilterReject     = 22
	typeFilterFilter     = 23
	typeDisconnectAck    = 24
	typeStartBulk        = 25
	typeStopBulk         = 26
	typeBulkStatus       = 27

	typeControl   = 100
	typeBulk      = 101
	typeIso       = 102
	typeInterrupt = 103
)

// Capabilities, by bit (usbredir, "usb_redir_hello").
const (
	capConnectVersion  = 1 << 1
	capFilter          = 1 << 2
	capDisconnectAck   = 1 << 3
	capMaxPacketSize   = 1 << 4
	cap64BitIDs        = 1 << 5
	cap32BitBulkLength = 1 << 6
)

// ours are the offered capabilities. A SuperSpeed port accepts a device only from a peer with
// packet sizes, long ids and long lengths. Buffered bulk input is not offered, since it has no
// answer for each request.
const ours = capConnectVersion | capDisconnectAck | capMaxPacketSize | cap64BitIDs |
	cap32BitBulkLength

// Statuses of a packet (usbredir, "Packet status").
const (
	statusSuccess   = 0
	statusCancelled = 1
	statusInvalid   = 2
	statusIOError   = 3
	statusStall     = 4
	statusTimeout   = 5
	statusBabble    = 6
)

// Speeds (usbredir, "usb_redir_device_connect").
const (
	speedLow   = 0
	speedFull  = 1
	speedHigh  = 2
	speedSuper = 3
)

const (
	versionSize  = 64
	helloHeader  = 12 // always with a short id
	longHeader   = 16
	maxBody      = 1 << 20 // more than a host controller's bulk transfer (policy)
	unusedType   = 255
	endpointSlot = 32 // OUT 0 to 15, IN 16 to 31
	maxInterface = 32
)

// ErrPeer means that the peer violates the protocol.
var ErrPeer = errors.New("usbredir: protocol violation by the peer")

// header is the header of a packet.
type header struct {
	kind, length uint32
	id           uint64
}

// readHeader reads a packet's header. long means an id of 64 bits.
func readHeader(r io.Reader, long bool) (header, error) {
	var b [longHeader]byte
	n := helloHeader
	if long {
		n = longHeader
	}
	if _, err := io.ReadFull(r, b[:n]); err != nil {
		return header{}, err
	}
	le := binary.LittleEndian
	h := header{kind: le.Uint32(b[:]), length: le.Uint32(b[4:]), id: uint64(le.Uint32(b[8:]))}
	if long {
		h.id = le.Uint64(b[8:])
	}
	if h.length > maxBody {
		return header{}, fmt.Errorf("%w: packet type %d with %d bytes", ErrPeer, h.kind, h.length)
	}
	return h, nil
}

// appendPacket appends a packet.
func appendPacket(b []byte, kind uint32, id uint64, long bool, parts ...[]byte) []byte {
	length := 0
	for _, p := range parts {
		length += len(p)
	}
	le := binary.LittleEndian
	b = le.AppendUint32(b, kind)
	b = le.AppendUint32(b, uint32(length))
	if long {
		b = le.AppendUint64(b, id)
	} else {
		b = le.AppendUint32(b, uint32(id))
	}
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}
