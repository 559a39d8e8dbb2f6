package usbio

import (
	"errors"
	"time"

	"tamaccid/ccid/usb"
	"tamaccid/uefi"
)

// A removed device cannot say so. Where a driver runs at TPL_CALLBACK, firmware's own bus driver learns of the removal only
// after the driver has returned, and some host controllers let transfers to a removed device simply time out. The port
// that the device is plugged into knows better; a standard request to the device is the second best.

// presence is what is known of the device.
type presence int

const (
	unknown presence = iota
	there
	away
)

// port is the state of a hub's port, or of a root hub's.
type port interface {
	status() (uefi.USBPortStatus, error)
}

// Bits of a port's status and change (UEFI 2.11, 17.1.2; USB 2.0, tables 11-21 and 11-22).
const (
	portConnected = 0x0001
	portLowSpeed  = 0x0200
	portHighSpeed = 0x0400
	portSuper     = 0x0800 // root ports only; on a hub the bit is a test mode's
)

// probeLimit is how long a device may take to answer a standard request (USB 2.0, 9.2.6.4: 500 ms to the first data packet).
const probeLimit = 500 * time.Millisecond

// getStatus is GET_STATUS of the device, which it answers in every state and which changes nothing (USB 2.0, 9.4.5).
var getStatus = usb.Setup{RequestType: usb.DirIn | usb.TypeStandard | usb.ToDevice, Request: usb.RequestGetStatus, Length: 2}

func (t *Transport) hear() { t.heard.Store(int64(time.Since(t.start))) }

// quiet says that nothing has been heard of the device for a while.
func (t *Transport) quiet() bool { return time.Since(t.start)-time.Duration(t.heard.Load()) >= silence }

// stillThere is usb.ErrGone for a device that is known to be away. It asks only after a while of silence.
func (t *Transport) stillThere() error {
	if !t.quiet() {
		return nil
	}
	if t.present() == away {
		t.gone.Store(true)
		return usb.ErrGone
	}
	t.hear()
	return nil
}

// present asks the port, and the device itself where the port cannot be asked. A device that does not answer in time is
// neither there nor away: small readers do nothing else while a card computes.
func (t *Transport) present() presence {
	t.probing.Lock()
	defer t.probing.Unlock()
	if t.port != nil {
		if s, err := t.port.status(); err == nil {
			// A port whose connection has changed holds another device, or the same one without its address.
			if s.Status&portConnected == 0 || t.fresh && s.Change&portConnected != 0 {
				return away
			}
			return there
		}
	}
	_, err := t.request(&t.probe, getStatus, t.probed[:], limit{at: time.Now().Add(probeLimit)})
	switch {
	case err == nil, errors.Is(err, usb.ErrStall), errors.Is(err, usb.ErrBabble):
		return there
	case errors.Is(err, usb.ErrTimeout):
		return unknown
	}
	return away
}

// usePort takes a port that knows the device is there.
func (t *Transport) usePort(p port) {
	if p == nil {
		return
	}
	if s, err := p.status(); err == nil && s.Status&portConnected != 0 {
		t.port, t.fresh = p, s.Change&portConnected == 0
	}
}

// usbNode is the subtype of a USB node in a device path; its data is the port of the parent, from 0, and the interface
// (UEFI 2.11, 10.3.4).
const usbNode = 5

// findPort finds the port that the last node of path names, nil when there is no way to it.
func findPort(boot firmware, path uefi.DevicePath) port {
	nodes, err := path.Nodes()
	if err != nil || len(nodes) < 2 {
		return nil
	}
	last, above := nodes[len(nodes)-1], nodes[:len(nodes)-1]
	if !isUSB(last) {
		return nil
	}
	parent, err := uefi.NewDevicePath(above...)
	if err != nil {
		return nil
	}
	guid := &uefi.USB2HCGUID
	if isUSB(above[len(above)-1]) {
		guid = &uefi.USBIOGUID
	}
	h, rest, err := boot.LocateDevicePath(guid, parent)
	if err != nil || !rest.IsEnd() {
		return nil
	}
	addr, err := boot.HandleProtocol(h, guid)
	if err != nil || addr == 0 {
		return nil
	}
	at := place{boot: boot, handle: h, guid: guid, addr: addr, number: last.Data[0]}
	if guid == &uefi.USB2HCGUID {
		return &rootPort{at}
	}
	return &hubPort{place: at, io: uefi.USBIOAt(addr)}
}

func isUSB(n uefi.Node) bool {
	return n.Type == uefi.MessagingNode && n.SubType == usbNode && len(n.Data) >= 2
}

// place is a port, counted from 0, and the protocol through which its state is read.
type place struct {
	boot   firmware
	handle uefi.Handle
	guid   *uefi.GUID
	addr   uintptr
	number uint8
}

// valid says whether the protocol is still there.
func (p *place) valid() bool {
	addr, err := p.boot.HandleProtocol(p.handle, p.guid)
	return err == nil && addr == p.addr
}

type rootPort struct{ place }

func (p *rootPort) status() (uefi.USBPortStatus, error) {
	if !p.valid() {
		return uefi.USBPortStatus{}, uefi.NotFound
	}
	return uefi.RootHubPortStatus(p.addr, p.number)
}

type hubPort struct {
	place
	io       *uefi.USBIO
	transfer uefi.USBTransfer
	answer   [4]byte // wPortStatus, wPortChange
}

// getPortStatus is the request of that name to a hub; its ports count from 1 (USB 2.0, 11.24.2.7).
const getPortStatus = usb.DirIn | usb.TypeClass | 0x03

func (p *hubPort) status() (s uefi.USBPortStatus, err error) {
	if !p.valid() {
		return s, uefi.NotFound
	}
	p.transfer.Request = uefi.USBRequest{RequestType: getPortStatus, Request: usb.RequestGetStatus, Index: uint16(p.number) + 1, Length: uint16(len(p.answer))}
	result, status := p.io.Control(&p.transfer, uefi.USBDataIn, milliseconds(probeLimit), p.answer[:])
	if err := classify(status, result, false); err != nil {
		return s, err
	}
	a := p.answer
	return uefi.USBPortStatus{Status: uint16(a[0]) | uint16(a[1])<<8, Change: uint16(a[2]) | uint16(a[3])<<8}, nil
}
