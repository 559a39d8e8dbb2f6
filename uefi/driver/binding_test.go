//go:build !tamago

package driver

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"unsafe"

	"tamaccid/ccid/sim/card"
	sim "tamaccid/ccid/sim/reader"
	"tamaccid/uefi"
	"tamaccid/uefi/smartcard"
	"tamaccid/uefi/uefitest"
)

// newDriver is a driver as Run makes it, in firmware.
func newDriver(t *testing.T) (*firmware, *Driver) {
	fw := newFirmware(t)
	d := &Driver{boot: uefi.Boot(), image: ourImage, bound: map[uefi.Handle]*controller{}}
	d.functions = smartcard.Table{Connect: 1, Disconnect: 2, Status: 3, Transmit: 4, Control: 5,
		GetAttrib: 6}
	d.name = d.newNames()
	fw.Handles[ourImage] = map[uefi.GUID]uintptr{}
	must(t, d.atExit())
	if _, err := d.boot.InstallProtocols(ourImage, d.protocols()...); err != nil {
		t.Fatal(err)
	}
	return fw, d
}

// withSlots is a virtual reader with n slots and a T=1 card in each.
func withSlots(n int) *sim.Device {
	m := sim.New(sim.ShortAPDU)
	m.Functions[0].CCID.MaxSlotIndex = uint8(n - 1)
	d := sim.NewDevice(m)
	for i := range n {
		d.Reader(0).Insert(i, card.T1())
	}
	return d
}

func (d *Driver) startOn(h uefi.Handle) uefi.Status { return call(d.start, 0, uintptr(h), 0) }

// stopOn calls Stop with children, or without.
func (d *Driver) stopOn(h uefi.Handle, children ...uefi.Handle) uefi.Status {
	if len(children) == 0 {
		return call(d.stop, 0, uintptr(h), 0, 0)
	}
	return call(d.stop, 0, uintptr(h), uintptr(len(children)),
		uintptr(unsafe.Pointer(&children[0])))
}

// started is a driver that manages a reader with n slots.
func started(t *testing.T, n int) (*firmware, *Driver, *usbInterface) {
	t.Helper()
	fw, d := newDriver(t)
	u := fw.plug(withSlots(n), 0)
	must(t, d.startOn(u.Handle))
	return fw, d, u
}

// slots are the handles with the protocol on a controller, the controller first.
func (d *Driver) slots(h uefi.Handle) (handles []uefi.Handle) {
	if c := d.bound[h]; c != nil {
		for _, o := range c.slots {
			handles = append(handles, o.handle)
		}
	}
	return handles
}

// use connects to the card behind a handle, sends it a command and disconnects.
func (d *Driver) use(t *testing.T, fw *firmware, h uefi.Handle) error {
	this := fw.Handles[h][smartcard.GUID]
	if this == 0 {
		return errors.New("no protocol")
	}
	active := place(t, smartcard.Protocol(0))
	if st := call(d.connect, this, uintptr(smartcard.AccessCard), uintptr(smartcard.ColdReset),
		uintptr(smartcard.T0|smartcard.T1), addr(active)); st != uefi.Success ||
		*active != smartcard.T1 {
		return fmt.Errorf("connect: %w, %v", st, *active)
	}
	in, out, length := newBuffer(t, 5+len(card.HelloAID)), newBuffer(t, 258), place(t, uintptr(258))
	copy(in.bytes(), append([]byte{0, 0xA4, 4, 0, byte(len(card.HelloAID))}, card.HelloAID...))
	if st := call(d.transmit, this, in.at(), uintptr(in.n), out.at(),
		addr(length)); st != uefi.Success {
		return fmt.Errorf("transmit: %w", st)
	}
	if got := out.bytes()[:*length]; !bytes.HasSuffix(got, []byte{0x90, 0}) {
		return fmt.Errorf("response % x", got)
	}
	if st := call(d.disconnect, this, uintptr(smartcard.NoReset)); st != uefi.Success {
		return fmt.Errorf("disconnect: %w", st)
	}
	return nil
}

