package uefi

import (
	"bytes"
	"errors"
	"unsafe"
)

// DevicePathGUID is EFI_DEVICE_PATH_PROTOCOL_GUID (UEFI 2.11, 10.2). The interface is the path
// itself.
var DevicePathGUID = MustGUID("09576e91-6d3f-11d2-8e39-00a0c969723b")

// DevicePath is a device path in its binary form: nodes, each with type, subtype and 16-bit length,
// up to and including the End Entire node (UEFI 2.11, 10.3.1). The bytes may come from an untrusted
// source: every method checks bounds.
type DevicePath []byte

// Node types (UEFI 2.11, 10.3.1).
const (
	HardwareNode  = 0x01
	ACPINode      = 0x02
	MessagingNode = 0x03
	MediaNode     = 0x04
	BBSNode       = 0x05
	EndNode       = 0x7f
)

// Subtypes of the End node (UEFI 2.11, 10.3.1).
const (
	EndInstance = 0x01
	EndEntire   = 0xff
)

// nodeHeader is the size of type, subtype and length (UEFI 2.11, 10.3.1).
const nodeHeader = 4

// Bounds of a path at an address, whose length follows from its nodes only (policy).
const (
	maxPath  = 64 << 10
	maxNodes = 256
)

// ErrDevicePath is a device path with a node that is too short or reaches beyond the path.
var ErrDevicePath = errors.New("uefi: malformed device path")

// Node is one node of a path. Data is what follows the header, in the path's memory.
type Node struct {
	Type, SubType uint8
	Data          []byte
}

// Next splits off the first node. An empty path is ErrDevicePath: it has no end node.
func (p DevicePath) Next() (n Node, rest DevicePath, err error) {
	if len(p) < nodeHeader {
		return Node{}, nil, ErrDevicePath
	}
	size := int(p[2]) | int(p[3])<<8
	if size < nodeHeader || size > len(p) {
		return Node{}, nil, ErrDevicePath
	}
	return Node{p[0], p[1], p[nodeHeader:size:size]}, p[size:], nil
}

// IsEnd reports whether the path begins with the End Entire node.
func (p DevicePath) IsEnd() bool {
	n, _, err := p.Next()
	return err == nil && n.Type == EndNode && n.SubType == EndEntire
}

// Nodes are all nodes before the End Entire node.
func (p DevicePath) Nodes() (nodes []Node, err error) {
	for !p.IsEnd() {
		n, rest, err := p.Next()
		if err != nil {
			return nil, err
		}
		nodes, p = append(nodes, n), rest
	}
	return nodes, nil
}

// Size is the length up to and including the End Entire node, 0 for a path without one.
func (p DevicePath) Size() int {
	for at := p; ; {
		_, rest, err := at.Next()
		switch {
		case err != nil:
			return 0
		case at.IsEnd():
			return len(p) - len(rest)
		}
		at = rest
	}
}

// Complete reports whether the path has an End Entire node, so that firmware can read it.
func (p DevicePath) Complete() bool { return p.Size() > 0 }

// Contains reports whether other is p or a path that continues it. A path without nodes contains
// nothing.
func (p DevicePath) Contains(other DevicePath) bool {
	size := p.Size()
	if size == 0 || p.IsEnd() {
		return false
	}
	own := p[:size-nodeHeaderOf(p[:size])]
	return other.Complete() && bytes.HasPrefix(other, own)
}

// Append is a new path with n before the End Entire node.
func (p DevicePath) Append(n Node) (DevicePath, error) {
	size, total := nodeHeader+len(n.Data), p.Size()
	if total == 0 || size > 0xffff || total+size > maxPath {
		return nil, ErrDevicePath
	}
	end := total - nodeHeaderOf(p[:total])
	out := make(DevicePath, 0, total+size)
	out = append(out, p[:end]...)
	out = append(out, n.Type, n.SubType, byte(size), byte(size>>8))
	out = append(out, n.Data...)
	return append(out, p[end:total]...), nil
}

// nodeHeaderOf is the length of the last node of a complete path: an End node with data is one
// node.
func nodeHeaderOf(p DevicePath) int {
	for !p.IsEnd() {
		_, p, _ = p.Next()
	}
	return len(p)
}

// NewDevicePath is a path of those nodes.
func NewDevicePath(nodes ...Node) (p DevicePath, err error) {
	p = DevicePath{EndNode, EndEntire, nodeHeader, 0}
	for _, n := range nodes {
		if p, err = p.Append(n); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// FilePath is a File Path node (UEFI 2.11, 10.3.5.4): a file by its name from the root directory of
// its volume.
func FilePath(name string) Node {
	var data []byte
	for _, c := range UTF16(name) {
		data = append(data, byte(c), byte(c>>8))
	}
	return Node{MediaNode, mediaFilePath, data}
}

// DevicePathAt copies a path in firmware's memory. It is nil for address 0 and for a path without
// an End Entire node within maxPath bytes and maxNodes nodes.
func DevicePathAt(addr uintptr) DevicePath {
	if addr == 0 {
		return nil
	}
	size := uintptr(0)
	for n := 0; n < maxNodes; n++ {
		header := (*At[[nodeHeader]byte](addr + size))
		step := uintptr(header[2]) | uintptr(header[3])<<8
		if step < nodeHeader || size+step > maxPath {
			return nil
		}
		size += step
		if header[0] == EndNode && header[1] == EndEntire {
			out := make(DevicePath, size)
			copy(out, unsafe.Slice(At[byte](addr), size))
			return out
		}
	}
	return nil
}

// DevicePathOf is the device path of a handle, nil for a handle without one.
func (b *BootServices) DevicePathOf(h Handle) DevicePath {
	addr, err := b.HandleProtocol(h, &DevicePathGUID)
	if err != nil {
		return nil
	}
	return DevicePathAt(addr)
}
