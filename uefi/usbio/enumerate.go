package usbio

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tamaccid/ccid/usb"
	"tamaccid/uefi"
)

// maxConfig bounds the configuration descriptor in bytes (policy: those of real readers are below 1
// KiB).
const maxConfig = 4096

// maxConfigurations and maxEndpoints bound what a device may declare (policy; USB 2.0, 8.3.2.2: 15
// endpoints in each direction).
const (
	maxConfigurations = 8
	maxEndpoints      = 30
)

// descriptorLimit is how long the configurations of a device may take to be read, all together (USB
// 2.0, 9.2.6.4: 500 ms a packet; policy: a few packets of a slow device).
const descriptorLimit = 2 * time.Second

// Strings are optional, and firmware waits for each that a device does not send. No more of them
// are requested after stringsLimit, or after one that took longer than stringWait (policy).
const (
	stringsLimit = time.Second
	stringWait   = 100 * time.Millisecond
	// stringTime is how long firmware waits for a string (edk2:
	// USB_GENERAL_DEVICE_REQUEST_TIMEOUT).
	stringTime = 500 * time.Millisecond
)

// enumerate reads the descriptors and strings of the device, which firmware has configured.
func (t *Transport) enumerate(ctx context.Context, path uefi.DevicePath) error {
	descriptor, err := t.io.DeviceDescriptor()
	if err != nil {
		return fmt.Errorf("usbio: device descriptor: %w", err)
	}
	t.device.Descriptor = descriptor[:]
	if len(path) > 0 {
		t.device.Path = path.String()
	}
	name, err := t.setting()
	if err != nil {
		return err
	}
	if t.device.Config, err = t.configuration(ctx); err != nil {
		return fmt.Errorf("usbio: configuration descriptor: %w", err)
	}
	if name, err = t.selectSetting(ctx, name); err != nil {
		return err
	}
	if err := t.endpoints(); err != nil {
		return fmt.Errorf("usbio: endpoint descriptor: %w", err)
	}
	t.device.Speed = t.speed()
	for _, p := range t.pipes {
		p.interval = pollInterval(t.device.Speed, p.bInterval)
	}

	text := deviceStrings{ctx: ctx, io: t.io, until: time.Now().Add(stringsLimit)}
	text.languages, _ = t.io.Languages()
	// iManufacturer, iProduct, iSerialNumber (USB 2.0, table 9-8)
	t.device.Manufacturer, t.device.Product = text.get(descriptor[14]), text.get(descriptor[15])
	t.device.Serial, t.device.InterfaceName = text.get(descriptor[16]), text.get(name)
	return text.err
}

// setting reads the interface and its current setting from firmware.
func (t *Transport) setting() (name uint8, err error) {
	d, err := t.io.InterfaceDescriptor()
	if err != nil {
		return 0, fmt.Errorf("usbio: interface descriptor: %w", err)
	}
	// bInterfaceNumber, bAlternateSetting, iInterface (USB 2.0, table 9-12)
	t.device.Interface, t.device.AltSetting = d[2], d[3]
	return d[8], nil
}

// selectSetting puts the interface into the setting that Options.Setting returns, by SET_INTERFACE
// (USB 2.0, 9.4.10). UEFI 2.11 has no function for that. edk2's UsbBusDxe (UsbIoControlTransfer)
// recognizes the request on its way and describes the new setting from then on, and its XhciDxe
// (XhcSetInterface) configures the endpoints. Firmware that does neither would refuse transfers to
// these endpoints: that is an error here, which names the cause.
//
// The configuration descriptor has been read by then, and is not read whole again: with each whole
// read XhciDxe assumes setting 0 (XhcControlTransfer, ActiveAlternateSetting).
func (t *Transport) selectSetting(ctx context.Context, current uint8) (name uint8, err error) {
	if t.options.Setting == nil {
		return current, nil
	}
	alt, ok := t.options.Setting(t.device.Config, t.device.Interface)
	if !ok || alt == t.device.AltSetting {
		return current, nil
	}
	setup := usb.Setup{RequestType: usb.DirOut | usb.TypeStandard | usb.ToInterface,
		Request: usb.RequestSetInterface, Value: uint16(alt), Index: uint16(t.device.Interface)}
	if _, err := t.request(&t.control, setup, nil, newLimit(ctx, requestLimit, 0)); err != nil {
		return 0, fmt.Errorf("usbio: alternate setting %d: %w", alt, err)
	}
	if name, err = t.setting(); err != nil {
		return 0, err
	}
	if t.device.AltSetting != alt {
		return 0, fmt.Errorf("usbio: firmware does not select alternate setting %d: %w",
			alt, uefi.Unsupported)
	}
	// The interval that was left out may be that of an endpoint of this setting.
	if last, ok := t.interval(t.device.Config); ok && last != 0 {
		t.device.Config[len(t.device.Config)-1] = last
	}
	return name, nil
}

