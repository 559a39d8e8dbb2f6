//go:build !tamago

// Package capture writes the traffic of a virtual USB device to a pcapng file. Wireshark decodes it
// as USB CCID without settings, since each file begins with the device's descriptors.
//
// Specifications: PCAP Next Generation Capture File Format (pcapng), IETF draft-ietf-opsawg-pcapng;
// link-layer header type 220, LINKTYPE_USB_LINUX_MMAPPED, the 64-byte header of Linux's usbmon.
package capture

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"time"

	"tamaccid/ccid/usb"
)

// Blocks of a file (pcapng, 4).
const (
	blockSection   = 0x0A0D0D0A
	blockInterface = 0x00000001
	blockPacket    = 0x00000006
	byteOrder      = 0x1A2B3C4D

	linkUSB   = 220
	usbHeader = 64
)

// Values in usbmon's header.
const (
	eventSubmit   = 'S'
	eventComplete = 'C'

	kindInterrupt = 1
	kindControl   = 2
	kindBulk      = 3

	noSetup    = '-'
	noDataIn   = '<'
	noDataOut  = '>'
	inProgress = -115 // EINPROGRESS

	bus     = 1
	address = 2
)

// Writer writes a capture file. It implements usbredir.Tap, and is safe for concurrent use.
type Writer struct {
	mu  sync.Mutex
	w   io.Writer
	b   []byte
	id  uint64
	err error
	now func() time.Time
}

// NewWriter returns a Writer and writes the head of the file with the descriptors of the device.
func NewWriter(w io.Writer, device, config []byte) (*Writer, error) {
	c := &Writer{w: w, now: time.Now}
	le := binary.LittleEndian
	section := le.AppendUint32(nil, byteOrder)
	section = le.AppendUint16(section, 1) // version 1.0
	section = le.AppendUint16(section, 0)
	section = le.AppendUint64(section, ^uint64(0)) // length unknown
	c.block(blockSection, section)
	link := le.AppendUint16(nil, linkUSB)
	link = le.AppendUint16(link, 0)
	link = le.AppendUint32(link, 0) // no limit
	c.block(blockInterface, link)
	get := func(kind uint8, d []byte) {
		c.Control(usb.Setup{
			RequestType: usb.DirIn, Request: usb.RequestGetDescriptor,
			Value: uint16(kind) << 8, Length: uint16(len(d)),
		}, d, nil)
	}
	get(usb.TypeDevice, device)
	get(usb.TypeConfiguration, config)
	return c, c.Err()
}

// Err returns the first error of the underlying writer. After an error nothing is written.
func (c *Writer) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// block writes one block with its length at both ends (pcapng, 3.1).
func (c *Writer) block(kind uint32, body []byte) {
	if c.err != nil {
		return
	}
	le := binary.LittleEndian
	padded := (len(body) + 3) &^ 3
	c.b = le.AppendUint32(c.b[:0], kind)
	c.b = le.AppendUint32(c.b, uint32(padded+12))
	c.b = append(c.b, body...)
	c.b = append(c.b, make([]byte, padded-len(body))...)
	c.b = le.AppendUint32(c.b, uint32(padded+12))
	_, c.err = c.w.Write(c.b)
}

// urb is one transfer in usbmon's format.
type urb struct {
	kind     byte
	endpoint uint8 // with the direction in bit 7
	setup    *usb.Setup
	length   int // requested
	data     []byte
	err      error
}

// Control implements usbredir.Tap.
func (c *Writer) Control(setup usb.Setup, data []byte, err error) {
	c.both(urb{
		kind: kindControl, endpoint: setup.RequestType & usb.DirIn, setup: &setup,
		length: int(setup.Length), data: data, err: err,
	})
}

// Transfer implements usbredir.Tap.
func (c *Writer) Transfer(
	endpoint uint8, kind usb.TransferType, length int, data []byte, err error,
) {
	k := byte(kindBulk)
	if kind == usb.InterruptTransfer {
		k = kindInterrupt
	}
	c.both(urb{kind: k, endpoint: endpoint, length: length, data: data, err: err})
}

// both writes the submission and the completion of a transfer. Data to the device is in the
// submission, data from the device in the completion.
func (c *Writer) both(u urb) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.id++
	c.packet(eventSubmit, &u)
	c.packet(eventComplete, &u)
}

// packet writes one event of a transfer.
func (c *Writer) packet(event byte, u *urb) {
	in := u.endpoint&usb.DirIn != 0
	data, noData, setup := u.data, byte(0), byte(noSetup)
	if in != (event == eventComplete) {
		data, noData = nil, noDataOut
		if in {
			noData = noDataIn
		}
	}
	status, length := int32(inProgress), u.length
	if event == eventComplete {
		status, length = errno(u.err), len(u.data)
	}
	var setupBytes [usb.SetupSize]byte
	if event == eventSubmit && u.setup != nil {
		setup, setupBytes = 0, u.setup.Bytes()
	}
	t := c.now()
	micros := uint64(t.UnixMicro())
	le := binary.LittleEndian
	b := make([]byte, 0, 20+usbHeader+len(data))
	b = le.AppendUint32(b, 0) // interface
	b = le.AppendUint32(b, uint32(micros>>32))
	b = le.AppendUint32(b, uint32(micros))
	b = le.AppendUint32(b, uint32(usbHeader+len(data)))
	b = le.AppendUint32(b, uint32(usbHeader+len(data)))

	b = le.AppendUint64(b, c.id)
	b = append(b, event, u.kind, u.endpoint, address)
	b = le.AppendUint16(b, bus)
	b = append(b, setup, noData)
	b = le.AppendUint64(b, uint64(t.Unix()))
	b = le.AppendUint32(b, uint32(t.Nanosecond()/1000))
	b = le.AppendUint32(b, uint32(status))
	b = le.AppendUint32(b, uint32(length))
	b = le.AppendUint32(b, uint32(len(data)))
	b = append(b, setupBytes[:]...)
	b = append(b, make([]byte, 16)...) // interval, start frame, flags, number of descriptors
	c.block(blockPacket, append(b, data...))
}

// errno returns the Linux error number of an error.
func errno(err error) int32 {
	const (
		noEntry  = -2
		pipe     = -32
		protocol = -71
		overflow = -75
		shutdown = -108
		timedOut = -110
	)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, usb.ErrStall):
		return pipe
	case errors.Is(err, usb.ErrBabble):
		return overflow
	case errors.Is(err, usb.ErrGone):
		return shutdown
	case errors.Is(err, usb.ErrTimeout):
		return timedOut
	case errors.Is(err, context.Canceled):
		return noEntry
	}
	return protocol
}
