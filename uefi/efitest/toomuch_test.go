//go:build linux && !tamago

package efitest

import (
	"strings"
	"testing"
	"time"

	"tamaccid/board/qemu/harness"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
	"tamaccid/ccid/sim/usbredir"
)

// TestDevicesThatAskForTooMuch plugs in a reader that declares 256 slots and messages of 4 GiB,
// with a card in each slot, then one with names of the greatest length, and then a good one. Each
// is used as far as possible, and the driver goes on.
func TestDevicesThatAskForTooMuch(t *testing.T) {
	t.Parallel()
	const noticed = 2 * time.Second // by firmware, which looks at its ports, and by our timer
	for _, mode := range []struct{ name, options string }{
		{"through firmware's USB stack", " usb=firmware"},
		{"on a controller of our own", " usb=direct"},
	} {
		t.Run(mode.name, func(t *testing.T) {
			kinds := []struct {
				name string
				want string
			}{
				{"many-slots", "16 readers: 16 passed, 0 failed, 0 without a card"},
				{"hostile-strings-vendor", "1 reader: 1 passed, 0 failed, 0 without a card"},
				{"short", "1 reader: 1 passed, 0 failed, 0 without a card"},
			}
			var devices []*reader.Device
			var redirected []harness.Redirected
			for i, k := range kinds {
				m, err := reader.Named(k.name)
				must(t, err)
				if i < len(kinds)-1 {
					// Supported reads the descriptors each time.
					m.Functions[0].Class = reader.ClassVendor
				}
				d := reader.NewDevice(m)
				for slot := range d.Reader(0).Slots() {
					d.Reader(0).Insert(slot, card.T1())
				}
				d.Unplug()
				devices = append(devices, d)
				redirected = append(redirected,
					harness.Redirected{ID: k.name, Serve: (&usbredir.Server{Device: d}).Serve})
			}
			s := harness.NewSuite(t, harness.Config{Volume: volume, Redirected: redirected})
			s.Boot = booting(loader + " " + driverImage + mode.options)
			s.Run("one after another", 4*time.Minute, func(t *testing.T, c *harness.Case) {
				for i, k := range kinds {
					devices[i].Replug()
					time.Sleep(noticed)
					c.Command("reconnect -r")
					if r := c.Command("exchange.efi -quick"); !strings.Contains(r.Output, k.want) {
						t.Errorf("%s: status %#x\n%.2000s", k.name, r.Status, r.Output)
					}
					devices[i].Unplug()
					time.Sleep(noticed)
				}
			})
		})
	}
}
