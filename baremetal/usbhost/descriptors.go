package usbhost

import (
	"fmt"
	"slices"

	"tamaccid/ccid/usb"
)

// Bounds of the configurations of a device (policy).
const (
	maxConfig         = 4096 // bytes of a configuration; those of real readers are below 1 KiB
	maxConfigurations = 8
	configTries       = 3 // reads of a configuration whose length changes
)

// classHub is bDeviceClass and bInterfaceClass of a hub (USB 2.0, 11.23.1), classVendor
// bInterfaceClass of a vendor-specific interface (USB 2.0, 9.6.5).
const (
	classHub    = 0x09
	classVendor = 0xFF
)

// packetHead is the length of the start of the device descriptor that includes bMaxPacketSize0. It
// fits into one packet of the smallest size (USB 2.0, 5.5.3).
const packetHead = 8

// describe reads all descriptors. choose is Options.Choose.
func (d *device) describe(choose func(descriptor []byte, configs [][]byte) int) error {
	if err := d.describeDevice(); err != nil {
		return fmt.Errorf("device descriptor: %w", err)
	}
	if err := d.describeConfig(choose); err != nil {
		return fmt.Errorf("configuration descriptor: %w", err)
	}
	interfaces, err := parseInterfaces(d.config, d.location.Speed)
	if err != nil {
		return fmt.Errorf("interface descriptors: %w", err)
	}
	text := newStrings(d)
	p := d.parsed
	d.info = usb.Device{
		Descriptor:   d.descriptor,
		Config:       d.config,
		Speed:        d.location.Speed,
		Manufacturer: text.get(p.ManufacturerIdx),
		Product:      text.get(p.ProductIdx),
		Serial:       text.get(p.SerialIdx),
		Path:         d.path,
		Bus:          d.number,
		Address:      d.address,
	}
	for _, settings := range interfaces {
		i := &Interface{device: d, settings: settings, infos: make([]usb.Device, len(settings))}
		for k, s := range settings {
			i.infos[k] = d.info
			i.infos[k].Interface, i.infos[k].AltSetting = s.Number, s.AltSetting
			i.infos[k].InterfaceName = text.get(s.NameIdx)
		}
		d.interfaces = append(d.interfaces, i)
	}
	if len(d.interfaces) > 0 {
		first := &d.interfaces[0].infos[0]
		d.info.Interface, d.info.AltSetting = first.Interface, first.AltSetting
	}
	return nil
}

// describeDevice reads the device descriptor. At full speed it contains the packet size of the
// default control pipe. Until that is known, only one packet of the smallest size can be read. At
// high speed the size is fixed, but some devices have another one: their first packet looks like
// the end of the transfer.
func (d *device) describeDevice() error {
	b := make([]byte, usb.DeviceSize)
	if d.location.Speed == usb.SpeedFull {
		n, err := d.readDescriptor(usb.TypeDevice, 0, 0, b[:packetHead])
		if err != nil {
			return err
		}
		if n < packetHead || b[1] != usb.TypeDevice {
			return fmt.Errorf("%w: its first read has %d bytes", usb.ErrDescriptor, n)
		}
		if err := d.fitPacketSize(b[7]); err != nil {
			return err
		}
	}
	n, err := d.readDescriptor(usb.TypeDevice, 0, 0, b)
	if err == nil && d.location.Speed == usb.SpeedHigh &&
		n >= packetHead && n < len(b) && b[1] == usb.TypeDevice {
		if err := d.fitPacketSize(b[7]); err != nil {
			return err
		}
		n, err = d.readDescriptor(usb.TypeDevice, 0, 0, b)
	}
	if err != nil {
		return err
	}
	if d.parsed, err = usb.ParseDevice(b[:n]); err != nil {
		return err
	}
	d.descriptor = b[:n]
	_, err = packetSize0(d.location.Speed, d.parsed.MaxPacketSize0)
	return err
}

// fitPacketSize sets the packet size of the default control pipe to bMaxPacketSize0.
func (d *device) fitPacketSize(field uint8) error {
	size, err := packetSize0(d.location.Speed, field)
	if err != nil || size == usualPacketSize0(d.location.Speed) {
		return err
	}
	return d.hardware.SetMaxPacketSize0(d.ctx, size)
}