func TestSupported(t *testing.T) {
	model := func(change func(f *sim.Function)) func(*firmware) uefi.Handle {
		m := sim.New(sim.ShortAPDU)
		change(&m.Functions[0])
		return func(fw *firmware) uefi.Handle { return fw.plug(sim.NewDevice(m), 0).Handle }
	}
	openBy := func(agent uefi.Handle) func(*firmware) uefi.Handle {
		return func(fw *firmware) uefi.Handle {
			h := fw.plug(withSlots(1), 0).Handle
			fw.Opened = append(fw.Opened, opened(h, uefi.USBIOGUID, agent, h, uefi.OpenByDriver))
			return h
		}
	}
	for _, c := range []struct {
		name string
		on   func(*firmware) uefi.Handle
		want uefi.Status
	}{
		{name: "a smart card reader", on: model(func(*sim.Function) {}), want: uefi.Success},
		{name: "a reader of the vendor's own class",
			on: model(func(f *sim.Function) { f.Class = sim.ClassVendor }), want: uefi.Success},
		{name: "a device of the vendor's own class that is no reader",
			on:   model(func(f *sim.Function) { f.Class, f.CCID = sim.ClassVendor, nil }),
			want: uefi.Unsupported},
		{name: "a keyboard", on: model(func(f *sim.Function) { f.Class, f.CCID = 3, nil }),
			want: uefi.Unsupported},
		{name: "a keyboard with a reader's descriptor",
			on: model(func(f *sim.Function) { f.Class = 3 }), want: uefi.Unsupported},
		{name: "a reader that is just unplugged", want: uefi.Unsupported,
			on: func(fw *firmware) uefi.Handle {
				u := fw.plug(withSlots(1), 0)
				u.device.Unplug()
				return u.Handle
			}},
		{name: "a handle without USB", want: uefi.Unsupported, on: func(fw *firmware) uefi.Handle {
			fw.Handles[0x77] = map[uefi.GUID]uintptr{uefi.DevicePathGUID: 1}
			return 0x77
		}},
		{name: "no handle", on: func(*firmware) uefi.Handle { return 0 }, want: uefi.Unsupported},
		{name: "a reader that another driver manages", on: openBy(otherDriver),
			want: uefi.AccessDenied},
		{name: "a reader that this driver manages", on: openBy(ourImage),
			want: uefi.AlreadyStarted},
	} {
		t.Run(c.name, func(t *testing.T) {
			fw, d := newDriver(t)
			h := c.on(fw)
			before := fw.State()
			for range 2 {
				if st := call(d.supported, 0, uintptr(h), 0); st != c.want {
					t.Errorf("status %v, want %v", st, c.want)
				}
			}
			if after := fw.State(); after != before {
				t.Errorf("before %s, after %s", before, after)
			}
		})
	}
}

func TestSupportedSendsNothingToDevicesOfOtherClasses(t *testing.T) {
	fw, d := newDriver(t)
	m := sim.New(sim.ShortAPDU)
	m.Functions[0].Class = 3
	u := fw.plug(sim.NewDevice(m), 0)
	call(d.supported, 0, uintptr(u.Handle), 0)
	if u.Requests != 0 {
		t.Errorf("%d requests to a device of another class", u.Requests)
	}
}

func TestStartOffersEachSlot(t *testing.T) {
	for _, n := range []int{1, 2, 3} {
		t.Run(fmt.Sprintf("%d slots", n), func(t *testing.T) {
			fw, d, u := started(t, n)
			handles := d.slots(u.Handle)
			if len(handles) != n || handles[0] != u.Handle || fw.Count(smartcard.GUID) != n {
				t.Fatalf("handles %v, %d with the protocol", handles, fw.Count(smartcard.GUID))
			}
			want := []uefitest.Opening{opened(u.Handle, uefi.USBIOGUID, ourImage, u.Handle,
				uefi.OpenByDriver)}
			for i, h := range handles {
				if *uefi.At[smartcard.Table](fw.Handles[h][smartcard.GUID]) != d.functions {
					t.Errorf("slot %d has other functions", i)
				}
				name := "tamaccid Virtual Reader 0"
				if i > 0 {
					name += fmt.Sprintf(", %d", i)
					want = append(want, opened(u.Handle, uefi.USBIOGUID, ourImage, h,
						uefi.OpenByChildController))
					// UEFI 2.11, 10.3.2.5: hardware node, subtype 5, controller number
					path := append(append([]byte(nil), u.Path[:len(u.Path)-4]...), 1, 5, 8, 0,
						byte(i), 0, 0, 0, 0x7f, 0xff, 4, 0)
					if got := d.boot.DevicePathOf(h); !bytes.Equal(got, path) {
						t.Errorf("slot %d has device path % x, want % x", i, got, path)
					}
				}
				if got := d.readerName(t, fw.Handles[h][smartcard.GUID]); got != name {
					t.Errorf("slot %d is %q, want %q", i, got, name)
				}
				if err := d.use(t, fw, h); err != nil {
					t.Errorf("slot %d: %v", i, err)
				}
			}
			if fmt.Sprint(fw.Opened) != fmt.Sprint(want) {
				t.Errorf("open: %v, want %v", fw.Opened, want)
			}
		})
	}
}

func (d *Driver) readerName(t *testing.T, this uintptr) string {
	name, length := newBuffer(t, 256), place(t, uintptr(256))
	if st := call(d.status, this, name.at(), addr(length), 0, 0, 0, 0); st != uefi.Success {
		return st.Error()
	}
	wide := unsafe.Slice((*uint16)(unsafe.Pointer(&name.bytes()[0])), *length/2)
	if wide[len(wide)-1] != 0 {
		t.Error("the name has no NUL")
	}
	return uefi.FromUTF16(wide)
}

