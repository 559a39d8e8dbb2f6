package usbhost_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"tamaccid/baremetal/usbhost/usbtest"
	"tamaccid/ccid/usb"
)

// socket is a port, with the device on it.
type socket struct {
	name   string
	plug   func(usbtest.Device)
	unplug func()
	bounce func()
	inside []*socket // of the hub on it
	full   bool
}

// sockets are all reachable ports.
func reach(all []*socket) (found []*socket) {
	for _, s := range all {
		found = append(found, s)
		if s.full {
			found = append(found, reach(s.inside)...)
		}
	}
	return found
}

// devices are the names of the ports with devices.
func devices(all []*socket) (names []string) {
	for _, s := range reach(all) {
		if s.full {
			names = append(names, s.name)
		}
	}
	slices.Sort(names)
	return names
}

// TestRandomPlugging: after random events the bus has exactly the devices that are plugged in.
func TestRandomPlugging(t *testing.T) {
	const events, ports, most = 200, 3, 5
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			inBubble(t, usbtest.Model{USB2: ports, USB3: 1, Slots: 200},
				func(t *testing.T, r *rig) {
					random := rand.New(rand.NewPCG(seed, 0))
					var roots []*socket
					for n := 1; n <= ports; n++ {
						roots = append(roots,
							&socket{name: fmt.Sprint(n),
								plug:   func(d usbtest.Device) { r.c.Plug(n, d) },
								unplug: func() { r.c.Unplug(n) }, bounce: func() { r.c.Bounce(n) }})
					}
					r.add()
					for range events {
						all := reach(roots)
						s := all[random.IntN(len(all))]
						switch {
						case s.full && random.IntN(3) == 0:
							s.bounce()
						case s.full:
							s.unplug()
							s.full, s.inside = false, nil
						case random.IntN(2) == 0 && strings.Count(s.name, ".") < most-1:
							h := aHub([]usb.Speed{usb.SpeedHigh, usb.SpeedFull}[random.IntN(2)],
								ports)
							for n := 1; n <= ports; n++ {
								s.inside = append(s.inside,
									&socket{name: fmt.Sprint(s.name, ".", n),
										plug:   func(d usbtest.Device) { h.Plug(n, d) },
										unplug: func() { h.Unplug(n) },
										bounce: func() { h.Bounce(n) }})
							}
							s.plug(h)
							s.full = true
						default:
							s.plug(aReader([]usb.Speed{usb.SpeedFull,
								usb.SpeedLow}[random.IntN(2)]))
							s.full = true
						}
						time.Sleep(time.Duration(random.IntN(1<<random.IntN(20))) *
							time.Microsecond)
					}
					time.Sleep(longEnough)
					r.settle()
					got := strings.Fields(r.places())
					slices.Sort(got)
					if want := devices(roots); !slices.Equal(got, want) {
						t.Errorf("%q, not %q", got, want)
					}
					found, removed := r.happened(": found"), r.happened(": removed")
					if found-removed != len(got) {
						t.Errorf("%d found, %d removed, %d there", found, removed, len(got))
					}
					if n := r.happened("refused"); n != 0 {
						t.Errorf("%d refused: %q", n, r.log())
					}
				})
		})
	}
}
