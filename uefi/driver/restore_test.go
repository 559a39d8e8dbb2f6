//go:build !tamago

package driver

import (
	"fmt"
	"testing"
	"testing/synctest"

	"tamaccid/baremetal/usbhost/usbtest"
	"tamaccid/ccid/usb"
	"tamaccid/uefi"
	"tamaccid/uefi/smartcard"
	"tamaccid/uefi/uefitest"
)

// remaining is a device path for Supported and Start.
func remaining(t *testing.T, nodes ...uefi.Node) uintptr {
	p, err := uefi.NewDevicePath(nodes...)
	if err != nil {
		t.Fatal(err)
	}
	return addr(&place(t, [64]byte(append(p, make([]byte, 64)...)))[0])
}

func usbAt(port, number byte) uefi.Node {
	return uefi.Node{Type: uefi.MessagingNode, SubType: usbNode, Data: []byte{port, number}}
}

// byPath is the handle with a reader that has that device path.
func (d *Driver) byPath(fw *firmware, path string) uefi.Handle {
	for _, h := range fw.readerHandles() {
		if d.boot.DevicePathOf(h).String() == path {
			return h
		}
	}
	return 0
}

// A host controller with three readers: at root port 1, behind a hub at port 3, and one with two
// slots at port 4.
func TestStartMakesTheMissingChildrenOfAHostAgain(t *testing.T) {
	const (
		first     = "USB(0x0,0x0)"
		behindHub = "USB(0x2,0x0)/USB(0x1,0x0)"
		slot0     = "USB(0x3,0x0)"
		slot1     = "USB(0x3,0x0)/Path(1,5,01000000)"
	)
	class := uefi.Node{Type: uefi.MessagingNode, SubType: usbClassNode, Data: make([]byte, 7)}
	for _, c := range []struct {
		name      string
		stopped   []string
		remaining []uefi.Node
		all       bool // no remaining device path
		want      uefi.Status
		back      []string
	}{
		{name: "one child", stopped: []string{first}, all: true, back: []string{first}},
		{name: "a slot of a reader", stopped: []string{slot1}, all: true, back: []string{slot1}},
		{name: "several", stopped: []string{behindHub, slot0, first}, all: true,
			back: []string{behindHub, slot0, first}},
		{name: "none is missing", all: true, want: uefi.AlreadyStarted},
		{name: "the one that is named", stopped: []string{first, behindHub},
			remaining: []uefi.Node{usbAt(2, 0), usbAt(1, 0)}, back: []string{behindHub}},
		{name: "those on a hub", stopped: []string{first, behindHub},
			remaining: []uefi.Node{usbAt(2, 0)}, back: []string{behindHub}},
		{name: "the one on the way to what is named", stopped: []string{first, slot1},
			remaining: []uefi.Node{usbAt(0, 0), usbAt(5, 0)}, back: []string{first}},
		{name: "any of a class", stopped: []string{first, behindHub}, remaining: []uefi.Node{class},
			back: []string{first, behindHub}},
		{name: "another port is named", stopped: []string{first},
			remaining: []uefi.Node{usbAt(1, 0)}, want: uefi.AlreadyStarted},
		{name: "another interface is named", stopped: []string{first},
			remaining: []uefi.Node{usbAt(0, 1)}, want: uefi.AlreadyStarted},
		{name: "no child at all", stopped: []string{first}, remaining: []uefi.Node{},
			want: uefi.AlreadyStarted},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fw, d := newDirect(t)
				f := fw.plugHost()
				hub := usbtest.NewHub(usbtest.HubModel{Speed: usb.SpeedHigh, Ports: 4})
				f.virtual.Plug(1, usbtest.Reader(withSlots(1)))
				f.virtual.Plug(3, hub)
				hub.Plug(2, usbtest.Reader(withSlots(1)))
				f.virtual.Plug(4, usbtest.Reader(withSlots(2)))
				must(t, d.locked(d.start, 0, uintptr(f.Handle), 0))
				synctest.Wait()
				root := d.boot.DevicePathOf(f.Handle).String() + "/"
				old := map[string]uintptr{}
				for _, p := range c.stopped {
					h := place(t, d.byPath(fw, root+p))
					old[p] = fw.Handles[*h][smartcard.GUID]
					if st := d.locked(d.stop, 0, uintptr(f.Handle), 1,
						addr(h)); st != uefi.Success {
						t.Fatalf("Stop of %s: %v", p, st)
					}
				}
				at := uintptr(0)
				if !c.all {
					at = remaining(t, c.remaining...)
				}
				before := fw.State()
				if st := d.locked(d.supported, 0, uintptr(f.Handle), at); st != c.want {
					t.Errorf("Supported: %v, want %v", st, c.want)
				}
				if after := fw.State(); after != before {
					t.Errorf("Supported: before %s, after %s", before, after)
				}
				if st := d.locked(d.start, 0, uintptr(f.Handle), at); st != c.want {
					t.Errorf("Start: %v, want %v", st, c.want)
				}
				if n, want := len(fw.readerHandles()), 4-len(c.stopped)+len(c.back); n != want {
					t.Errorf("%d slots, want %d", n, want)
				}
				for _, p := range c.back {
					h := d.byPath(fw, root+p)
					if err := d.use(t, fw, h); err != nil {
						t.Errorf("%s: %v", p, err)
					}
					if st := call(d.status, old[p], 0, 0, 0, 0, 0, 0); st != uefi.DeviceError {
						t.Errorf("%s, by its former interface: %v", p, st)
					}
				}
				if len(c.back) == len(c.stopped) {
					if st := d.locked(d.supported, 0, uintptr(f.Handle),
						0); st != uefi.AlreadyStarted {
						t.Errorf("Supported of what is complete: %v", st)
					}
				}
				// A reader that has gone has no children to make.
				f.virtual.Unplug(1)
				later()
				if st := d.locked(d.start, 0, uintptr(f.Handle),
					remaining(t, usbAt(0, 0))); st != uefi.AlreadyStarted {
					t.Errorf("Start for a reader that has gone: %v", st)
				}
				check(t, d.stopHost(f))
			})
		})
	}
}

