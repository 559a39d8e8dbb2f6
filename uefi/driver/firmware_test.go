//go:build !tamago

package driver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
	"unsafe"

	sim "tamaccid/ccid/sim/reader"
	"tamaccid/ccid/usb"
	"tamaccid/uefi"
	"tamaccid/uefi/internal/abi"
)

// ourImage is the driver's own handle, someoneElse an agent that is not the driver.
const (
	ourImage    = uefi.Handle(0xD0)
	someoneElse = uefi.Handle(0xE0)
)

// opening is one entry of a protocol's list of openers (UEFI 2.11, 7.3.9).
type opening struct {
	on                uefi.Handle
	guid              uefi.GUID
	agent, controller uefi.Handle
	how               uefi.OpenAttributes
}

// firmware is a handle database behind uefi.Boot, by the rules of UEFI 2.11, 7.3, and USB devices in it.
type firmware struct {
	t       *testing.T
	handles map[uefi.Handle]map[uefi.GUID]uintptr
	next    uefi.Handle
	opened  []opening
	events  int                 // that are there
	asked   []uefi.Handle       // controllers for which drivers were looked for
	asks    func(h uefi.Handle) // is told of each, if not nil
	timers  map[uintptr]int     // set timers, by event: their kind
	partial bool                // not all that the driver uninstalls was installed
	stays   bool                // drivers of firmware's do not leave
	frozen  bool                // timers stand still
	lingers bool                // transfers to a removed device time out
	signals int                 // events that were signaled
	// refuse has a say before a service (install, uninstall, open, close) does its work.
	refuse func(service string, h uefi.Handle, guid uefi.GUID) uefi.Status
	pool   map[uintptr][]uint16
}

// newFirmware puts firmware behind uefi.Boot until the test ends.
func newFirmware(t *testing.T) *firmware {
	fw := &firmware{t: t, handles: map[uefi.Handle]map[uefi.GUID]uintptr{}, next: 0x100, pool: map[uintptr][]uint16{}}
	table := uefi.Boot().Table()
	before := *table
	t.Cleanup(func() {
		*table = before
		if len(fw.pool) != 0 {
			t.Errorf("%d blocks of firmware's were not freed", len(fw.pool))
		}
	})
	table.InstallProtocolInterface = abi.Fake(fw.install)
	table.UninstallProtocolInterface = abi.Fake(fw.uninstall)
	table.HandleProtocol = abi.Fake(func(a []uintptr) uintptr {
		return fw.find(uefi.Handle(a[0]), *abi.At[uefi.GUID](a[1]), abi.At[uintptr](a[2]))
	})
	table.OpenProtocol = abi.Fake(fw.open)
	table.CloseProtocol = abi.Fake(fw.close)
	table.LocateDevicePath = abi.Fake(fw.locate)
	fw.fakeEvents(table)
	table.FreePool = abi.Fake(func(a []uintptr) uintptr {
		if fw.pool[a[0]] == nil {
			t.Errorf("FreePool(%#x) of what is not allocated", a[0])
		}
		delete(fw.pool, a[0])
		return 0
	})
	return fw
}

func (fw *firmware) allows(service string, h uefi.Handle, guid uefi.GUID) uefi.Status {
	if fw.refuse == nil {
		return uefi.Success
	}
	return fw.refuse(service, h, guid)
}

func (fw *firmware) install(a []uintptr) uintptr {
	h, guid := abi.At[uefi.Handle](a[0]), *abi.At[uefi.GUID](a[1])
	if st := fw.allows("install", *h, guid); st != uefi.Success {
		return uintptr(st)
	}
	if *h == 0 {
		*h = fw.next
		fw.next++
		fw.handles[*h] = map[uefi.GUID]uintptr{}
	}
	on := fw.handles[*h]
	if on == nil || on[guid] != 0 || a[2] != 0 {
		return uintptr(uefi.InvalidParameter)
	}
	on[guid] = a[3]
	return 0
}

