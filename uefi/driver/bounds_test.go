//go:build !tamago

package driver

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/baremetal/usbhost/usbtest"
	"tamaccid/ccid/sim/card"
	sim "tamaccid/ccid/sim/reader"
	"tamaccid/ccid/usb"
	"tamaccid/uefi"
	"tamaccid/uefi/smartcard"
)

// hostile is a device of the virtual readers' catalogue with a card in each slot.
func hostileReader(t *testing.T, name string) *sim.Device {
	t.Helper()
	m, err := sim.Named(name)
	if err != nil {
		t.Fatal(err)
	}
	d := sim.NewDevice(m)
	for n := 0; d.Reader(n) != nil; n++ {
		for slot := range d.Reader(n).Slots() {
			d.Reader(n).Insert(slot, card.T1())
		}
	}
	return d
}

// late is what the end of a call may take beyond its limit: that of a class request's last try, and
// what is rounded.
const late = 150 * time.Millisecond

// TestSilentReadersDoNotHoldUpUnload powers the cards of many readers, of which all but two then
// answer nothing.
func TestSilentReadersDoNotHoldUpUnload(t *testing.T) {
	const silent = 17
	for _, direct := range []bool{false, true} {
		t.Run(fmt.Sprintf("directly: %v", direct), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fw, d := newDriver(t)
				devices := []*sim.Device{withSlots(2)}
				for range silent {
					devices = append(devices, hostileReader(t, "silent-at-power-off"))
				}
				devices = append(devices, withSlots(2))
				if direct {
					d.options.usb = usbDirect
					hubs := []*usbtest.Hub{}
					f := fw.plugHost()
					for i, device := range devices {
						if i%10 == 0 {
							hubs = append(hubs,
								usbtest.NewHub(usbtest.HubModel{Speed: usb.SpeedHigh, Ports: 10}))
							f.virtual.Plug(len(hubs), hubs[i/10])
						}
						hubs[i/10].Plug(i%10+1, usbtest.Reader(device))
					}
					must(t, d.locked(d.start, 0, uintptr(f.Handle), 0))
					later()
				} else {
					for _, device := range devices {
						must(t, d.startOn(fw.plug(device, 0).Handle))
					}
				}
				if n := len(fw.readerHandles()); n != silent+4 {
					t.Fatalf("%d slots", n)
				}
				for _, h := range fw.readerHandles() {
					must(t, d.use(t, fw, h))
				}
				began := time.Now()
				check(t, d.locked(d.unload, uintptr(ourImage)))
				if took := time.Since(began); took > shutdownLimit+late {
					t.Errorf("Unload took %v", took)
				}
				for _, i := range []int{0, len(devices) - 1} {
					if devices[i].Reader(0).Powered(0) || devices[i].Reader(0).Powered(1) {
						t.Errorf("a card of reader %d was left powered", i)
					}
				}
				if fw.Count(smartcard.GUID) != 0 || len(fw.Opened) != 0 {
					t.Errorf("left behind: %s", fw.State())
				}
			})
		})
	}
}

// TestTimeExtensionsEndWithTheLoadOption sends a command to a card that asks for time without end.
func TestTimeExtensionsEndWithTheLoadOption(t *testing.T) {
	for _, c := range []struct {
		options string
		bound   time.Duration
	}{{"", 60 * time.Second}, {"wait=1", time.Second}, {"wait=240", 240 * time.Second}} {
		t.Run(c.options, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fw, d := newDriver(t)
				d.options, _ = parseOptions(c.options)
				device := withSlots(1)
				u := fw.plug(device, 0)
				must(t, d.startOn(u.Handle))
				must(t, d.use(t, fw, u.Handle))
				this, active := fw.Handles[u.Handle][smartcard.GUID], place(t,
					smartcard.Protocol(0))
				must(t, call(d.connect, this, uintptr(smartcard.AccessCard),
					uintptr(smartcard.NoReset), uintptr(smartcard.T1),
					addr(active)))
				device.Inject(sim.Fault{At: sim.AtAnswer, Command: sim.XfrBlock,
					Do: []sim.Action{sim.Extend(sim.Endless, 1, time.Second)}})
				in, out, length := newBuffer(t, 4), newBuffer(t, 258), place(t, uintptr(258))
				clear(in.bytes())
				began := time.Now()
				if st := call(d.transmit, this, in.at(), 4, out.at(),
					addr(length)); st != uefi.Timeout {
					t.Error(st)
				}
				if took := time.Since(began); took > c.bound+late || took < c.bound-late {
					t.Errorf("took %v", took)
				}
				check(t, call(d.disconnect, this, uintptr(smartcard.NoReset)))
				check(t, d.use(t, fw, u.Handle))
			})
		})
	}
}

