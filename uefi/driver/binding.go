package driver

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"tamaccid/ccid"
	"tamaccid/ccid/usb"
	"tamaccid/uefi"
	"tamaccid/uefi/gate"
	"tamaccid/uefi/smartcard"
	"tamaccid/uefi/usbio"
)

// The driver's life with a USB interface (a controller, in the words of UEFI
// 2.11, 11.1):
//
//	event                     does
//	Supported                 opens EFI_USB_IO_PROTOCOL, reads descriptors, closes it
//	Start                     opens it BY_DRIVER, opens the reader, installs the protocol:
//	                          slot 0 on the controller, each other slot on a child handle
//	Stop with children        removes these slots' handles
//	Stop, no children left    removes slot 0, closes reader and EFI_USB_IO_PROTOCOL
//	Unload                    the same for all controllers, then the driver's own protocols
//
// A slot whose protocol cannot be uninstalled goes on working, and Stop fails.

// version is the driver binding's: at least 0x10, which is where drivers that
// are not the platform's begin (UEFI 2.11, 11.1).
const version = 0x10

const startLimit = 60 * time.Second // policy

// Driver is the resident driver.
type Driver struct {
	boot    *uefi.BootServices
	image   uefi.Handle
	binding uefi.DriverBinding
	name    uefi.ComponentName2
	members smartcard.Table
	readers readers
	bound   map[uefi.Handle]*controller
	unit    int // of the next reader, ends its name
	texts   texts
}

// A controller is a USB interface that the driver manages.
type controller struct {
	handle uefi.Handle
	reader *ccid.Reader
	slots  []*offered
}

// offered is a slot with its protocol installed.
type offered struct {
	handle uefi.Handle
	reader *reader
	path   uefi.DevicePath // of a child handle, nil for slot 0
	opened bool            // EFI_USB_IO_PROTOCOL is open for the child
}

func (o *offered) protocols() []uefi.Protocol {
	p := []uefi.Protocol{{GUID: &smartcard.GUID, Interface: o.reader.address()}}
	if o.path != nil {
		p = append(p, uefi.Protocol{GUID: &uefi.DevicePathGUID, Interface: uintptr(unsafe.Pointer(&o.path[0]))})
	}
	return p
}

// Run installs the driver and serves until it is unloaded. It returns only
// when it could not be installed.
func Run() error {
	d := &Driver{
		boot:  uefi.Boot(),
		image: uefi.ImageHandle(),
		bound: map[uefi.Handle]*controller{},
	}
	loaded, err := d.boot.LoadedImage(d.image)
	if err != nil {
		return err
	}
	d.members = d.newMembers()
	d.binding = uefi.DriverBinding{
		Supported:           newFunc("Supported", uefi.AccessDenied, d.supported),
		Start:               newFunc("Start", uefi.AccessDenied, d.start),
		Stop:                newFunc("Stop", uefi.DeviceError, d.stop),
		Version:             version,
		ImageHandle:         d.image,
		DriverBindingHandle: d.image,
	}
	d.name = d.newNames()
	if _, err := d.boot.InstallProtocols(d.image, d.protocols()...); err != nil {
		return err
	}
	loaded.Unload = newFunc("Unload", uefi.AccessDenied, d.unload)
	gate.Serve()
	return nil
}

func (d *Driver) protocols() []uefi.Protocol {
	return []uefi.Protocol{
		{GUID: &uefi.DriverBindingGUID, Interface: uintptr(unsafe.Pointer(&d.binding))},
		{GUID: &uefi.ComponentName2GUID, Interface: uintptr(unsafe.Pointer(&d.name))},
	}
}

// newFunc makes f callable by firmware.
func newFunc(name string, busy uefi.Status, f func(a *gate.Args) uefi.Status) uintptr {
	return gate.NewFunc(name, uintptr(busy), func(a *gate.Args) uintptr { return uintptr(f(a)) })
}

