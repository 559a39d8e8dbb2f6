//go:build !tamago

package uefitest

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unsafe"

	"tamaccid/ccid/usb"
	"tamaccid/uefi"
	"tamaccid/uefi/internal/abi"
)

// A USBDevice answers what firmware sends to one interface of a device.
type USBDevice interface {
	// Attached reports whether the device is plugged in.
	Attached() bool
	// Control answers a control transfer. data is the buffer of its data stage.
	Control(r uefi.USBRequest, data []byte, limit time.Duration) Answer
	// Stream answers a bulk or interrupt transfer. data is what is sent, or the buffer.
	Stream(endpoint uint8, data []byte, limit time.Duration) Answer
	// Text is a string of the device.
	Text(language uint16, index uint8) (text []uint16, ok bool)
}

// An Answer is the end of a transfer.
type Answer struct {
	Data   []byte // what came
	Length int    // the length that firmware reports, if not len(Data)
	Result uefi.USBResult
	Status uefi.Status
	Took   time.Duration // UntilLimit: as long as was given
}

// UntilLimit is the duration of a transfer that ends at its time limit.
const UntilLimit = time.Duration(-1)

// Silent is the answer of a device that sends NAKs only.
var Silent = Answer{Status: uefi.Timeout, Result: uefi.USBTimeout, Took: UntilLimit}

// USB is one interface of a USB device: a handle with EFI_USB_IO_PROTOCOL (UEFI 2.11, 17.2.4) and a
// device path.
type USB struct {
	Handle uefi.Handle
	Table  *uefi.USBIOTable
	Path   uefi.DevicePath

	// What firmware has read when it configured the device.
	Device, Config, Interface []byte
	Endpoints                 [][]byte
	Languages                 []uint16

	Requests, Streams int         // transfers: control, others
	Polled            uintptr     // context of the repeated interrupt transfer, 0 without
	Polls             int         // how often such a transfer was begun
	PollStatus        uefi.Status // of the begin and the end of one, if not Success
	Log               []string    // transfers

	fw     *Firmware
	device USBDevice
}

// PlugUSB makes the handle of a device without descriptors: the caller fills them in.
func (fw *Firmware) PlugUSB(device USBDevice) *USB {
	u := &USB{fw: fw, device: device, Languages: []uint16{0x0409}}
	u.Table = &uefi.USBIOTable{
		ControlTransfer:        u.function(u.control),
		BulkTransfer:           u.stream("bulk", usb.BulkTransfer),
		SyncInterruptTransfer:  u.stream("interrupt", usb.InterruptTransfer),
		AsyncInterruptTransfer: u.function(u.poll),
		GetDeviceDescriptor:    u.descriptor(&u.Device),
		GetConfigDescriptor:    u.descriptor(&u.Config),
		GetInterfaceDescriptor: u.descriptor(&u.Interface),
		GetEndpointDescriptor: u.function(func(a []uintptr) uefi.Status {
			if a[1] >= uintptr(len(u.Endpoints)) {
				return uefi.NotFound
			}
			copy(unsafe.Slice(abi.At[byte](a[2]), uefi.USBEndpointDescriptorSize),
				u.Endpoints[a[1]])
			return uefi.Success
		}),
		GetStringDescriptor: u.function(func(a []uintptr) uefi.Status {
			text, ok := u.device.Text(uint16(a[1]), uint8(a[2]))
			if !ok {
				return uefi.NotFound
			}
			store(a[3], Give(fw, append(text, 0)...))
			return uefi.Success
		}),
		GetSupportedLanguages: u.function(func(a []uintptr) uefi.Status {
			store(a[1], unsafe.SliceData(u.Languages))
			store(a[2], uint16(2*len(u.Languages)))
			return uefi.Success
		}),
	}
	u.Handle = fw.NewHandle(map[uefi.GUID]uintptr{
		uefi.USBIOGUID: uintptr(unsafe.Pointer(u.Table)),
	})
	return u
}

// SetPath gives the interface a device path of these nodes, without nodes none.
func (u *USB) SetPath(nodes ...uefi.Node) {
	u.Path = nil
	if len(nodes) > 0 {
		u.Path = newPath(u.fw, nodes...)
	}
	u.fw.SetPath(u.Handle, u.Path)
}

func newPath(fw *Firmware, nodes ...uefi.Node) uefi.DevicePath {
	fw.t.Helper()
	p, err := uefi.NewDevicePath(nodes...)
	if err != nil {
		fw.t.Fatal(err)
	}
	return p
}