func TestWaitOption(t *testing.T) {
	for _, c := range []struct {
		text  string
		want  time.Duration
		valid bool
	}{
		{"", defaultWait, true}, {"wait=1", time.Second, true}, {"WAIT=90 usb=direct",
			90 * time.Second, true}, {"wait=240", maxWait, true},
		{"wait=5 wait=7", 7 * time.Second, true}, {"wait=0", defaultWait, false}, {"wait=241",
			defaultWait, false}, {"wait=-1", defaultWait, false},
		{"wait=", defaultWait, false}, {"wait=1.5", defaultWait, false}, {"wait=1e2", defaultWait,
			false}, {"wait=99999999999999999999", defaultWait, false},
		{"wait=65537", defaultWait, false}, {"wait", defaultWait, false},
	} {
		o, unknown := parseOptions(c.text)
		if o.longest() != c.want || (unknown == nil) != c.valid {
			t.Errorf("%q: %v, unknown %q", c.text, o.longest(), unknown)
		}
		if limit := o.limit(10 * time.Second); limit != min(c.want, 10*time.Second) {
			t.Errorf("%q: SCardStatus may take %v", c.text, limit)
		}
	}
}

// TestHostileReadersOneAfterAnother has the driver live with each hostile device. Then it is as
// before, and works with a good reader.
func TestHostileReadersOneAfterAnother(t *testing.T) {
	const bound = 11 * time.Second // ccid.Timing.Open, and descriptors
	for _, name := range sim.Hostile() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fw, d := newDriver(t)
				device := hostileReader(t, name)
				for n := range device.Model().Functions {
					u := fw.plug(device, n)
					before := fw.State()
					began := time.Now()
					limited := func(what string, most time.Duration) {
						if took := time.Since(began); took > most {
							t.Errorf("%s took %v", what, took)
						}
						began = time.Now()
					}
					must(t, call(d.supported, 0, uintptr(u.Handle), 0))
					limited("Supported", 2*time.Second)
					st := d.startOn(u.Handle)
					limited("Start", bound)
					if st == uefi.Success {
						for _, h := range d.slots(u.Handle) {
							_ = d.use(t, fw, h)
							limited("use", connectLimit+defaultWait+late)
							_ = call(d.disconnect, fw.Handles[h][smartcard.GUID],
								uintptr(smartcard.NoReset))
						}
						if n := len(d.slots(u.Handle)); n > 16 {
							t.Errorf("%d slots", n)
						}
						began = time.Now()
						if handles := d.slots(u.Handle); len(handles) > 1 {
							check(t, d.stopOn(u.Handle, handles[1:]...))
						}
						check(t, d.stopOn(u.Handle))
						limited("Stop", shutdownLimit+late)
					}
					if after := fw.State(); after != before {
						t.Errorf("before %s, after %s", before, after)
					}
				}
				good := fw.plug(withSlots(1), 0)
				must(t, d.startOn(good.Handle))
				check(t, d.use(t, fw, good.Handle))
			})
		})
	}
}

// TestSlotsOfAllReadersAreBounded plugs readers in until no more are installedSlot, takes one away,
// and has another one in its place.
func TestSlotsOfAllReadersAreBounded(t *testing.T) {
	fw, d := newDriver(t)
	var plugged []*usbInterface
	for range maxSlots/16 + 2 {
		u := fw.plug(hostileReader(t, "many-slots"), 0)
		if st := d.startOn(u.Handle); st == uefi.Success {
			plugged = append(plugged, u)
		} else if st != uefi.DeviceError {
			t.Error(st)
		}
	}
	if n := fw.Count(smartcard.GUID); n != maxSlots || len(plugged) != maxSlots/16 {
		t.Fatalf("%d slots of %d readers", n, len(plugged))
	}
	handles := d.slots(plugged[0].Handle)
	check(t, d.stopOn(plugged[0].Handle, handles[1:]...))
	check(t, d.stopOn(plugged[0].Handle))
	good := fw.plug(withSlots(1), 0)
	must(t, d.startOn(good.Handle))
	check(t, d.use(t, fw, good.Handle))
}
