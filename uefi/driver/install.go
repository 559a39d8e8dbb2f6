package driver

import (
	"bytes"
	"fmt"
	"slices"
	"time"
	"unsafe"

	"tamaccid/ccid"
	"tamaccid/uefi"
	"tamaccid/uefi/smartcard"
	"tamaccid/uefi/usbio"
)

// A controller is what the driver manages in the sense of UEFI 2.11, 11.1: a USB interface of
// firmware's USB stack, or a host controller.
type controller struct {
	handle uefi.Handle
	guid   *uefi.GUID       // of the protocol that the driver has open
	paths  []slotPath       // of the slots of all its readers
	slots  []*installedSlot // with their protocol installed

	protocol uintptr // EFI_USB_IO_PROTOCOL of a USB interface
	unit     int     // the last part of the reader's name
	state    readerState
	untried  bool // no transfer was made in Start: timers stood still

	reader    *ccid.Reader     // of a USB interface, nil while it is not open
	transport *usbio.Transport // of the same
	host      *host            // of a host controller
}

// takeNotifications delivers the messages of the interrupt endpoint of a USB interface. On a host
// controller the reader reads the endpoint itself.
func (c *controller) takeNotifications() {
	if c.transport != nil && c.transport.Notifications(c.reader.Deliver) {
		c.reader.Missed()
	}
}

// slotPath is a slot and the device path of the child handle for its protocol. Without a path the
// protocol is installed on the controller itself.
type slotPath struct {
	slot *ccid.Slot
	path uefi.DevicePath
}

// slotPaths are the slots of a reader. The first has the path first, each other one a path with one
// node more than base.
func slotPaths(r *ccid.Reader, first, base uefi.DevicePath) (all []slotPath, err error) {
	for i, s := range r.Slots() {
		p := slotPath{s, first}
		if i > 0 {
			if p.path, err = base.Append(controllerNode(uint32(i))); err != nil {
				return nil, err
			}
		}
		all = append(all, p)
	}
	return all, nil
}

// missing are the slots without the protocol, after Stop for a child, that remaining selects: all
// for 0, none for the end of a device path (UEFI 2.11, 11.1.3: RemainingDevicePath).
func (d *Driver) missing(c *controller, remaining uintptr) (all []slotPath) {
	parent, wanted := d.boot.DevicePathOf(c.handle), uefi.DevicePathAt(remaining)
	for _, p := range c.paths {
		is := func(o *installedSlot) bool { return o.reader.slot == slot(p.slot) }
		if !slices.ContainsFunc(c.slots, is) &&
			(remaining == 0 || names(wanted, behind(parent, p.path))) {
			all = append(all, p)
		}
	}
	return all
}

// behind is the part of a child's path after the nodes of parent, nil for a slot without a path of
// its own.
func behind(parent, child uefi.DevicePath) uefi.DevicePath {
	for child.Complete() && parent.Complete() && !parent.IsEnd() {
		_, parent, _ = parent.Next()
		_, child, _ = child.Next()
	}
	return child
}

// names reports whether a device path leads to child, to something behind it or to something before
// it. USB Class and USB WWID nodes select devices by their properties (UEFI 2.11, 10.3.4.7,
// 10.3.4.8): any child may be such a device.
func names(wanted, child uefi.DevicePath) bool {
	for first := true; ; first = false {
		w, restWanted, err := wanted.Next()
		c, restChild, errChild := child.Next()
		switch {
		case err != nil || errChild != nil:
			return false
		case w.Type == uefi.EndNode || c.Type == uefi.EndNode:
			return !first
		case w.Type == uefi.MessagingNode &&
			(w.SubType == usbClassNode || w.SubType == usbWWIDNode):
			return true
		case w.Type != c.Type || w.SubType != c.SubType || !bytes.Equal(w.Data, c.Data):
			return false
		}
		wanted, child = restWanted, restChild
	}
}

// restore creates the missing children of a controller that is already managed.
func (d *Driver) restore(c *controller, remaining uintptr) error {
	missing := d.missing(c, remaining)
	if len(missing) == 0 {
		return uefi.AlreadyStarted
	}
	for _, p := range missing {
		if o, err := d.installSlot(c, p); err != nil {
			if o != nil {
				_ = d.uninstall(c, o) // a slot that stays works
			}
			return &startError{err}
		}
	}
	return nil
}

// installedSlot is a slot with its protocol installed, on the controller itself or on a child
// handle.
type installedSlot struct {
	handle uefi.Handle
	reader *reader
	path   uefi.DevicePath // of a child handle, else nil
	opened bool            // the controller's protocol is open for the child
}

func (o *installedSlot) protocols() []uefi.Protocol {
	p := []uefi.Protocol{{GUID: &smartcard.GUID, Interface: o.reader.address()}}
	if o.path != nil {
		p = append(p, uefi.Protocol{GUID: &uefi.DevicePathGUID,
			Interface: uintptr(unsafe.Pointer(&o.path[0]))})
	}
	return p
}