// USBNode is a USB device path node (UEFI 2.11, 10.3.4.5): a port, counted from 0, and an
// interface.
func USBNode(port, number byte) uefi.Node {
	const subtype = 5
	return uefi.Node{Type: uefi.MessagingNode, SubType: subtype, Data: []byte{port, number}}
}

// PlugTransport makes the handle of interface number of a device that has a Transport. The
// interface is in alternate setting 0.
func (fw *Firmware) PlugTransport(t usb.Transport, number uint8, attached func() bool) *USB {
	d := &transportDevice{fw: fw, transport: t, attached: attached, number: number}
	d.u = fw.PlugUSB(d)
	info := t.Device()
	d.u.Device, d.u.Config = info.Descriptor, info.Config[:uefi.USBConfigDescriptorSize]
	d.describe(0)
	d.u.SetPath(USBNode(byte(d.u.Handle), number))
	return d.u
}

// function is a function of the protocol. Its first argument is This.
func (u *USB) function(f func(a []uintptr) uefi.Status) uintptr {
	return function(func(a []uintptr) uefi.Status {
		if a[0] != uintptr(unsafe.Pointer(u.Table)) {
			u.fw.t.Errorf("This is %#x", a[0])
		}
		return f(a)
	})
}

func (u *USB) descriptor(d *[]byte) uintptr {
	return u.function(func(a []uintptr) uefi.Status {
		if !u.device.Attached() {
			return uefi.DeviceError
		}
		copy(unsafe.Slice(abi.At[byte](a[1]), len(*d)), *d)
		return uefi.Success
	})
}

func (u *USB) log(format string, args ...any) {
	u.Log = append(u.Log, fmt.Sprintf(format, args...))
}

// finish lets the time of a transfer pass and stores its results.
func (u *USB) finish(
	answer Answer, limit time.Duration, data []byte, length *uintptr, result uintptr,
) uefi.Status {
	if answer.Took == UntilLimit {
		answer.Took = limit
	}
	time.Sleep(answer.Took)
	n := copy(data, answer.Data)
	if answer.Length != 0 {
		n = answer.Length
	}
	if length != nil && (answer.Data != nil || answer.Status.IsError() || answer.Length != 0) {
		*length = uintptr(n)
	}
	store(result, answer.Result)
	return answer.Status
}

// limit is a transfer's time limit in milliseconds, which 0 would not be.
func (u *USB) limit(milliseconds uintptr) time.Duration {
	if milliseconds == 0 {
		u.fw.t.Error("a transfer without a time limit")
	}
	return time.Duration(milliseconds) * time.Millisecond
}

// control is UsbControlTransfer. Direction, length and buffer must agree.
func (u *USB) control(a []uintptr) uefi.Status {
	u.Requests++
	r, direction := *abi.At[uefi.USBRequest](a[1]), uefi.USBDirection(a[2])
	data := unsafe.Slice(abi.At[byte](a[4]), a[5])
	u.log("control %02x %02x %04x %04x %d in %d ms",
		r.RequestType, r.Request, r.Value, r.Index, r.Length, a[3])
	in := r.RequestType&usb.DirIn != 0
	if int(r.Length) != len(data) || (direction == uefi.USBNoData) != (len(data) == 0) ||
		len(data) == 0 && a[4] != 0 || len(data) > 0 && (direction == uefi.USBDataIn) != in {
		u.fw.t.Errorf("request %+v with direction %d and %d bytes", r, direction, len(data))
	}
	limit := u.limit(a[3])
	return u.finish(u.device.Control(r, data, limit), limit, data, nil, a[6])
}

// stream is UsbBulkTransfer or UsbSyncInterruptTransfer, for endpoints of that type.
func (u *USB) stream(name string, kind usb.TransferType) uintptr {
	return u.function(func(a []uintptr) uefi.Status {
		u.Streams++
		endpoint, length := uint8(a[1]), abi.At[uintptr](a[3])
		u.log("%s %02x %d in %d ms", name, endpoint, *length, a[4])
		if !u.has(endpoint, kind) {
			return u.fw.violation(uefi.InvalidParameter, "no %s endpoint %#02x", name, endpoint)
		}
		limit, data := u.limit(a[4]), unsafe.Slice(abi.At[byte](a[2]), *length)
		return u.finish(u.device.Stream(endpoint, data, limit), limit, data, length, a[5])
	})
}

// has reports whether the interface has an endpoint of that type (USB 2.0, 9.6.6).
func (u *USB) has(endpoint uint8, kind usb.TransferType) bool {
	for _, e := range u.Endpoints {
		if e[2] == endpoint && usb.TransferType(e[3]&3) == kind {
			return true
		}
	}
	return false
}