// usualPacketSize0 is the initial packet size of the default control pipe
// (Device.SetMaxPacketSize0).
func usualPacketSize0(speed usb.Speed) int {
	switch speed {
	case usb.SpeedHigh:
		return 64
	case usb.SpeedSuper:
		return 512
	}
	return 8
}

// packetSize0 converts bMaxPacketSize0 to bytes: a power of two from 8 to 64 (USB 2.0, 5.5.3), at
// low speed only 8. At SuperSpeed it is an exponent and must be 9 (USB 3.2, 9.6.1). At high speed
// it must be 64, but smaller values are accepted: such a device uses that size.
func packetSize0(speed usb.Speed, field uint8) (int, error) {
	ok := false
	switch speed {
	case usb.SpeedLow:
		ok = field == 8
	case usb.SpeedFull, usb.SpeedHigh:
		ok = field == 8 || field == 16 || field == 32 || field == 64
	case usb.SpeedSuper:
		if field == 9 {
			return 1 << field, nil
		}
	}
	if !ok {
		return 0, fmt.Errorf("%w: bMaxPacketSize0 is %d at %s", usb.ErrDescriptor, field, speed)
	}
	return int(field), nil
}

// describeConfig reads the configurations and chooses one. A configuration with the value 0 cannot
// be selected and is skipped (USB 2.0, 9.4.7).
func (d *device) describeConfig(choose func(descriptor []byte, configs [][]byte) int) error {
	var configs [][]byte
	var failed error
	for index := range min(max(d.parsed.Configurations, 1), maxConfigurations) {
		c, err := d.readConfig(index)
		if d.ctx.Err() != nil {
			return d.ctx.Err()
		}
		if err != nil {
			failed = err
			break
		}
		configs = append(configs, c)
	}
	if len(configs) == 0 {
		return failed
	}
	index := -1
	if choose != nil && len(configs) > 1 {
		index = choose(d.descriptor, configs)
	}
	if index < 0 || index >= len(configs) {
		index = chooseConfig(configs)
	}
	d.config = configs[index]
	return nil
}

// readConfig reads one configuration. A device may return another wTotalLength with each read.
func (d *device) readConfig(index uint8) ([]byte, error) {
	b := make([]byte, usb.ConfigurationSize)
	n, err := d.readDescriptor(usb.TypeConfiguration, index, 0, b)
	if err != nil {
		return nil, err
	}
	for range configTries {
		total, err := configLength(b[:n])
		if err != nil {
			return nil, err
		}
		b = make([]byte, total)
		if n, err = d.readDescriptor(usb.TypeConfiguration, index, 0, b); err != nil {
			return nil, err
		}
		again, err := configLength(b[:n])
		if err != nil {
			return nil, err
		}
		if again == total {
			return b[:n:n], nil
		}
	}
	return nil, fmt.Errorf("%w: wTotalLength changes with each read", usb.ErrDescriptor)
}

// configLength returns wTotalLength, at most maxConfig (USB 2.0, 9.6.3).
func configLength(b []byte) (int, error) {
	if len(b) < usb.ConfigurationSize || b[0] < usb.ConfigurationSize ||
		b[1] != usb.TypeConfiguration {
		return 0, fmt.Errorf("%w: no configuration descriptor in %d bytes",
			usb.ErrDescriptor, len(b))
	}
	total := int(b[2]) | int(b[3])<<8
	if total < usb.ConfigurationSize {
		return 0, fmt.Errorf("%w: wTotalLength is %d", usb.ErrDescriptor, total)
	}
	return min(total, maxConfig), nil
}

// configurationValue is bConfigurationValue (USB 2.0, table 9-10).
func configurationValue(config []byte) uint8 { return config[5] }

// chooseConfig is the policy: the first configuration with an interface that is not
// vendor-specific, else the first one. Configurations with the value 0 come last: SET_CONFIGURATION
// with 0 means the Address state (USB 2.0, 9.4.7), but some devices have no other value, such as
// Broadcom's 0A5C:5834, and are configured by it.
func chooseConfig(configs [][]byte) int {
	best, rank := 0, -1
	for index, c := range configs {
		interfaces, _ := usb.Interfaces(c) // those in front of a damaged tail
		known := func(i usb.Interface) bool { return i.Class != classVendor }
		r := 0
		if configurationValue(c) != 0 {
			r += 2
		}
		if slices.ContainsFunc(interfaces, known) {
			r++
		}
		if r > rank {
			best, rank = index, r
		}
	}
	return best
}