func (fw *firmware) uninstall(a []uintptr) uintptr {
	h, guid := uefi.Handle(a[0]), *abi.At[uefi.GUID](a[1])
	if st := fw.allows("uninstall", h, guid); st != uefi.Success {
		return uintptr(st)
	}
	if fw.handles[h][guid] == 0 && fw.partial {
		return uintptr(uefi.NotFound)
	}
	if fw.handles[h][guid] == 0 || fw.handles[h][guid] != a[2] {
		fw.t.Errorf("uninstalled from %#x what is not there: %v", h, guid)
		return uintptr(uefi.NotFound)
	}
	delete(fw.handles[h], guid)
	if len(fw.handles[h]) == 0 {
		delete(fw.handles, h)
	}
	return 0
}

func (fw *firmware) find(h uefi.Handle, guid uefi.GUID, out *uintptr) uintptr {
	*out = fw.handles[h][guid]
	if *out == 0 {
		return uintptr(uefi.Unsupported)
	}
	return 0
}

func (fw *firmware) open(a []uintptr) uintptr {
	o := opening{uefi.Handle(a[0]), *abi.At[uefi.GUID](a[1]), uefi.Handle(a[3]), uefi.Handle(a[4]), uefi.OpenAttributes(a[5])}
	if st := fw.allows("open", o.on, o.guid); st != uefi.Success {
		return uintptr(st)
	}
	if st := fw.find(o.on, o.guid, abi.At[uintptr](a[2])); st != 0 {
		return st
	}
	if o.how&uefi.OpenByDriver != 0 {
		for _, other := range fw.opened {
			switch {
			case other.on != o.on || other.guid != o.guid || other.how&uefi.OpenByDriver == 0:
			case other.agent == o.agent:
				return uintptr(uefi.AlreadyStarted)
			case o.how&uefi.OpenExclusive == 0 || other.how&uefi.OpenExclusive != 0 || !fw.leaves(other):
				return uintptr(uefi.AccessDenied)
			}
		}
	}
	fw.opened = append(fw.opened, o)
	return 0
}

func (fw *firmware) close(a []uintptr) uintptr {
	if st := fw.allows("close", uefi.Handle(a[0]), *abi.At[uefi.GUID](a[1])); st != uefi.Success {
		return uintptr(st)
	}
	for _, h := range []uefi.Handle{uefi.Handle(a[0]), uefi.Handle(a[3])} {
		if fw.handles[h] == nil {
			fw.t.Errorf("close: there is no handle %#x", h)
			return uintptr(uefi.InvalidParameter)
		}
	}
	for i, o := range fw.opened {
		if o.on == uefi.Handle(a[0]) && o.guid == *abi.At[uefi.GUID](a[1]) && o.agent == uefi.Handle(a[2]) && o.controller == uefi.Handle(a[3]) {
			fw.opened = append(fw.opened[:i], fw.opened[i+1:]...)
			return 0
		}
	}
	fw.t.Errorf("closed what is not open: %x", a)
	return uintptr(uefi.NotFound)
}

// locate finds the longest device path that the given one begins with.
func (fw *firmware) locate(a []uintptr) uintptr {
	path := uefi.DevicePathAt(*abi.At[uintptr](a[1]))
	const end = 4 // the End node
	best := uefi.Handle(0)
	used := 0
	for h, on := range fw.handles {
		p := uefi.DevicePathAt(on[uefi.DevicePathGUID])
		if len(p) > end && len(p)-end >= used && bytes.HasPrefix(path, p[:len(p)-end]) && on[*abi.At[uefi.GUID](a[0])] != 0 {
			best, used = h, len(p)-end
		}
	}
	if best == 0 {
		return uintptr(uefi.NotFound)
	}
	*abi.At[uintptr](a[1]) += uintptr(used)
	*abi.At[uefi.Handle](a[2]) = best
	return 0
}

// count is how many handles carry a protocol.
func (fw *firmware) count(guid uefi.GUID) (n int) {
	for _, on := range fw.handles {
		if on[guid] != 0 {
			n++
		}
	}
	return n
}

