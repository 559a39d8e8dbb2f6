package usb

// Speed is the signalling speed of a device.
type Speed uint8

// The speeds (USB 2.0, 4.2.1; USB 3.2, 3.2).
const (
	SpeedUnknown Speed = iota
	SpeedLow           // 1.5 Mb/s
	SpeedFull          // 12 Mb/s
	SpeedHigh          // 480 Mb/s
	SpeedSuper         // 5 Gb/s and faster
)

// String is the name of the speed.
func (s Speed) String() string {
	switch s {
	case SpeedLow:
		return "low speed"
	case SpeedFull:
		return "full speed"
	case SpeedHigh:
		return "high speed"
	case SpeedSuper:
		return "super speed"
	}
	return "unknown speed"
}

// Device is the result of the enumeration of a device, and the interface of it that a Transport has
// claimed. The descriptors are the device's own bytes, unchecked.
type Device struct {
	// Descriptor is the device descriptor as the device sent it, 18 bytes (USB 2.0, 9.6.1).
	Descriptor []byte
	// Config is the active configuration's descriptor with all that follows it, as the device sent
	// it (USB 2.0, 9.6.3).
	Config []byte
	// Interface and AltSetting are bInterfaceNumber and bAlternateSetting of the claimed interface.
	Interface  uint8
	AltSetting uint8
	Speed      Speed
	// Manufacturer, Product and Serial are the device's strings, empty if it has none.
	// InterfaceName is the claimed interface's string.
	Manufacturer, Product, Serial string
	InterfaceName                 string
	// Path is where the device is, in a form of the backend's. Bus and Address are zero if they are
	// not known.
	Path    string
	Bus     uint8
	Address uint8
}

// DeviceDescriptor is the parsed device descriptor (USB 2.0, table 9-8).
type DeviceDescriptor struct {
	USBVersion      uint16 // bcdUSB
	Class           uint8
	SubClass        uint8
	Protocol        uint8
	MaxPacketSize0  uint8
	Vendor          uint16
	Product         uint16
	Version         uint16 // bcdDevice
	ManufacturerIdx uint8
	ProductIdx      uint8
	SerialIdx       uint8
	Configurations  uint8
}

// Parsed returns the fields of the device descriptor, or ErrDescriptor if it is malformed.
func (d *Device) Parsed() (DeviceDescriptor, error) {
	return ParseDevice(d.Descriptor)
}

// ID returns idVendor, idProduct and bcdDevice, zeros if the device descriptor is malformed.
func (d *Device) ID() (vendor, product, version uint16) {
	p, err := d.Parsed()
	if err != nil {
		return 0, 0, 0
	}
	return p.Vendor, p.Product, p.Version
}