// configuration reads the active configuration's descriptor from the device: firmware does not
// return class descriptors. Configurations are requested by index, and identified by their value.
func (t *Transport) configuration(ctx context.Context) ([]byte, error) {
	until := newLimit(ctx, descriptorLimit, 0)
	active, err := t.io.ConfigDescriptor()
	if err != nil {
		return nil, err
	}
	// bNumConfigurations (USB 2.0, table 9-8); wTotalLength, bConfigurationValue (table 9-10)
	count := min(max(t.device.Descriptor[17], 1), maxConfigurations)
	for index := uint8(0); index < count; index++ {
		var header [uefi.USBConfigDescriptorSize]byte
		n, err := t.descriptor(index, header[:], until)
		if err != nil {
			return nil, err
		}
		if n < len(header) || header[1] != usb.TypeConfiguration || header[5] != active[5] {
			continue
		}
		total := min(int(header[2])|int(header[3])<<8, maxConfig)
		if total < len(header) {
			return nil, usb.ErrDescriptor
		}
		return t.whole(index, total, until)
	}
	return nil, usb.ErrDescriptor
}

// whole reads a configuration descriptor of total bytes. edk2's XhciDxe keeps a copy of each one
// that is read whole, for ever: so the last byte is not read where firmware returns it otherwise,
// as the polling interval of an endpoint.
func (t *Transport) whole(index uint8, total int, until limit) ([]byte, error) {
	b := make([]byte, total)
	n, err := t.descriptor(index, b[:total-1], until)
	if err != nil || n < total-1 {
		return b[:n:n], err
	}
	if last, ok := t.interval(b); ok {
		b[total-1] = last
		return b, nil
	}
	n, err = t.descriptor(index, b, until)
	return b[:n:n], err
}

// interval is the last byte of a configuration that ends with an endpoint descriptor: bInterval
// (USB 2.0, table 9-13). That of an endpoint of another interface is not used, and 0.
func (t *Transport) interval(b []byte) (last uint8, ok bool) {
	at := 0
	for at+int(b[at]) < len(b) {
		if b[at] < 2 {
			return 0, false
		}
		at += int(b[at])
	}
	d := b[at:]
	if len(d) != usb.EndpointSize || int(d[0]) != len(d) || d[1] != usb.TypeEndpoint {
		return 0, false
	}
	for index := uint8(0); index < maxEndpoints; index++ {
		known, err := t.io.EndpointDescriptor(index)
		if err != nil {
			break
		}
		if known[2] == d[2] {
			return known[6], true
		}
	}
	return 0, true
}

func (t *Transport) descriptor(index uint8, into []byte, until limit) (n int, err error) {
	setup := usb.Setup{RequestType: usb.DirIn | usb.TypeStandard | usb.ToDevice,
		Request: usb.RequestGetDescriptor,
		Value:   usb.TypeConfiguration<<8 | uint16(index), Length: uint16(len(into))}
	return t.request(&t.control, setup, into, until)
}

// endpoints reads the pipes of the interface in its current setting, as firmware describes them.
func (t *Transport) endpoints() error {
	for index := uint8(0); index < maxEndpoints; index++ {
		d, err := t.io.EndpointDescriptor(index)
		if errors.Is(err, uefi.NotFound) || errors.Is(err, uefi.InvalidParameter) && index > 0 {
			return nil // some firmware numbers no more than 16
		}
		if err != nil {
			return err
		}
		// bEndpointAddress, bmAttributes, wMaxPacketSize without the additional transactions,
		// bInterval (USB 2.0, table 9-13)
		p := &pipe{kind: usb.TransferType(d[3] & 3), packet: (int(d[4]) | int(d[5])<<8) & 0x7ff,
			bInterval: d[6]}
		if p.packet > 0 && (p.kind == usb.BulkTransfer || p.kind == usb.InterruptTransfer) {
			t.pipes[d[2]] = p
		}
	}
	return nil
}

// Packet sizes that identify a speed (USB 2.0, 5.8.3 and 5.7.3; USB 3.2, 9.6.6).
const (
	bulkHigh      = 512
	bulkSuper     = 1024
	interruptFull = 64
)

// speed is derived from the packet sizes: UEFI does not return it.
func (t *Transport) speed() usb.Speed {
	for _, p := range t.pipes {
		switch {
		case p.kind == usb.BulkTransfer && p.packet == bulkSuper:
			return usb.SpeedSuper
		case p.kind == usb.BulkTransfer && p.packet == bulkHigh, p.packet > interruptFull:
			return usb.SpeedHigh
		case p.kind == usb.BulkTransfer:
			return usb.SpeedFull
		}
	}
	return usb.SpeedUnknown
}

// maxLanguages bounds how many languages are tried for a string (policy).
const maxLanguages = 4

// deviceStrings reads a device's strings.
type deviceStrings struct {
	ctx       context.Context
	io        *uefi.USBIO
	languages []uint16
	until     time.Time
	err       error // ctx has left no time for one
}

// get is a string in the first language for which the device has it, else empty.
func (s *deviceStrings) get(index uint8) string {
	if index == 0 {
		return ""
	}
	for _, language := range s.languages[:min(len(s.languages), maxLanguages)] {
		began := time.Now()
		if d, ok := s.ctx.Deadline(); ok && d.Sub(began) < stringTime {
			s.err = fmt.Errorf("usbio: strings: %w", context.DeadlineExceeded)
			return ""
		}
		text, err := s.io.String(language, index)
		if err == nil && began.Before(s.until) {
			return text
		}
		if now := time.Now(); now.Sub(began) >= stringWait || !now.Before(s.until) {
			s.languages = nil
			break
		}
	}
	return ""
}