func TestStartTwice(t *testing.T) {
	fw, d, u := started(t, 2)
	before := fw.State()
	if st := d.startOn(u.Handle); st != uefi.AlreadyStarted {
		t.Error(st)
	}
	if after := fw.State(); after != before {
		t.Errorf("before %s, after %s", before, after)
	}
	fw.Opened = nil // firmware that has lost count
	if st := d.startOn(u.Handle); st != uefi.AlreadyStarted || len(fw.Opened) != 0 {
		t.Errorf("without firmware's help: %v, open: %v", st, fw.Opened)
	}
	check(t, d.use(t, fw, u.Handle))
}

func TestStartOfAReaderThatAnotherDriverManages(t *testing.T) {
	fw, d := newDriver(t)
	u := fw.plug(withSlots(1), 0)
	fw.Opened = []uefitest.Opening{opened(u.Handle, uefi.USBIOGUID, otherDriver, u.Handle,
		uefi.OpenByDriver)}
	if st := d.startOn(u.Handle); st != uefi.AccessDenied || len(fw.Opened) != 1 {
		t.Errorf("%v, open: %v", st, fw.Opened)
	}
}

func TestStartThatFailsLeavesNothingBehind(t *testing.T) {
	refuse := func(fw *firmware, service string, guid uefi.GUID, nth int) {
		fw.Refuse = func(s string, h uefi.Handle, g uefi.GUID) uefi.Status {
			if s == service && g == guid {
				if nth--; nth < 0 {
					return uefi.OutOfResources
				}
			}
			return uefi.Success
		}
	}
	for _, c := range []struct {
		name string
		do   func(fw *firmware, u *usbInterface)
	}{
		{name: "the reader was unplugged",
			do: func(_ *firmware, u *usbInterface) { u.device.Unplug() }},
		{name: "the first slot's protocol is refused",
			do: func(fw *firmware, _ *usbInterface) { refuse(fw, "install", smartcard.GUID, 0) }},
		{name: "the second slot's protocol is refused",
			do: func(fw *firmware, _ *usbInterface) { refuse(fw, "install", smartcard.GUID, 1) }},
		{name: "the last slot's protocol is refused",
			do: func(fw *firmware, _ *usbInterface) { refuse(fw, "install", smartcard.GUID, 2) }},
		{name: "the last slot's device path is refused",
			do: func(fw *firmware, _ *usbInterface) {
				refuse(fw, "install", uefi.DevicePathGUID, 1)
			}},
		{name: "opening for the first child is refused",
			do: func(fw *firmware, _ *usbInterface) { refuse(fw, "open", uefi.USBIOGUID, 1) }},
		{name: "opening for the last child is refused",
			do: func(fw *firmware, _ *usbInterface) { refuse(fw, "open", uefi.USBIOGUID, 2) }},
		{name: "the controller has no device path",
			do: func(fw *firmware, u *usbInterface) {
				delete(fw.Handles[u.Handle], uefi.DevicePathGUID)
			}},
		{name: "the child's device path exists already", do: func(fw *firmware, u *usbInterface) {
			path, err := u.Path.Append(controllerNode(2))
			if err != nil {
				fw.t.Fatal(err)
			}
			fw.SetPath(fw.NewHandle(map[uefi.GUID]uintptr{}), *place(fw.t, path))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			fw, d := newDriver(t)
			u := fw.plug(withSlots(3), 0)
			c.do(fw, u)
			before := fw.State()
			want := uefi.DeviceError
			if fw.Refuse != nil {
				want = uefi.OutOfResources
			}
			if st := d.startOn(u.Handle); st != want {
				t.Errorf("status %v, want %v", st, want)
			}
			if after := fw.State(); after != before {
				t.Errorf("before %s, after %s", before, after)
			}
			if len(d.bound) != 0 || len(d.readers.all) != len(d.readers.retired) {
				t.Errorf("%d controllers are managed; %d interfaces, %d of them dead", len(d.bound),
					len(d.readers.all), len(d.readers.retired))
			}
			if st := d.stopOn(u.Handle); st != uefi.DeviceError {
				t.Errorf("Stop: %v", st)
			}
		})
	}
}

func TestStartWorksAfterOneThatFailed(t *testing.T) {
	fw, d := newDriver(t)
	u := fw.plug(withSlots(2), 0)
	fw.Refuse = uefitest.Only("install", uefi.OutOfResources, uefi.DevicePathGUID)
	if st := d.startOn(u.Handle); st != uefi.OutOfResources {
		t.Fatal(st)
	}
	fw.Refuse = nil
	must(t, d.startOn(u.Handle))
	for _, h := range d.slots(u.Handle) {
		check(t, d.use(t, fw, h))
	}
}