func TestStartMakesTheMissingChildrenOfAnInterfaceAgain(t *testing.T) {
	fw, d, u := started(t, 3)
	before := fw.State()
	handles := d.slots(u.Handle)
	if st := call(d.supported, 0, uintptr(u.Handle), 0); st != uefi.AlreadyStarted {
		t.Errorf("Supported: %v", st)
	}
	must(t, d.stopOn(u.Handle, handles[1], handles[2]))
	second := remaining(t, controllerNode(2))
	for _, at := range []uintptr{second, 0} {
		check(t, call(d.supported, 0, uintptr(u.Handle), at))
		must(t, call(d.start, 0, uintptr(u.Handle), at))
		if st := call(d.start, 0, uintptr(u.Handle), at); st != uefi.AlreadyStarted {
			t.Errorf("a second Start: %v", st)
		}
	}
	var names []string
	for _, h := range d.slots(u.Handle) {
		names = append(names, d.readerName(t, fw.Handles[h][smartcard.GUID]))
		check(t, d.use(t, fw, h))
	}
	const name = "tamaccid Virtual Reader 0"
	if got, want := fmt.Sprintf("%q", names), fmt.Sprintf("%q",
		[]string{name, name + ", 2", name + ", 1"}); got != want {
		t.Errorf("slots %s, want %s", got, want)
	}
	if len(fw.Handles) != 4 || len(fw.Opened) != 3 {
		t.Errorf("before %s, after %s", before, fw.State())
	}
	check(t, d.stopOn(u.Handle, d.slots(u.Handle)[1:]...))
	check(t, d.stopOn(u.Handle))
}

func TestAChildThatCannotBeMadeAgainIsMissingStill(t *testing.T) {
	fw, d, u := started(t, 2)
	child := d.slots(u.Handle)[1]
	must(t, d.stopOn(u.Handle, child))
	before := fw.State()
	for _, service := range []string{"install", "open"} {
		fw.Refuse = uefitest.Only(service, uefi.OutOfResources)
		if st := d.startOn(u.Handle); st != uefi.OutOfResources {
			t.Errorf("%s: %v", service, st)
		}
		if after := fw.State(); after != before {
			t.Errorf("%s: before %s, after %s", service, before, after)
		}
	}
	fw.Refuse = nil
	if st := d.startOn(u.Handle); st != uefi.Success || len(d.slots(u.Handle)) != 2 {
		t.Errorf("%v, slots %v", st, d.slots(u.Handle))
	}
}