// newMembers makes the protocol's six functions. One that comes while another
// communication is pending is refused (UEFI 2.11, 37.6: EFI_ACCESS_DENIED).
func (d *Driver) newMembers() smartcard.Table {
	return smartcard.Table{
		Connect:    newFunc("SCardConnect", uefi.AccessDenied, d.connect),
		Disconnect: newFunc("SCardDisconnect", uefi.AccessDenied, d.disconnect),
		Status:     newFunc("SCardStatus", uefi.AccessDenied, d.status),
		Transmit:   newFunc("SCardTransmit", uefi.AccessDenied, d.transmit),
		Control:    newFunc("SCardControl", uefi.AccessDenied, d.control),
		GetAttrib:  newFunc("SCardGetAttrib", uefi.AccessDenied, d.getAttrib),
	}
}

func (d *Driver) openUSB(h uefi.Handle) (addr uintptr, err error) {
	return d.boot.OpenProtocol(h, &uefi.USBIOGUID, d.image, h, uefi.OpenByDriver)
}

func (d *Driver) closeUSB(h uefi.Handle) {
	d.boot.CloseProtocol(h, &uefi.USBIOGUID, d.image, h)
}

// supported is EFI_DRIVER_BINDING_PROTOCOL.Supported (UEFI 2.11, 11.1.2).
func (d *Driver) supported(a *gate.Args) uefi.Status {
	h := uefi.Handle(a.At(1))
	addr, err := d.openUSB(h)
	if err != nil {
		return driverStatus(err)
	}
	defer d.closeUSB(h)
	// Firmware has this descriptor at hand: other devices see no traffic of ours.
	desc, err := uefi.USBIOAt(addr).InterfaceDescriptor()
	if err != nil {
		return uefi.Unsupported
	}
	switch desc[interfaceClass] {
	case classSmartCard:
		return uefi.Success
	case classVendor: // a reader's, if it has a reader's class descriptor
		t, err := usbio.New(h, addr)
		if err != nil {
			return uefi.Unsupported
		}
		defer t.Close()
		dev := t.Device()
		if _, err := ccid.Probe(dev.Config, dev.Interface, dev.AltSetting); err == nil {
			return uefi.Success
		}
	}
	return uefi.Unsupported
}

// The interface descriptor's bInterfaceClass (USB 2.0, 9.6.5; CCID 1.1, 4.4).
const (
	interfaceClass = 5
	classSmartCard = 0x0B
	classVendor    = 0xFF
)

// start is EFI_DRIVER_BINDING_PROTOCOL.Start (UEFI 2.11, 11.1.3).
func (d *Driver) start(a *gate.Args) uefi.Status {
	h := uefi.Handle(a.At(1))
	if d.bound[h] != nil {
		return uefi.AlreadyStarted
	}
	addr, err := d.openUSB(h)
	if err != nil {
		return driverStatus(err)
	}
	r, err := d.open(h, addr)
	if err != nil {
		d.closeUSB(h)
	} else {
		err = d.bind(h, r)
	}
	if err != nil {
		fmt.Printf("smart card reader: %v\n", err)
		return uefi.DeviceError
	}
	return uefi.Success
}

// open brings a reader up.
func (d *Driver) open(h uefi.Handle, addr uintptr) (*ccid.Reader, error) {
	ctx, cancel := limited(startLimit)
	defer cancel()
	t, err := usbio.New(h, addr)
	if err != nil {
		return nil, err
	}
	r, err := ccid.Open(ctx, tap(t), ccid.Options{Unit: d.unit})
	if err != nil {
		t.Close()
		return nil, err
	}
	d.unit++
	return r, nil
}

// bind installs the protocol for each slot, or lets go of the reader. After an
// error a slot that somebody uses already goes on working until Stop or Unload.
func (d *Driver) bind(h uefi.Handle, r *ccid.Reader) error {
	c := &controller{handle: h, reader: r}
	d.bound[h] = c
	for i, s := range r.Slots() {
		if err := d.offer(c, i, s); err != nil {
			d.shut(c)
			return err
		}
	}
	return nil
}

// tap stands between the class driver and the transport. Only the test build
// puts something there.
var tap = func(t usb.Transport) usb.Transport { return t }

