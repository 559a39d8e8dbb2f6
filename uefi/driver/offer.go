package driver

import (
	"unsafe"

	"tamaccid/ccid"
	"tamaccid/uefi"
	"tamaccid/uefi/smartcard"
)

// A controller is what the driver manages, in the words of UEFI 2.11, 11.1: a USB interface of firmware's, or a host controller.
type controller struct {
	handle uefi.Handle
	guid   *uefi.GUID // of the protocol that is open by driver
	slots  []*offered

	reader *ccid.Reader // of a USB interface
	host   *host        // of a host controller
}

// offered is a slot with its protocol installed, on the controller itself or on a child handle.
type offered struct {
	handle uefi.Handle
	reader *reader
	path   uefi.DevicePath // of a child handle, else nil
	opened bool            // the controller's protocol is open for the child
}

func (o *offered) protocols() []uefi.Protocol {
	p := []uefi.Protocol{{GUID: &smartcard.GUID, Interface: o.reader.address()}}
	if o.path != nil {
		p = append(p, uefi.Protocol{GUID: &uefi.DevicePathGUID, Interface: uintptr(unsafe.Pointer(&o.path[0]))})
	}
	return p
}

// children is how many slots are on handles of their own.
func (c *controller) children() (n int) {
	for _, o := range c.slots {
		if o.path != nil {
			n++
		}
	}
	return n
}

// offer installs the protocol for a slot: on a child handle with that device path, without one on c itself. After an error the
// slot is there all the same when it is among c's.
func (d *Driver) offer(c *controller, path uefi.DevicePath, s *ccid.Slot, hear func()) (*offered, error) {
	o := &offered{handle: c.handle, reader: d.readers.new(s, d.members), path: path}
	o.reader.hear = hear
	if path != nil {
		o.handle = 0
	}
	h, err := d.boot.InstallProtocols(o.handle, o.protocols()...)
	if err != nil {
		d.readers.retire(o.reader)
		return nil, err
	}
	o.handle = h
	c.slots = append(c.slots, o)
	if path != nil {
		if _, err := d.boot.OpenProtocol(c.handle, c.guid, d.image, h, uefi.OpenByChildController); err != nil {
			return o, err
		}
		o.opened = true
	}
	return o, nil
}

// withdraw removes a slot. After an error it is still there and works.
func (d *Driver) withdraw(c *controller, o *offered) error {
	// The handle goes with its last protocol, and its use of the controller could not be closed then any more (UEFI 2.11, 7.3.10).
	if o.opened {
		d.boot.CloseProtocol(c.handle, c.guid, d.image, o.handle)
	}
	if err := d.boot.UninstallProtocols(o.handle, o.protocols()...); err != nil {
		if o.opened {
			_, again := d.boot.OpenProtocol(c.handle, c.guid, d.image, o.handle, uefi.OpenByChildController)
			o.opened = again == nil
		}
		return err
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

// withdrawAll removes what is left of c's slots, the last one first.
func (d *Driver) withdrawAll(c *controller) error {
	for len(c.slots) > 0 {
		if err := d.withdraw(c, c.slots[len(c.slots)-1]); err != nil {
			return err
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

// powerOff leaves no card powered behind. That the reader may have gone is no
// concern here.
func powerOff(r *ccid.Reader) {
	ctx, cancel := limited(statusLimit)
	defer cancel()
	for _, s := range r.Slots() {
		if s.ATR() != nil {
			s.PowerOff(ctx)
		}
	}
}