// usbInterface is one interface of a virtual device as a handle with EFI_USB_IO_PROTOCOL and a device path.
type usbInterface struct {
	fw        *firmware
	handle    uefi.Handle
	device    *sim.Device
	transport usb.Transport
	table     uefi.USBIOTable
	path      uefi.DevicePath
	setting   uint8       // bAlternateSetting that firmware describes
	requests  int         // control transfers
	streams   int         // other transfers
	polled    uintptr     // context of the interrupt transfer that firmware repeats, 0 without
	endless   uefi.Status // of the end of that
}

// plug makes the handle of interface n of a device.
func (fw *firmware) plug(d *sim.Device, n int) *usbInterface {
	fw.t.Helper()
	tr, err := d.Open(n)
	if err != nil {
		fw.t.Fatal(err)
	}
	u := &usbInterface{fw: fw, device: d, transport: tr, handle: fw.next}
	fw.next++
	const messaging, usbNode = 3, 5 // UEFI 2.11, 10.3.4.5
	if u.path, err = uefi.NewDevicePath(uefi.Node{Type: messaging, SubType: usbNode, Data: []byte{byte(u.handle), byte(n)}}); err != nil {
		fw.t.Fatal(err)
	}
	// Firmware puts the device into its configuration, and each interface into its default setting.
	if _, err := d.Control(usb.Setup{Request: usb.RequestSetConfiguration, Value: 1}, nil); err != nil {
		fw.t.Fatal(err)
	}
	info := tr.Device()
	give := func(from func() []byte) uintptr {
		return abi.Fake(func(a []uintptr) uintptr {
			if !d.Attached() {
				return uintptr(uefi.DeviceError)
			}
			b := from()
			copy(unsafe.Slice(abi.At[byte](a[1]), len(b)), b)
			return 0
		})
	}
	stream := abi.Fake(u.stream)
	u.table = uefi.USBIOTable{
		ControlTransfer:        abi.Fake(u.control),
		BulkTransfer:           stream,
		SyncInterruptTransfer:  stream,
		AsyncInterruptTransfer: abi.Fake(u.poll),
		GetDeviceDescriptor:    give(func() []byte { return info.Descriptor }),
		GetConfigDescriptor:    give(func() []byte { return info.Config[:uefi.USBConfigDescriptorSize] }),
		GetInterfaceDescriptor: give(func() []byte {
			iface, _ := descriptors(info.Config, byte(n), u.setting)
			return iface
		}),
		GetEndpointDescriptor: abi.Fake(func(a []uintptr) uintptr {
			_, endpoints := descriptors(info.Config, byte(n), u.setting)
			if a[1] >= uintptr(len(endpoints)) {
				return uintptr(uefi.NotFound)
			}
			copy(unsafe.Slice(abi.At[byte](a[2]), uefi.USBEndpointDescriptorSize), endpoints[a[1]])
			return 0
		}),
		GetSupportedLanguages: abi.Fake(func(a []uintptr) uintptr {
			*abi.At[uintptr](a[1]), *abi.At[uint16](a[2]) = uintptr(unsafe.Pointer(&english[0])), 2
			return 0
		}),
		GetStringDescriptor: abi.Fake(u.text),
	}
	fw.handles[u.handle] = map[uefi.GUID]uintptr{
		uefi.USBIOGUID:      uintptr(unsafe.Pointer(&u.table)),
		uefi.DevicePathGUID: uintptr(unsafe.Pointer(&u.path[0])),
	}
	return u
}

var english = []uint16{0x0409}

// descriptors are those of interface n in a setting (USB 2.0, 9.6.5, 9.6.6).
func descriptors(config []byte, n, setting byte) (iface []byte, endpoints [][]byte) {
	ours := false
	for b := config; len(b) > 1 && b[0] > 1; b = b[b[0]:] {
		switch {
		case b[1] == usb.TypeInterface:
			if ours = b[2] == n && b[3] == setting; ours {
				iface = b[:b[0]]
			}
		case b[1] == usb.TypeEndpoint && ours:
			endpoints = append(endpoints, b[:b[0]])
		}
	}
	return iface, endpoints
}