// children is how many slots have child handles.
func (c *controller) children() (n int) {
	for _, o := range c.slots {
		if o.path != nil {
			n++
		}
	}
	return n
}

// maxSlots bounds the number of slots whose protocol is installed at the same time, so that many
// devices cannot exhaust memory (policy).
const maxSlots = 256

var errSlots = fmt.Errorf("more than %d slots", maxSlots)

// installedSlots is how many slots have their protocol installed.
func (d *Driver) installedSlots() (n int) {
	for _, c := range d.bound {
		n += len(c.slots)
	}
	return n
}

// installSlot installs the protocol for a slot. A slot beside an error is installed, too: firmware
// has refused to remove it.
func (d *Driver) installSlot(c *controller, p slotPath) (*installedSlot, error) {
	r := d.readers.new(p.slot.Name(), p.slot, d.functions)
	r.pollNotifications = c.takeNotifications
	return d.installReader(c, p.path, r)
}

// installReader is installSlot for a protocol interface.
func (d *Driver) installReader(
	c *controller, path uefi.DevicePath, r *reader,
) (*installedSlot, error) {
	if d.installedSlots() >= maxSlots {
		d.readers.retire(r)
		return nil, errSlots
	}
	o := &installedSlot{handle: c.handle, reader: r, path: path}
	if path != nil {
		o.handle = 0
	}
	h, err := d.boot.InstallProtocols(o.handle, o.protocols()...)
	if err != nil && h == 0 {
		d.readers.retire(o.reader)
		return nil, err
	}
	o.handle = h
	c.slots = append(c.slots, o)
	if err != nil {
		return o, err // firmware has kept a protocol
	}
	if path != nil {
		if _, err := d.boot.OpenProtocol(c.handle, c.guid, d.image, h,
			uefi.OpenByChildController); err != nil {
			return o, err
		}
		o.opened = true
	}
	return o, nil
}

// uninstall removes a slot. After an error it is still installed and works.
func (d *Driver) uninstall(c *controller, o *installedSlot) error {
	// The opening for the child is closed first: it cannot be closed any more when the handle has
	// been deleted with its last protocol (UEFI 2.11, 7.3.10).
	if o.opened {
		d.closeFor(c.handle, c.guid, o.handle)
	}
	if err := d.boot.UninstallProtocols(o.handle, o.protocols()...); err != nil {
		if o.opened {
			_, again := d.boot.OpenProtocol(c.handle, c.guid, d.image, o.handle,
				uefi.OpenByChildController)
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

// uninstallAll removes the remaining slots of c, the last one first.
func (d *Driver) uninstallAll(c *controller) error {
	for len(c.slots) > 0 {
		if err := d.uninstall(c, c.slots[len(c.slots)-1]); err != nil {
			return err
		}
	}
	return nil
}

// controllerNode is a Controller device path node (UEFI 2.11, 10.3.2.5). The number of the slot
// distinguishes the children of one interface.
func controllerNode(slot uint32) uefi.Node {
	const controllerSubtype = 5
	return uefi.Node{Type: uefi.HardwareNode, SubType: controllerSubtype,
		Data: []byte{byte(slot), byte(slot >> 8), byte(slot >> 16), byte(slot >> 24)}}
}

// shutdownLimit is how long all readers together may take to power their cards off in one call of
// Stop or Unload (policy).
const shutdownLimit = 2 * time.Second

// A shutdown powers cards off and closes readers within shutdownLimit. Each reader has an equal
// share of the time that is left, so that a silent one does not keep the others' cards powered.
// While timers stand still it makes no transfer through firmware's USB stack.
type shutdown struct {
	end     time.Time
	readers int // not closed yet
	stand   bool
}

func (d *Driver) newShutdown(controllers ...*controller) *shutdown {
	s := &shutdown{stand: !d.timersRun()}
	s.end = time.Now().Add(shutdownLimit)
	for _, c := range controllers {
		s.readers += len(c.readers())
	}
	return s
}

// readers are the readers of a controller.
func (c *controller) readers() []*ccid.Reader {
	if c.host != nil {
		return c.host.open
	}
	if c.reader == nil {
		return nil
	}
	return []*ccid.Reader{c.reader}
}

// close powers the cards of a controller's readers off and closes the readers. Errors are ignored:
// the reader may have been removed.
func (s *shutdown) close(c *controller) {
	for _, r := range c.readers() {
		limit := time.Until(s.end) / time.Duration(max(s.readers, 1))
		if s.stand && c.host == nil {
			limit = 0
		}
		ctx, cancel := limited(limit)
		_ = r.Shutdown(ctx)
		cancel()
		s.readers--
	}
}

// declaredSlots is the number of slots in a reader's class descriptor.
func declaredSlots(r *ccid.Reader) int { return int(r.Class().MaxSlotIndex) + 1 }

// reportUnusedSlots prints a message for a reader of which not all slots are used.
func reportUnusedSlots(r *ccid.Reader) {
	if used, declared := len(r.Slots()), declaredSlots(r); used < declared {
		printMessage("%s: %d slots are declared, the first %d are used", r.Name(), declared, used)
	}
}