// poll is UsbAsyncInterruptTransfer: it begins or ends the polling of an interrupt IN endpoint.
func (u *USB) poll(a []uintptr) uefi.Status {
	endpoint, on, interval := uint8(a[1]), a[2] != 0, a[3]
	u.log("poll %02x %v, %d bytes each %d ms", endpoint, on, a[4], interval)
	if u.PollStatus != uefi.Success {
		return u.PollStatus
	}
	if on == (u.Polled != 0) || endpoint&usb.DirIn == 0 ||
		!u.has(endpoint, usb.InterruptTransfer) ||
		on && (interval < 1 || interval > 255) {
		return u.fw.violation(uefi.InvalidParameter, "polling of endpoint %#02x each %d ms: %v",
			endpoint, interval, on)
	}
	u.Polled = 0
	if on {
		u.Polls++
		u.Polled = a[6]
	}
	return uefi.Success
}

// transportDevice is a device that has a Transport.
type transportDevice struct {
	fw        *Firmware
	u         *USB
	transport usb.Transport
	attached  func() bool
	number    uint8 // of the interface
}

// describe finds the descriptors of the interface in an alternate setting (USB 2.0, 9.6.5, 9.6.6).
func (d *transportDevice) describe(alt uint8) {
	d.u.Interface, d.u.Endpoints = nil, nil
	ours := false
	for b := d.transport.Device().Config; len(b) > 1 && b[0] > 1; b = b[b[0]:] {
		switch {
		case b[1] == usb.TypeInterface:
			if ours = b[2] == d.number && b[3] == alt; ours {
				d.u.Interface = b[:b[0]]
			}
		case b[1] == usb.TypeEndpoint && ours:
			d.u.Endpoints = append(d.u.Endpoints, b[:b[0]])
		}
	}
}

func (d *transportDevice) Attached() bool { return d.attached() }

// end is how firmware reports the end of a transfer.
func (d *transportDevice) end(data []byte, err error, limit time.Duration) Answer {
	answer := Answer{Data: data}
	if d.fw.Lingers && errors.Is(err, usb.ErrGone) {
		time.Sleep(limit)
		err = usb.ErrTimeout
	}
	switch {
	case err == nil:
		return answer
	case errors.Is(err, usb.ErrTimeout):
		answer.Status, answer.Result = uefi.Timeout, uefi.USBTimeout
		return answer
	case errors.Is(err, usb.ErrStall):
		answer.Result = uefi.USBStall
	default:
		answer.Result = uefi.USBSystem
	}
	answer.Status = uefi.DeviceError
	return answer
}

// Control reports a short data stage as an error of the device, as edk2 does (edk2-stable202605).
func (d *transportDevice) Control(r uefi.USBRequest, data []byte, limit time.Duration) Answer {
	setup := usb.Setup{RequestType: r.RequestType, Request: r.Request, Value: r.Value,
		Index: r.Index, Length: r.Length}
	n, err := d.transport.Control(context.Background(), setup, data, limit)
	answer := d.end(data[:n], err, limit)
	if err == nil && setup.RequestType == usb.ToInterface &&
		setup.Request == usb.RequestSetInterface {
		d.describe(uint8(setup.Value)) // as edk2's UsbIoControlTransfer (edk2-stable202605)
	}
	if err == nil && setup.In() && n < len(data) {
		answer.Status = uefi.DeviceError
	}
	return answer
}

func (d *transportDevice) Stream(endpoint uint8, data []byte, limit time.Duration) Answer {
	transfer := d.transport.Out
	if endpoint&usb.DirIn != 0 {
		transfer = d.transport.In
	}
	n, err := transfer(context.Background(), endpoint, data, limit)
	return d.end(data[:n], err, limit)
}

// Text asks the device, as firmware does, and returns what came.
func (d *transportDevice) Text(language uint16, index uint8) (text []uint16, ok bool) {
	const limit = 500 * time.Millisecond
	b := make([]byte, 255)
	n, err := d.transport.Control(context.Background(), usb.Setup{
		RequestType: usb.DirIn,
		Request:     usb.RequestGetDescriptor,
		Value:       usb.TypeString<<8 | uint16(index),
		Index:       language,
		Length:      uint16(len(b)),
	}, b, limit)
	if err != nil || n < 2 {
		return nil, false
	}
	for b = b[2:n]; len(b) >= 2; b = b[2:] {
		text = append(text, uint16(b[0])|uint16(b[1])<<8)
	}
	return text, true
}