// offer installs the protocol for slot i of c.
func (d *Driver) offer(c *controller, i int, s *ccid.Slot) error {
	o := &offered{handle: c.handle, reader: d.readers.new(s, d.members)}
	if i > 0 {
		path, err := d.boot.DevicePathOf(c.handle).Append(controllerNode(uint32(i)))
		if err != nil {
			d.readers.retire(o.reader)
			return err
		}
		o.handle, o.path = 0, path
	}
	h, err := d.boot.InstallProtocols(o.handle, o.protocols()...)
	if err != nil {
		d.readers.retire(o.reader)
		return err
	}
	o.handle = h
	c.slots = append(c.slots, o)
	if i > 0 {
		if _, err := d.boot.OpenProtocol(c.handle, &uefi.USBIOGUID, d.image, h, uefi.OpenByChildController); err != nil {
			return err
		}
		o.opened = true
	}
	return nil
}

// withdraw removes a slot. After an error it is still there and works.
func (d *Driver) withdraw(c *controller, o *offered) error {
	if err := d.boot.UninstallProtocols(o.handle, o.protocols()...); err != nil {
		return err
	}
	if o.opened {
		d.boot.CloseProtocol(c.handle, &uefi.USBIOGUID, d.image, o.handle)
	}
	d.readers.retire(o.reader)
	for i := range c.slots {
		if c.slots[i] == o {
			c.slots = append(c.slots[:i], c.slots[i+1:]...)
			break
		}
	}
	return nil
}

// controllerNode is a Controller device path node (UEFI 2.11, 10.3.2.5): the
// slot's number tells children of one interface apart.
func controllerNode(slot uint32) uefi.Node {
	const controllerSubtype = 5
	return uefi.Node{Type: uefi.HardwareNode, SubType: controllerSubtype,
		Data: []byte{byte(slot), byte(slot >> 8), byte(slot >> 16), byte(slot >> 24)}}
}

// stop is EFI_DRIVER_BINDING_PROTOCOL.Stop (UEFI 2.11, 11.1.4).
func (d *Driver) stop(a *gate.Args) uefi.Status {
	c := d.bound[uefi.Handle(a.At(1))]
	if c == nil {
		return uefi.DeviceError
	}
	if n := a.At(2); n > 0 {
		return d.stopChildren(c, n, a.At(3))
	}
	if len(c.slots) > 1 {
		return uefi.DeviceError // its children come first
	}
	if d.shut(c) != nil {
		return uefi.DeviceError
	}
	return uefi.Success
}

func (d *Driver) stopChildren(c *controller, n, buffer uintptr) uefi.Status {
	if buffer == 0 || n > uintptr(len(c.slots)) {
		return uefi.DeviceError
	}
	for _, h := range unsafe.Slice(uefi.At[uefi.Handle](buffer), int(n)) {
		var child *offered
		for _, o := range c.slots {
			if o.handle == h && o.path != nil {
				child = o
			}
		}
		if child == nil || d.withdraw(c, child) != nil {
			return uefi.DeviceError
		}
	}
	return uefi.Success
}

// shut withdraws what is left of c, the last slot first, and lets go of the
// USB interface.
func (d *Driver) shut(c *controller) error {
	for len(c.slots) > 0 {
		if err := d.withdraw(c, c.slots[len(c.slots)-1]); err != nil {
			return err
		}
	}
	delete(d.bound, c.handle)
	c.powerOff()
	c.reader.Close()
	d.closeUSB(c.handle)
	return nil
}

// powerOff leaves no card powered behind. That the reader may have gone is no
// concern here.
func (c *controller) powerOff() {
	ctx, cancel := limited(statusLimit)
	defer cancel()
	for _, s := range c.reader.Slots() {
		if s.ATR() != nil {
			s.PowerOff(ctx)
		}
	}
}

// unload is EFI_IMAGE_UNLOAD (UEFI 2.11, 9.2.3).
func (d *Driver) unload(a *gate.Args) uefi.Status {
	if uefi.Handle(a.At(0)) != d.image {
		return uefi.InvalidParameter
	}
	for _, c := range d.bound {
		if err := d.shut(c); err != nil {
			return uefi.AccessDenied
		}
	}
	if err := d.boot.UninstallProtocols(d.image, d.protocols()...); err != nil {
		return uefi.AccessDenied
	}
	gate.Exit(uintptr(uefi.Success))
	return uefi.Success
}

// driverStatus passes on what OpenProtocol said, as Supported and Start must
// (UEFI 2.11, 11.1.2, 11.1.3).
func driverStatus(err error) uefi.Status {
	var st uefi.Status
	if errors.As(err, &st) {
		return st
	}
	return uefi.Unsupported
}