// answer is how firmware tells of a transfer's end.
func answer(err error, result *uefi.USBResult) uintptr {
	*result = uefi.USBNoError
	switch {
	case err == nil:
		return uintptr(uefi.Success)
	case errors.Is(err, usb.ErrStall):
		*result = uefi.USBStall
	case errors.Is(err, usb.ErrTimeout):
		*result = uefi.USBTimeout
		return uintptr(uefi.Timeout)
	default:
		*result = uefi.USBSystem
	}
	return uintptr(uefi.DeviceError)
}

func (u *usbInterface) control(a []uintptr) uintptr {
	u.requests++
	r := *abi.At[uefi.USBRequest](a[1])
	var data []byte
	if a[5] > 0 {
		data = unsafe.Slice(abi.At[byte](a[4]), a[5])
	}
	setup := usb.Setup{RequestType: r.RequestType, Request: r.Request, Value: r.Value, Index: r.Index, Length: r.Length}
	limit := time.Duration(a[3]) * time.Millisecond
	n, err := u.transport.Control(context.Background(), setup, data, limit)
	err = u.linger(err, limit)
	if err == nil && r.RequestType == usb.ToInterface && r.Request == usb.RequestSetInterface {
		u.setting = uint8(r.Value) // as edk2's UsbIoControlTransfer
	}
	st := answer(err, abi.At[uefi.USBResult](a[6]))
	if err == nil && setup.In() && n < len(data) {
		return uintptr(uefi.DeviceError) // as common firmware does
	}
	return st
}

// linger is the end of a transfer on a controller that does not see when a device is removed, as
// QEMU's xHCI.
func (u *usbInterface) linger(err error, limit time.Duration) error {
	if !u.fw.lingers || !errors.Is(err, usb.ErrGone) {
		return err
	}
	time.Sleep(limit)
	return usb.ErrTimeout
}

func (u *usbInterface) stream(a []uintptr) uintptr {
	u.streams++
	endpoint, length, limit := uint8(a[1]), abi.At[uintptr](a[3]), time.Duration(a[4])*time.Millisecond
	data := unsafe.Slice(abi.At[byte](a[2]), *length)
	transfer := u.transport.Out
	if endpoint&usb.DirIn != 0 {
		transfer = u.transport.In
	}
	n, err := transfer(context.Background(), endpoint, data, limit)
	err = u.linger(err, limit)
	*length = uintptr(n)
	return answer(err, abi.At[uefi.USBResult](a[5]))
}

// poll begins or ends the polling of the interrupt endpoint.
func (u *usbInterface) poll(a []uintptr) uintptr {
	switch on := a[2] != 0; {
	case on && u.polled != 0:
		u.fw.t.Error("polled twice")
	case !on && u.endless != uefi.Success:
		return uintptr(u.endless)
	case !on && u.polled == 0:
		return uintptr(uefi.NotFound)
	}
	u.polled = a[6]
	return 0
}

// text asks the device for a string, as firmware does, and copies it whatever it is.
func (u *usbInterface) text(a []uintptr) uintptr {
	const patience = 500 * time.Millisecond // of firmware's
	b := make([]byte, 255)
	n, err := u.transport.Control(context.Background(), usb.Setup{RequestType: usb.DirIn, Request: usb.RequestGetDescriptor,
		Value: usb.TypeString<<8 | uint16(uint8(a[2])), Index: uint16(a[1]), Length: uint16(len(b))}, b, patience)
	if err != nil || n < 2 {
		return uintptr(uefi.DeviceError)
	}
	wide := make([]uint16, 0, len(b)/2+1)
	for b = b[2:n]; len(b) >= 2; b = b[2:] {
		wide = append(wide, uint16(b[0])|uint16(b[1])<<8)
	}
	wide = append(wide, 0)
	at := uintptr(unsafe.Pointer(&wide[0]))
	u.fw.pool[at] = wide
	*abi.At[uintptr](a[3]) = at
	return 0
}

// state describes what is installed and open, to compare before and after.
func (fw *firmware) state() string {
	protocols := 0
	for _, on := range fw.handles {
		protocols += len(on)
	}
	return fmt.Sprintf("%d handles, %d protocols, %d events, open: %v", len(fw.handles), protocols, fw.events, fw.opened)
}
